"""Methods: one short file each, the objective in its `forward`."""

from collections.abc import Mapping

from semiretina.methods.balanced import Balanced
from semiretina.methods.combined import Combined
from semiretina.methods.linear_probe import LinearProbe
from semiretina.methods.method import Method
from semiretina.methods.reconstruction import Reconstruction
from semiretina.methods.supervised import Supervised

METHODS: Mapping[str, type[Method]] = {
    "supervised": Supervised,
    "reconstruction": Reconstruction,
    "combined": Combined,
    "balanced": Balanced,
    "linear_probe": LinearProbe,
}

__all__ = ["METHODS", "Method"]
