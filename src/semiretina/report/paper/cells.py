"""The paper's trainings as facts: one cell a training, with the number that the paper prints or draws for it.

Accuracies are percentages: the maximum over epochs of the accuracy on the test set, unless `read_off` says otherwise.
A number that stands in a figure only was read off it (readings, "The paper's numbers to print beside ours").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Training = Literal["baseline", "AE then CL", "AE-CL combined"]
TRAININGS: tuple[Training, ...] = ("baseline", "AE then CL", "AE-CL combined")


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of the paper. Its settings are `configs/paper/PRESET/NAME.toml`."""

    model: str
    training: Training
    paper: float | None  # None: the paper has words, but no number
    read_off: str  # where the number stands
    figures: tuple[str, ...] = ()  # in which its curve is drawn
    weights: str = ""  # the file of pretrained weights that it needs, without ".safetensors"; "" = random ones
    nearer: bool = False  # pretrained on another set of fundus photographs with labels (readings, row 34)
    variant: str = ""  # what else differs

    @property
    def title(self) -> str:
        """What it is called in tables and legends."""
        start = "pretrained on fundus photographs" if self.nearer else "not pretrained"
        start = "pretrained" if self.weights else start
        training = "" if self.training == "baseline" else self.training
        return ", ".join(filter(None, [self.model, "" if self.model == "AECL1" else start, self.variant, training]))


CELLS: Mapping[str, Cell] = {
    "aecl1-baseline": Cell("AECL1", "baseline", 74.79, "table 2", ("6a",)),
    "aecl1-ae-then-cl": Cell("AECL1", "AE then CL", 76.47, "table 2", ("6a",)),
    "aecl1-combined": Cell("AECL1", "AE-CL combined", 73.53, "table 2", ("6a",)),
    "aeres18-baseline": Cell("AERes18", "baseline", 86.97, "table 2", ("5b", "6b"), "resnet18"),
    "aeres18-ae-then-cl": Cell("AERes18", "AE then CL", 89.08, "table 2", ("6b",), "resnet18"),
    "aeres18-combined": Cell("AERes18", "AE-CL combined", 89.08, "table 2", ("6b",), "resnet18"),
    "res18-scratch": Cell("Res18", "baseline", 62.0, "figure 5b, mean of runs in late epochs", ("5b",)),
    "resnet18-pretrained": Cell("ResNet18", "baseline", 91.2, "figure 5a", ("5a",), "resnet18"),
    "resnet18-scratch": Cell("ResNet18", "baseline", 72.6, "figure 5a", ("5a",)),
    "inceptionv3-pretrained": Cell("InceptionV3", "baseline", 90.3, "figure 5a", ("5a",), "inceptionv3"),
    "inceptionv3-scratch": Cell("InceptionV3", "baseline", 61.3, "figure 5a", ("5a",)),
    "resnet18-nearer": Cell("ResNet18", "baseline", None, "section 5.3, in words", nearer=True),
    "inceptionv3-small-epsilon": Cell("InceptionV3", "baseline", None, "section 5.2, in words", variant="ε = 1e-8"),
}

# The rows of table 2, with the trainings in the order of TRAININGS; the fixed lambda of the paper.
TABLE_2: Mapping[str, tuple[str, str, str]] = {
    "AECL1 (λ = 400)": ("aecl1-baseline", "aecl1-ae-then-cl", "aecl1-combined"),
    "AERes18 (λ = 3)": ("aeres18-baseline", "aeres18-ae-then-cl", "aeres18-combined"),
}
# The baselines of figure 5, which the paper does not tabulate, and two that it names without a number.
BASELINES = (
    *("resnet18-pretrained", "resnet18-scratch", "inceptionv3-pretrained", "inceptionv3-scratch", "res18-scratch"),
    *("resnet18-nearer", "inceptionv3-small-epsilon"),
)
