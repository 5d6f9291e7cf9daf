"""What `semiretina evaluate` prints: the scores of each output, of its eyes and patients, and of subgroups."""

from collections.abc import Mapping, Sequence
from typing import Any

Lines = list[str]


def to_text(result: Mapping[str, Any]) -> str:
    """The answer of `evaluate` for people to read; a caution that holds for several outputs is said once."""
    lines = [f"{name}: {value}" for name, value in result.items() if name != "scores"]
    cautions: dict[str, None] = {}
    for key, scores in result["scores"].items():
        lines += ["", key, *_indented(_scores(scores))]
        cautions |= dict.fromkeys(scores["caution"])
    if cautions:
        lines += ["", "caution", *_indented(list(cautions))]
    return "\n".join(lines)


def _scores(scores: Mapping[str, Any]) -> Lines:
    lines = []
    for name, value in scores.items():
        if name in ("levels", "strata", "caution"):
            continue
        lines.append(f"{name}: {_cell(value, 3) or _undefined(scores)}")
    levels = scores["levels"]
    rows = [[name, *(_cell(scores_of[name], 3) for scores_of in levels.values())] for name in levels["photograph"]]
    lines += ["", *_table([["level", *levels], *rows])]
    for kind, subgroups in scores["strata"].items():
        names = list(next(iter(subgroups.values())))
        rows = [[subgroup, *(_cell(stated[name], 2) for name in names)] for subgroup, stated in subgroups.items()]
        lines += ["", *_table([[kind, *names], *rows])]
    return lines


def _undefined(scores: Mapping[str, Any]) -> str:
    if not scores["n"]:
        return "undefined (no label)"
    # With both classes only a predictive value can be undefined.
    both = 0 < scores.get("positives", 0) < scores["n"]
    return "undefined (nobody was answered so)" if both else "undefined (one class only)"


def _cell(value: Any, digits: int) -> str:
    """A count, a number, or an estimate with its interval; "" where undefined."""
    if isinstance(value, Mapping):
        shown, low, high = _cell(value["value"], digits), value["low"], value["high"]
        return shown if low is None or high is None else f"{shown} [{low:.{digits}f}, {high:.{digits}f}]"
    if value is None:
        return ""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _table(rows: Sequence[Sequence[str]]) -> Lines:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _indented(lines: Sequence[str]) -> Lines:
    return [f"  {line}".rstrip() for line in lines]
