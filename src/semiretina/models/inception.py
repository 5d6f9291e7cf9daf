"""InceptionV3's auxiliary head: a second, early answer that training listens to and evaluation leaves out."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.inception import InceptionAux

from semiretina.models.network import Network

AUXILIARY_SIDE = 299  # of photographs; smaller ones leave the head's 5x5 kernel a map that is too small
AUXILIARY_WEIGHT = 0.4  # torchvision's, in its tutorial on fine-tuning; the paper gives none
LAST_BEFORE = "Mixed_6e"  # [n, 768, h, w], the map that the head reads


class Inception(Network):
    """A network around InceptionV3's encoder whose loss is L + 0.4 L_aux (Szegedy et al., CVPR 2016; torchvision)."""

    def __init__(self, *given: Any, **settings: Any) -> None:
        """As `Network`."""
        super().__init__(*given, **settings)
        self.outputs: dict[str, int] = {task: h.out_features for task, h in self.classifier.heads.items()}  # type: ignore[misc]
        self.auxiliary = InceptionAux(768, sum(self.outputs.values()))
        for module in self.auxiliary.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # As torchvision starts this head.
                nn.init.trunc_normal_(module.weight, std=float(getattr(module, "stddev", 0.1)), a=-2, b=2)
        self._middle: Tensor | None = None  # of the photographs that were encoded last, until they are answered

    def encode(self, images: Tensor) -> Tensor:
        """As `Network.encode`; in training the map that the auxiliary head reads is kept."""
        values = (images - self.mean) / self.std
        for name, layer in self.encoder.named_children():
            values = layer(values)
            if self.training and name == LAST_BEFORE:
                self._middle = values
        return values

    def answers(self, features: Tensor) -> list[tuple[float, dict[str, Tensor]]]:
        """As `Network.answers`, with the auxiliary head's in training."""
        answers = super().answers(features)
        middle, self._middle = self._middle, None
        if self.training and torch.is_grad_enabled():
            assert middle is not None, "a network in training answers what it has encoded, once"
            assert len(middle) == len(features), (len(middle), len(features))
            logits = self.auxiliary(middle).split(list(self.outputs.values()), dim=1)
            answers.append((AUXILIARY_WEIGHT, dict(zip(self.outputs, logits, strict=True))))
        return answers
