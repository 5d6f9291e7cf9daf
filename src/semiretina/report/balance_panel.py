"""How the terms of the loss were weighed against each other: their weights, and what they ask of the encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

from semiretina.report.figures import Trace, trace_panel
from semiretina.report.panels import Epochs
from semiretina.report.pictures import Picture
from semiretina.report.runs import Run

NORMS = {"grad_norm_ae": "autoencoder", "grad_norm_cl": "classifier"}


def balance_panels(runs: Sequence[Run], epochs: Epochs) -> list[Picture]:
    """For every stage that logged both gradients' norms: the weights over them, where it logged some."""
    pictures = []
    for run in runs:
        lengths = {(r["phase"], r["stage"], r["epoch"]): len(r["losses"]) for r in epochs[run.label]}
        stages: dict[int, list[Mapping[str, Any]]] = {}
        for row in run.steps():
            # A row of an epoch that has not ended belongs to nothing that is shown.
            if row["phase"] == "train" and "grad_norm_ae" in row and _place(row) in lengths:
                stages.setdefault(row["stage"], []).append(row)
        for stage, rows in stages.items():
            at = [row["epoch"] + row["step"] / lengths[_place(row)] for row in rows]
            weights = [name for name in dict.fromkeys(key for row in rows for key in row) if _is_weight(name)]
            parts = [("weight", [_trace(_name(name), name, rows, at) for name in weights])] if weights else []
            parts.append(("norm of dL/dE", [_trace(label, name, rows, at) for name, label in NORMS.items()]))
            several = f", stage {stage + 1}" if len(run.config["stages"]) > 1 else ""
            pictures.append(trace_panel(f"{run.label}{several}: weights and gradients", parts))
    return pictures


def _place(row: Mapping[str, Any]) -> tuple[str, int, int]:
    return row["phase"], row["stage"], row["epoch"]


def _is_weight(name: str) -> bool:
    return name == "mu" or name.startswith(("lambda_", "weight_"))


def _name(logged: str) -> str:
    """As the formulas write it: mu of the autoencoder, lambda of a task, w of a term."""
    kind, _, term = logged.partition("_")
    return f"{ {'mu': 'μ', 'lambda': 'λ', 'weight': 'w'}[kind] } {term}".strip()


def _trace(label: str, name: str, rows: Sequence[Mapping[str, Any]], at: Sequence[float]) -> Trace:
    known = [(epoch, row[name]) for epoch, row in zip(at, rows, strict=True) if row.get(name) is not None]
    return Trace(label, [epoch for epoch, _ in known], [value for _, value in known])
