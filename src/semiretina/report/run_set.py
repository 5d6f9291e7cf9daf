"""The runs that a report shows, and what its sections ask of them; each file is read once."""

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Self

from semiretina.report.labeled_answers import LabeledAnswers, Unfit, labeled_answers
from semiretina.report.pictures import styles
from semiretina.report.results import Row, list_title, rows_of
from semiretina.report.runs import Run
from semiretina.report.share import Hide


class RunSet:
    """Runs in their order. What is `shared` shows no photograph, and `hide` takes names out of a sentence."""

    def __init__(self, runs: Sequence[Run], shared: bool = False, hide: Hide = str) -> None:
        self.runs, self.shared, self.hide = list(runs), shared, hide
        self.title = ""  # of one of several lists of test photographs
        self.styles = styles([run.name for run in runs])
        self._answers: dict[tuple[str, str], LabeledAnswers | Unfit] = {}

    @cached_property
    def rows(self) -> list[Row]:
        """What the runs reach on each output, outputs together."""
        return rows_of(self.runs)

    @cached_property
    def outputs(self) -> dict[str, list[Row]]:
        """The same, output by output: a task, or `task.output`."""
        return {key: [row for row in self.rows if row.task == key] for key in dict.fromkeys(r.task for r in self.rows)}

    def test_lists(self) -> list[Self]:
        """The runs that were tested on the same photographs, list by list; only these may be compared."""
        lists = list(dict.fromkeys(run.test_list for run in self.runs))
        return [self._part(number, sha, len(lists)) for number, sha in enumerate(lists)]

    def _part(self, number: int, sha: str, count: int) -> Self:
        part = copy(self)  # with the same answers, so that none is read twice
        part.__dict__ = {name: value for name, value in vars(self).items() if name not in ("rows", "outputs")}
        part.runs = [run for run in self.runs if run.test_list == sha]
        part.styles = {run.name: self.styles[run.name] for run in part.runs}
        part.title = list_title(number, sha) if count > 1 else ""
        return part

    def answers(self, run: Run, key: str) -> LabeledAnswers:
        """The run's answers for `key`. Raises Unfit where they cannot be compared, BadData for a broken table."""
        if (run.label, key) not in self._answers:
            try:
                self._answers[run.label, key] = labeled_answers(run, key)
            except Unfit as reason:
                self._answers[run.label, key] = reason
        answers = self._answers[run.label, key]
        if isinstance(answers, Unfit):
            raise answers
        return answers

    def drawable(self, key: str) -> list[tuple[Run, LabeledAnswers]]:
        """The runs whose answers for `key` can be drawn, with these."""
        made = []
        for run in self.runs:
            if key in run.result["test"]:
                try:
                    made.append((run, self.answers(run, key)))
                except Unfit:
                    continue  # which `undrawn` says
        return made

    def undrawn(self) -> list[str]:
        """Why answers of these runs are not drawn, a sentence each."""
        for key in self.outputs:
            self.drawable(key)
        reasons = {(label, key): reason for (label, key), reason in self._answers.items() if isinstance(reason, Unfit)}
        tested = {(run.label, key) for run in self.runs for key in run.result["test"]}
        return [f"{reason}; its curves of {at[1]} are not drawn." for at, reason in reasons.items() if at in tested]

    def methods(self, key: str) -> dict[str, list[tuple[Run, LabeledAnswers]]]:
        """The runs of each name that answered the same photographs as the first of them: the seeds of one method."""
        seeds: dict[str, list[tuple[Run, LabeledAnswers]]] = {}
        for run, answers in self.drawable(key):
            alike = seeds.setdefault(run.name, [])
            if not alike or alike[0][1].paths == answers.paths:
                alike.append((run, answers))
        return seeds
