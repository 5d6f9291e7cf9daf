"""First stages in which several points of a grid agree, and which are therefore trained once.

Ninety-six settings of a classifier's training after one autoencoder's need that autoencoder once. What is drawn in a
stage is a function of the seed and of the stage's number, so a point that starts from the end of its first stages ends
with the bits of one that was trained whole.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from semiretina.config import Config

FOLDER = "first-stages"  # in the folder of a sweep; their run folders


@dataclass(frozen=True)
class FirstStages:
    """A training that ends where several points part; `key` is the name of its run folder."""

    key: str
    config: Config
    before: "FirstStages | None" = None  # it starts from these in turn, which still more points have in common

    def __str__(self) -> str:
        names = [stage.method["name"] for stage in self.config.stages]
        return f"first {f'{len(names)} stages' if len(names) > 1 else 'stage'} ({', '.join(names)})"


def beginnings(config: Config) -> Iterator[Config]:
    """The configuration's first stage alone, its first two, and so on, but not all of them.

    They keep whatever has a say in these stages or in what the log says of them. The rest comes after the last stage.
    """
    for count in range(1, len(config.stages)):
        yield config.model_copy(
            update={"stages": config.stages[:count], "operating": None, "claim": None, "prevalence": {}}
        )


def find_first_stages(keys: Sequence[Sequence[str]], configs: Sequence[Config]) -> list[FirstStages | None]:
    """For each configuration the longest first stages that another one has too; None where there are none.

    `keys` names the `beginnings` of each: equal keys are equal trainings.
    """
    having = Counter(key for of_one in keys for key in of_one)
    chains: list[FirstStages | None] = []
    for of_one, config in zip(keys, configs, strict=True):
        chain = None
        longer = [*(having[key] for key in of_one[1:]), 1][: len(of_one)]
        for key, beginning, having_more in zip(of_one, beginnings(config), longer, strict=True):
            # Where all that have these stages have the next one too, they part later.
            if having[key] > having_more:
                chain = FirstStages(key, beginning, chain)
        chains.append(chain)
    return chains


def all_of(first: FirstStages | None) -> list[FirstStages]:
    """These and the ones before them, in the order in which they are trained."""
    return [*all_of(first.before), first] if first else []
