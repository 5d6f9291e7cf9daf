"""The scores that a report shows, each once: its title, its format, and the tables in which it stands.

A new score needs a function in `semiretina.scoring` that puts it into `result.json`, and a line in `COLUMNS`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from semiretina.report.pictures import Picture

# Tables with a column for each of their scores.
RESULTS, MORE, EYES, SUBGROUPS = "results", "more scores", "eyes and patients", "subgroups"


class Score(NamedTuple):
    """A number with its 95 % interval; None where undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Cell(NamedTuple):
    """What stands in a row of a table under one column: a text and, in brackets, its interval (or ""), or a picture.

    `score` is the number that the text rounds. `color` draws a chip before the text, `shade` tints the cell by a
    percentage, and `aside` follows the text where it heads a group of rows.
    """

    text: str = ""
    interval: str = ""
    score: Score | None = None
    color: str = ""
    shade: int | None = None
    aside: str = ""
    picture: Picture | None = None

    def __str__(self) -> str:
        return f"{self.text} {self.interval}".rstrip()


def percent(score: Score) -> Cell:
    """A share as a percentage with one decimal."""
    return _cell(score, 100, 1)


def ratio(score: Score) -> Cell:
    """An area or a kappa with three decimals."""
    return _cell(score, 1, 3)


def number(score: Score) -> Cell:
    """How many."""
    return _cell(score, 1, 0)


def _cell(score: Score, factor: float, digits: int) -> Cell:
    if score.value is None:
        return Cell()
    text = f"{score.value * factor:.{digits}f}"
    if score.low is None or score.high is None:
        return Cell(text, score=score)
    return Cell(text, f"[{score.low * factor:.{digits}f}, {score.high * factor:.{digits}f}]", score)


class Column(NamedTuple):
    """A score's title, its format, the tables in which it stands, and how it is read where that needs saying."""

    title: str
    show: Callable[[Score], Cell]
    tables: Sequence[str]
    note: str = ""


PREDICTIVE = "PPV and NPV depend on how common the disease is: they hold at the prevalence beside them."
ERRORS = "Brier score and ECE (expected calibration error, 15 bins) are better the nearer to 0."
CHANCE = (
    "ECE by chance: what a grader whose probabilities are exactly right would show on so few photographs, with the "
    "range of 95 % of draws; an ECE in that range says nothing against the grader."
)
# By its name in `result.json`, in the order of the columns.
COLUMNS: Mapping[str, Column] = {
    "ungradable_rate": Column("ungradable %", percent, [EYES]),
    "derived": Column("derived labels", number, [RESULTS]),
    "majority": Column("majority vote %", percent, [RESULTS]),
    "accuracy": Column("accuracy %", percent, [RESULTS, EYES, SUBGROUPS]),
    "auroc": Column("AUROC", ratio, [RESULTS, EYES, SUBGROUPS]),
    "sensitivity": Column("sensitivity %", percent, [RESULTS, EYES, SUBGROUPS]),
    "specificity": Column("specificity %", percent, [RESULTS, EYES, SUBGROUPS]),
    "quadratic_kappa": Column("quadratic kappa", ratio, [RESULTS, EYES]),
    "referral_rate": Column("referred %", percent, [EYES]),
    "balanced_accuracy": Column("balanced accuracy %", percent, [MORE]),
    "average_precision": Column("average precision", ratio, [MORE]),
    "ppv": Column("PPV %", percent, [MORE], PREDICTIVE),
    "npv": Column("NPV %", percent, [MORE], PREDICTIVE),
    "prevalence": Column("at a prevalence of %", percent, [MORE]),
    "brier": Column("Brier score", ratio, [MORE], ERRORS),
    "ece": Column("ECE", ratio, [MORE], ERRORS),
    "ece_by_chance": Column("ECE by chance", ratio, [MORE], CHANCE),
}


def columns_of(table: str) -> dict[str, Column]:
    """The scores that stand in that table."""
    return {name: column for name, column in COLUMNS.items() if table in column.tables}


def title_of(name: str) -> str:
    """What a score is called in a sentence."""
    return COLUMNS[name].title.removesuffix(" %")


def score(scores: Mapping[str, Any], name: str) -> Score:
    """A score of `result.json`, a bare number or an estimate; all None where it does not stand there."""
    stated = scores.get(name)
    if isinstance(stated, Mapping):
        return Score(stated.get("value"), stated.get("low"), stated.get("high"))
    return Score(stated)
