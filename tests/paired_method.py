"""A method whose steps have two sides, as consistency training will: what the paired stream is tested with."""

from semiretina.batch import Views
from semiretina.methods.method import Method, side, weighted_sum


class Paired(Method):
    """The classification losses of the labelled side, and the distance of two views' answers on the unlabelled one."""

    stream = "paired"
    views = Views(labeled=("weak",), unlabeled=("weak", "weak_2"))

    def forward(self, batch, progress):
        labeled, unlabeled = side(batch.labeled), side(batch.unlabeled)
        features = self.network.encode(labeled.views["weak"])
        losses = self.classification_losses(features, labeled)
        loss_cl = weighted_sum(self.parts_of_update(batch, losses), 1.0, features)
        one, other = (self.network(unlabeled.views[view]) for view in ("weak", "weak_2"))
        distance = sum((one[task].sigmoid() - other[task].flip(1).sigmoid() - 0.1).square().mean() for task in one)
        logs = {f"loss_{task}": loss.detach() for task, loss in losses.items()}
        return {"loss": loss_cl + batch.part(len(unlabeled), "unlabeled") * distance, **logs}
