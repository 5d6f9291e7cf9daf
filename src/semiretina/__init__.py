"""Semi-supervised grading of diabetic retinopathy from fundus photographs.

`semiretina.train(config, out)` runs one experiment; `semiretina.load(run)` gives the grader that it hands over, whose
`predict` takes photographs. Research software, not a medical device.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Grader", "Method", "evaluate", "load", "quickstart", "train", "train_folds"]

if TYPE_CHECKING:
    from semiretina.experiment import train
    from semiretina.judging.evaluate import evaluate
    from semiretina.judging.grader import Grader, load
    from semiretina.methods import Method
    from semiretina.studies.folds import train_folds
    from semiretina.studies.quickstart import quickstart

_HOMES = {
    "Grader": "semiretina.judging.grader",
    "Method": "semiretina.methods",
    "evaluate": "semiretina.judging.evaluate",
    "load": "semiretina.judging.grader",
    "quickstart": "semiretina.studies.quickstart",
    "train": "semiretina.experiment",
    "train_folds": "semiretina.studies.folds",
}


def __getattr__(name: str) -> Any:
    """The public names, imported on first use: torch takes seconds, and `--help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'semiretina' has no attribute '{name}'; public are {', '.join(__all__)}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
