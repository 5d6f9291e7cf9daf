"""The paper's claims in words: a table of what it says and where, the number it gives, and how ours is worked out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from semiretina.report.paper.cells import CELLS, TABLE_2
from semiretina.report.paper.evidence import (
    Evidence,
    equivalence,
    first_accuracies,
    gain,
    helped,
    imagenet_ratio,
    mcnemar,
    overfitting,
    speed,
    steadiness,
)
from semiretina.report.paper.numbers import PAPER_TEST


class Claim(NamedTuple):
    """A sentence of the paper, its section, the number it stands on, and what works ours out."""

    sentence: str
    section: str
    paper: str
    ours: Callable[[Evidence], str]


CLAIMS: Sequence[Claim] = (
    Claim(
        "a small amount of unlabelled data can improve the classifier by around 2 %",
        "1",
        "AECL1 +1.68 and -1.26 points, AERes18 +2.1 and +2.1 points",
        helped(("aecl1", "aeres18")),
    ),
    Claim(
        "pre-training on unlabelled data helps, shown by the higher starting accuracy",
        "5.4, figure 6a",
        "about 57 % (the majority vote, for 60 epochs)",
        first_accuracies("aecl1-ae-then-cl", "aecl1-baseline"),
    ),
    Claim(
        "AE then CL1 is 1.68 % above the CL1 baseline",
        "5.4, table 2",
        "+1.68 points: 4 of 238 photographs",
        gain("aecl1-ae-then-cl", "aecl1-baseline"),
    ),
    Claim(
        "the combined loss converges faster than AE then CL1 and CL1",
        "5.4, figure 6a",
        "no number",
        speed({"combined": "aecl1-combined", "AE then CL": "aecl1-ae-then-cl", "baseline": "aecl1-baseline"}),
    ),
    Claim(
        "the combined model's maximum is not above the CL1 baseline",
        "5.4, table 2",
        "-1.26 points",
        gain("aecl1-combined", "aecl1-baseline"),
    ),
    Claim(
        "AERes18, AE then CL, is 2.1 % above Res18",
        "table 2",
        "+2.1 points: 5 of 238 photographs",
        gain("aeres18-ae-then-cl", "aeres18-baseline"),
    ),
    Claim(
        "AERes18, combined, is 2.1 % above Res18",
        "5.4, 6",
        "+2.1 points: 5 of 238 photographs",
        gain("aeres18-combined", "aeres18-baseline"),
    ),
    Claim(
        "AERes18 with unlabelled data is 2.1 % above the pretrained ResNet18 classifier",
        "6",
        "-2.1 points: figure 5a's ResNet18 peaks near 91.2 %",
        gain("aeres18-combined", "resnet18-pretrained"),
    ),
    Claim(
        "pre-training on ImageNet improves InceptionV3 by about 30 %",
        "5.3, figure 5a",
        "+29 points",
        gain("inceptionv3-pretrained", "inceptionv3-scratch"),
    ),
    Claim(
        "pre-training on ImageNet improves ResNet18 by about 20 %",
        "5.3, figure 5a",
        "+18.6 points",
        gain("resnet18-pretrained", "resnet18-scratch"),
    ),
    Claim(
        "pre-training on a dataset with more similar distribution may improve the performance even further",
        "5.3",
        "no number",
        gain("resnet18-nearer", "resnet18-pretrained"),
    ),
    Claim(
        "the variance of the accuracy over epochs decreases after pre-training",
        "5.3",
        "no number",
        steadiness(
            "pretrained and not",
            {
                "ResNet18": ("resnet18-pretrained", "resnet18-scratch"),
                "InceptionV3": ("inceptionv3-pretrained", "inceptionv3-scratch"),
            },
        ),
    ),
    Claim(
        "an epsilon of 0.1 was necessary to improve the stability of InceptionV3",
        "5.2",
        "no number",
        steadiness(
            "with Adam's ε = 0.1 and 1e-8", {"InceptionV3": ("inceptionv3-scratch", "inceptionv3-small-epsilon")}
        ),
    ),
    Claim(
        "InceptionV3 is worse than ResNet18 when neither is pre-trained",
        "5.3",
        "61.3 against 72.6 %",
        gain("inceptionv3-scratch", "resnet18-scratch"),
    ),
    Claim(
        "the ratio of pixels to parameters is much larger on ImageNet",
        "5.3",
        "27.5 and 63.9 on Messidor, no number for ImageNet",
        imagenet_ratio({"InceptionV3": "inceptionv3-scratch", "ResNet18": "resnet18-scratch"}),
    ),
    Claim(
        "overfitting becomes an issue as the number of parameters approaches the amount of data",
        "5.3",
        "no number",
        overfitting({"InceptionV3": "inceptionv3-scratch", "ResNet18": "resnet18-scratch"}),
    ),
    Claim(
        "Res18 performs like ResNet18",
        "5.3, figure 5",
        "86.97 (table 2) against 91.2 %",
        gain("aeres18-baseline", "resnet18-pretrained"),
    ),
    Claim("accuracy and area under the ROC curve are equivalent", "4.6", "no number", equivalence),
)


def paper_gains() -> list[tuple[str, int, int, float]]:
    """The gains of table 2: in words, in photographs, of how many, and the least p they can have (readings, row 32).

    The least: where every photograph on which the two runs differ was gained.
    """
    gains = []
    for title, (baseline, *others) in TABLE_2.items():
        for name in others:
            percent, before = CELLS[name].paper, CELLS[baseline].paper
            assert percent, name
            assert before, baseline
            gained = round((percent - before) * PAPER_TEST / 100)
            if gained > 0:
                model = title.partition(" ")[0]
                gains.append((f"{model}, {CELLS[name].training}", gained, PAPER_TEST, mcnemar(gained, 0)))
    return gains
