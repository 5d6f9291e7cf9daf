"""The network of figure 2: an encoder that the classifier and the decoder share."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from semiretina.errors import BadConfig
from semiretina.models.classifier import Classifier, pool

BatchNorm = Literal["train", "frozen"]


class Network(nn.Module):
    """Encoder, classifier and, in an autoencoder, decoder.

    Photographs enter as float [n, 3, h, w] in [0, 1]; the encoder's own normalisation, (image - mean) / std, happens
    inside. The decoder gives photographs on the scale of [0, 1] again. `batch_norm = "frozen"` keeps the statistics of
    the encoder's batch norms as they are, also in training, while their scale and shift learn. `facts` are the
    arguments of `build_network` that build the same network again, without its weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        classifier: Classifier,
        decoder: nn.Module | None = None,
        *,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        batch_norm: BatchNorm = "train",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier
        self.decoder = decoder
        self.batch_norm = batch_norm
        self.facts: dict[str, Any] = {}
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), persistent=False)
        self.train()

    def encode(self, images: Tensor) -> Tensor:
        """[n, 3, h, w] in [0, 1] -> the encoder's map [n, c, h', w']."""
        features: Tensor = self.encoder((images - self.mean) / self.std)
        return features

    def learns_from_one(self, size: int) -> bool:
        """Whether it trains on one photograph of that side; batch normalisation may need two at once."""
        try:
            self.train().encode(torch.empty((1, 3, size, size), device=self.mean.device))
        except ValueError:
            return False
        return True

    def classify(self, features: Tensor) -> dict[str, Tensor]:
        """The encoder's map -> task -> logits [n, outputs]."""
        logits: dict[str, Tensor] = self.classifier(features)
        return logits

    def answers(self, features: Tensor) -> list[tuple[float, dict[str, Tensor]]]:
        """What a loss is made of: logits by task, each with its weight in the loss."""
        return [(1.0, self.classify(features))]

    def decode(self, features: Tensor) -> Tensor:
        """The encoder's map -> reconstructed photographs [n, 3, h, w]. Raises BadConfig where there is no decoder."""
        if self.decoder is None:
            name = self.facts.get("name", "this network")
            raise BadConfig(f"model: {name} has no decoder to reconstruct with; choose an autoencoder such as aeres18")
        images: Tensor = self.decoder(features)
        return images

    def embed(self, images: Tensor) -> Tensor:
        """[n, 3, h, w] in [0, 1] -> the pooled features that the classifier reads, [n, c]."""
        return pool(self.encode(images))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """[n, 3, h, w] in [0, 1] -> task -> logits [n, outputs]."""
        return self.classify(self.encode(images))

    def train(self, mode: bool = True) -> Self:
        """torch's `train`, but for the encoder's batch norms when they are frozen."""
        super().train(mode)
        if self.batch_norm == "frozen":
            for module in self.encoder.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def check_size(name: str, size: int, smallest: int, multiple: int = 1, *, power_of_two: bool = False) -> None:
    """Raises BadConfig that names the nearest side that fits, unless `size` fits."""
    if power_of_two:
        rule = "a side that is a power of two,"
        nearest = max(smallest, 1 << max(0, size - 1).bit_length())
    else:
        rule = f"a side that is a multiple of {multiple}," if multiple > 1 else "a side of"
        nearest = max(smallest, multiple * round(size / multiple))
    if nearest != size:
        raise BadConfig(f"model: {name} needs {rule} at least {smallest}; {size} was asked for; try {nearest}")
