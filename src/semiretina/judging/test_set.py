"""The photographs that a network is judged on, with their truth: from its answers to scores and to a table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from semiretina.data.split import Split
from semiretina.errors import NonFiniteLoss
from semiretina.judging.predictions import Predictions
from semiretina.judging.strata import levels_of, parts_of, patients_of, unnamed, untested
from semiretina.records import Record
from semiretina.scoring.caution import caution
from semiretina.scoring.intervals import Estimate, Ints
from semiretina.scoring.levels import by_part
from semiretina.scoring.scores import Scores
from semiretina.tasks import Targets, Task, count_derived

Answers = Mapping[str, npt.NDArray[np.float32]]  # task -> probabilities [n, outputs]


@dataclass(frozen=True)
class TestSet:
    """n photographs, their groups in the split and their targets by task; beside them what no network was asked.

    `ungradable` are photographs that belong to them and that a grader cannot see, each with its group; `trained` those
    that the network learned from, whose sites should have been tested.
    """

    tasks: Mapping[str, Task]
    records: Sequence[Record]
    groups: Sequence[str]
    targets: Mapping[str, Targets]
    ungradable: Sequence[tuple[Record, str]] = ()
    trained: Sequence[Record] = ()

    @classmethod
    def of_role(cls, split: Split, role: str, tasks: Mapping[str, Task]) -> Self:
        """Those that have this role in a split, in its order. The truth is theirs, also where training shuffled it."""
        rows = split.rows(role)
        records = [split.records[row] for row in rows]
        return cls(
            tasks,
            records,
            [split.groups[row] for row in rows],
            {name: task.targets(records) for name, task in tasks.items()},
            ungradable=[(split.records[row], split.groups[row]) for row in split.ungradable(role)],
            trained=[split.records[row] for row in split.rows("train")],
        )

    @cached_property
    def patients(self) -> Ints:
        """[n] numbers, equal where photographs are of one patient (`strata.patients_of`)."""
        return patients_of(self.records, self.groups)

    def score(
        self, values: Answers, thresholds: Mapping[str, float], prevalence: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """The scores of `result.json` by KEY, with intervals that respect groups and patients.

        `thresholds` and `prevalence` (for PPV and NPV; the sample's own where absent) go by KEY. `derived` counts,
        among the n labels of an output, those that follow from the grade's definition (`tasks.IMPLIED_LESIONS`).

        `levels`: scores by photograph, eye and patient, in which the ungradable photographs count as referred; a grade
        that was stated for one is its label here. `strata`: scores by site, camera and grade. `caution`: sentences.

        Raises NonFiniteLoss that names the photographs whose values are not numbers.
        """
        self.check(values)
        scores = {}
        for name, task in self.tasks.items():
            derived = count_derived(task, self.records)
            truth = task.labels(np.concatenate([self.targets[name], task.targets(self._blind)]))
            for (key, p), output in zip(task.by_key(values[name]).items(), task.outputs, strict=False):
                limit, stated = thresholds.get(key, 0.5), (prevalence or {}).get(key)
                scores[key] = self._score_key(task, truth[key], p, limit, stated)
                if derived:
                    scores[key]["derived"] = derived[output]
        return scores

    def _score_key(
        self, task: Task, truth: Ints, p: npt.NDArray[np.float64], threshold: float, prevalence: float | None
    ) -> dict[str, Any]:
        """All scores of one question: `truth` [n and those after them] are its labels, `p` [n] the answers."""
        n, patients = len(self.records), self._patients_of_all
        labels, tested = truth[:n], patients[:n]
        # A grader that cannot see answers nothing.
        answers = np.concatenate([p, np.full((len(self._blind), *p.shape[1:]), np.nan)])

        def part(rows: npt.NDArray[np.bool_]) -> Scores:
            return task.part_scores(labels[rows], p[rows], tested[rows], threshold)

        scores = task.scores(labels, p, tested, threshold, prevalence)
        levels = {
            level: task.level_scores(truth, answers, members, patients, threshold)
            for level, members in self._levels.items()
        }
        strata = {kind: by_part(names, part) for kind, names in self._parts.items()}
        labeled = [record for record, label in zip(self.records, labels, strict=True) if label >= 0]
        sentences = [
            *caution(labels, tested, scores, task.label_names),
            *untested(labeled, self.trained),
            *unnamed(self._everyone),
        ]
        parts = {"levels": levels, "strata": {kind: of_kind for kind, of_kind in strata.items() if of_kind}}
        return {**_as_json(scores | parts), "caution": sentences}

    @cached_property
    def _blind(self) -> list[Record]:
        """The ungradable, whose stated grade counts where they do."""
        return [replace(record, quality="") for record, _ in self.ungradable]

    @cached_property
    def _everyone(self) -> list[Record]:
        """The n photographs, and after them the ungradable."""
        return [*self.records, *self._blind]

    @cached_property
    def _patients_of_all(self) -> Ints:
        """[n and those after them] as `patients`."""
        return patients_of(self._everyone, [*self.groups, *(group for _, group in self.ungradable)])

    @cached_property
    def _levels(self) -> dict[str, Ints]:
        """`strata.levels_of`, which no output changes."""
        return levels_of(self._everyone)

    @cached_property
    def _parts(self) -> dict[str, list[str]]:
        """`strata.parts_of`, which no output changes."""
        return parts_of(self.records)

    def predictions(self, values: Answers, folds: Ints | None = None) -> Predictions:
        """The table of these answers; `folds` [n] tell whose network gave them. Raises NonFiniteLoss as `score`."""
        self.check(values)
        return Predictions(
            paths=[str(record.path) for record in self.records],
            patients=[record.patient for record in self.records],
            sites=[record.site for record in self.records],
            eyes=[record.eye for record in self.records],
            cameras=[record.camera for record in self.records],
            grades=[record.grade for record in self.records],
            groups=self.groups,
            folds=folds,
            outputs={name: task.outputs for name, task in self.tasks.items()},
            labels={name: task.cells(self.targets[name]) for name, task in self.tasks.items()},
            probabilities=values,
        )

    def check(self, values: Answers) -> None:
        """Raises NonFiniteLoss that names the photographs whose values are not all numbers."""
        whole = np.all([np.isfinite(values[name]).all(axis=1) for name in self.tasks], axis=0)
        broken = [record.path.name for record, good in zip(self.records, whole, strict=True) if not good]
        if broken:
            more = f" and {len(broken) - 8} more" if len(broken) > 8 else ""
            raise NonFiniteLoss(
                f"the grader's answers to {len(broken)} of {len(self.records)} photographs are infinite or NaN: "
                f"{', '.join(broken[:8])}{more}; its weights overflow or are damaged: train it again, with a lower "
                "optimizer.lr or with optimizer.clip, or copy its run folder again"
            )


def _as_json(value: Any) -> Any:
    """Estimates, in any depth, as {"value", "low", "high"}."""
    if isinstance(value, Mapping):
        return {name: _as_json(inner) for name, inner in value.items()}
    return asdict(value) if isinstance(value, Estimate) else value
