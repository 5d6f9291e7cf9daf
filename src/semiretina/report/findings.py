"""What the runs show, in sentences: which method is better, or how good the only one is."""

from collections.abc import Sequence
from typing import Any

from semiretina.report.cautions import caution_texts
from semiretina.report.columns import percent, ratio, title_of
from semiretina.report.method_comparisons import Comparisons, compare, single_runs
from semiretina.report.results import NO_TEST, Row
from semiretina.report.run_set import RunSet
from semiretina.report.section import NOTICE, Bullets, Facts, Item, Section, Text, section
from semiretina.wording import counted

ONE_TRAINING = (
    "Intervals are 95 %, over patients alone (over photographs where no patient is known), and of one training each: "
    "how differently the same training ends from another seed is not in them, so for the method they are too narrow."
)
SHARED = (
    "Photographs, file names, patients and paths are left out of this page. With --no-share the same command shows "
    "them."
)


def findings(runs: RunSet) -> Section | None:
    """The sentences, the most important first; how they were judged; what was not compared; the facts."""
    compared = compare(runs)
    items, refused = _sentences(runs, compared), _refused(runs, compared)
    notes = [*compared.notes, ONE_TRAINING] if items and not compared.comparisons else compared.notes
    cautions, lists = len(caution_texts(runs)), len(runs.test_lists())
    beware = f"Read these numbers with the {counted(cautions, 'caution').removeprefix('1 ')} below."
    apart = (
        f"These runs were tested on {lists} different lists of photographs. A difference between the lists can be "
        "larger than any between methods, so each list has its own tables and pictures below. To compare, train with "
        "the same data.split_seed on the same manifest."
    )
    return section(
        "",
        Bullets(items, kind="sentences") or Text(NO_TEST, kind=""),
        Text(runs.hide(" ".join(notes))),
        section(f"Not compared: {len(refused)}", Bullets(refused), folded=True),
        Text(beware if cautions else "", link="cautions"),
        Facts(_facts(runs)),
        Text(f"{NOTICE} {SHARED}" if runs.shared else NOTICE, kind="notice"),
        Text(apart if lists > 1 else "", kind="warning", lead="Not one comparison."),
    )


def _sentences(runs: RunSet, compared: Comparisons) -> list[Item]:
    """Differences between methods; of one method alone its scores."""
    if not compared.comparisons:
        rows = [row for part in runs.test_lists() for row in part.rows if row.n]
        return [Item(runs.hide(_alone(row)), row.task) for row in rows]
    items = []
    for one in compared.comparisons:
        about = f"{one.task}, {title_of(one.score)}{', the comparison declared beforehand' if one.primary else ''}"
        more = single_runs(one.single) if one.single else ""
        items.append(Item(runs.hide(one.sentence), about, more, verdict=one.verdict))
    return items


def _refused(runs: RunSet, compared: Comparisons) -> list[Item]:
    items = []
    for one in compared.refused:
        example = f", such as {one.example}" if one.example and not runs.shared else ""
        names = " against ".join(filter(None, (one.ours, one.theirs)))
        items.append(Item(runs.hide(f"{names}: {one.reason}{example}")))
    return items


def _alone(row: Row) -> str:
    """One run's scores on one output, beside what needs no network."""
    name = "auroc" if row.score("auroc").value is not None else "quadratic_kappa"
    said = [f"{title_of(name)} {ratio(row.score(name))}"] if row.score(name).value is not None else []
    accuracy, majority = percent(row.score("accuracy")), row.score("majority").value
    if accuracy.text:
        vote = f", where the majority vote has {100 * majority:.1f} %" if majority is not None else ""
        said.append(" ".join(filter(None, [f"accuracy {accuracy.text} %", accuracy.interval])) + vote)
    return f"{row.run}: {'; '.join(said) or 'no score is defined'}; {row.n} test photographs."


def _facts(runs: RunSet) -> list[tuple[str, str]]:
    """What was compared, in a few pairs of name and value; a value that the runs do not share lists all."""
    listed = runs.runs

    def photographs(role: str) -> str:
        return _shared([run.result.get("counts", {}).get(role) for run in listed])

    facts = [
        ("Network", _shared([run.config["model"]["name"] for run in listed])),
        ("Photographs", f"{_shared([run.config['data']['size'] for run in listed])} pixels square"),
        ("Labelled, for training", photographs("train")),
        ("Labelled, for validation", photographs("val")),
        ("Unlabelled", photographs("unlabeled")),
        ("Ungradable, left out", _shared([run.result.get("ungradable") or None for run in listed])),
        ("Tested on", photographs("test")),
        ("Seed" if len({run.seed for run in listed}) == 1 else "Seeds", _shared([run.seed for run in listed])),
    ]
    return [(name, value) for name, value in facts if value]


def _shared(values: Sequence[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))
