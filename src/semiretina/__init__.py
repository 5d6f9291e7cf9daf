"""Semi-supervised grading of diabetic retinopathy from fundus photographs.

`semiretina.train(config, out)` runs one experiment; `semiretina.load_grader(run)` gives the grader that it hands
over. Research software, not a medical device.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Grader", "Method", "load_grader", "train"]

if TYPE_CHECKING:
    from semiretina.experiment import train
    from semiretina.judging.grader import Grader, load_grader
    from semiretina.methods import Method

_HOMES = {
    "train": "semiretina.experiment",
    "load_grader": "semiretina.judging.grader",
    "Grader": "semiretina.judging.grader",
    "Method": "semiretina.methods",
}


def __getattr__(name: str) -> Any:
    """The public names, imported on first use: torch takes seconds, and `--help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'semiretina' has no attribute '{name}'; public are {', '.join(__all__)}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)
