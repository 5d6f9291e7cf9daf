"""The contract of a method, over every entry of METHODS."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from semiretina.batch import Batch, Photographs, Progress
from semiretina.data.steps import STREAMS, Sides
from semiretina.errors import BadConfig
from semiretina.losses.reconstruction import RECONSTRUCTION_LOSSES
from semiretina.methods import METHODS
from semiretina.methods.balance import BALANCES
from semiretina.methods.balanced import with_gradients
from semiretina.methods.linear_probe import HEADS, LinearProbe
from semiretina.methods.method import gradient_norm
from semiretina.methods.method import gradients as gradients_by_autograd
from semiretina.models import build_network
from semiretina.tasks import make_task
from tasks_of import tasks_of

# method -> the parts of the network that it trains
TRAINS = {
    "supervised": {"encoder", "classifier"},
    "reconstruction": {"encoder", "decoder"},
    "combined": {"encoder", "classifier", "decoder"},
    "balanced": {"encoder", "classifier", "decoder"},
    "linear_probe": set(),
}
USES_UNLABELED = {
    "supervised": False,
    "reconstruction": True,
    "combined": True,
    "balanced": True,
    "linear_probe": False,
}
# what a method must be given
GIVEN = {"combined": {"lambda_cl": 1.0}}
# what it may be given besides its defaults, which are "mse" and "norm_ratio": each stands under the contract alone
LOSSES = [name for name in RECONSTRUCTION_LOSSES if name != "mse"]
CHOICES = [
    *((name, {"reconstruction": loss}) for name in ("reconstruction", "combined") for loss in LOSSES),
    *(("balanced", {"balance": {"name": name}}) for name in BALANCES if name != "norm_ratio"),
]
# parameters of the network that a method needs
NETWORK = {"linear_probe": {"hidden": 0}}


def photographs(count, seed, *, labeled, first=0):
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, 32, 32, generator=random)
    targets = {}
    if labeled:
        targets["dr"] = (torch.arange(count) % 2).float()[:, None]
        images[1::2, :, 8:24, 8:24] = 1.0
    return Photographs({"weak": images, "plain": images}, np.arange(first, first + count), targets)


def make(name, make_network, **parameters):
    torch.manual_seed(3)
    network = make_network(**NETWORK.get(name, {}))
    return METHODS[name](network, tasks_of(network), **{**GIVEN.get(name, {}), **parameters})


def batches(method, unlabeled_seed):
    """An epoch of the method's own stream over eight labelled and eight unlabelled photographs, batches of four."""
    sides = {True: photographs(8, 1, labeled=True), False: photographs(8, unlabeled_seed, labeled=False, first=8)}

    def part(rows, labeled):
        if not len(rows):
            return None
        whole, places = sides[labeled], rows - sides[labeled].rows[0]
        views = {view: images[places] for view, images in whole.views.items()}
        return Photographs(views, rows, {task: values[places] for task, values in whole.targets.items()})

    steps = STREAMS[method.stream](Sides(np.arange(8), np.arange(8, 16), 4), ("test",), 0)
    return [Batch(part(step.labeled, True), part(step.unlabeled, False)) for step in steps]


def epoch(method, unlabeled_seed, at_start):
    """The logs of each step, after adding up all gradients."""
    logs = []
    for batch in batches(method, unlabeled_seed):
        logs.append(method(batch, at_start))
        if logs[-1]["loss"].requires_grad:
            logs[-1]["loss"].backward()
    return logs


def gradients(part):
    return [parameter.grad for parameter in part.parameters()]


def ids(value):
    return ("-".join(map(str, value.values())) or "default") if isinstance(value, dict) else value


everything = pytest.mark.parametrize(("name", "parameters"), [*((n, {}) for n in METHODS), *CHOICES], ids=ids)


def test_every_method_is_tried():
    assert METHODS.keys() == TRAINS.keys() == USES_UNLABELED.keys()


@everything
def test_loss_is_a_finite_scalar_and_logs_are_detached(name, parameters, make_network, at_start):
    method = make(name, make_network, **parameters)
    for logs in epoch(method, 2, at_start):
        assert logs["loss"].shape == ()
        assert torch.isfinite(logs["loss"])
        assert logs["loss"].requires_grad == bool(TRAINS[name])
        for key, value in logs.items():
            assert value.shape == (), key
            assert key == "loss" or not value.requires_grad, key


@everything
def test_parts_that_are_not_trained_keep_no_gradient(name, parameters, make_network, at_start):
    method = make(name, make_network, **parameters)
    epoch(method, 2, at_start)
    for part in ("encoder", "classifier", "decoder"):
        found = gradients(getattr(method.network, part))
        if part in TRAINS[name]:
            assert all(gradient is not None for gradient in found), part
            assert any(gradient.abs().sum() > 0 for gradient in found), part
        else:
            assert all(gradient is None for gradient in found), part


@everything
def test_unlabeled_photographs_move_the_encoder_where_they_should(name, parameters, make_network, at_start):
    found = []
    for seed in (2, 5):
        method = make(name, make_network, **parameters)
        epoch(method, seed, at_start)
        found.append(gradients(method.network.encoder))
    differ = any(a is not None and not torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert differ == USES_UNLABELED[name]


def test_combined_leaves_the_classifier_alone_on_an_unlabeled_step(make_network, at_start):
    method = make("combined", make_network)
    logs = method(Batch(unlabeled=photographs(4, 2, labeled=False)), at_start)
    logs["loss"].backward()
    assert set(logs) == {"loss", "loss_ae"}
    assert all(gradient is None for gradient in gradients(method.network.classifier))
    assert all(gradient is not None for gradient in gradients(method.network.encoder))


def binary_formula(logits, targets, alpha):
    p = 1 / (1 + torch.exp(-logits))
    return -(alpha * targets * torch.log(p) + (1 - targets) * torch.log(1 - p)).mean()


def test_the_losses_are_those_of_equations_1_to_3(make_network, at_start):
    batch = Batch(labeled=photographs(4, 1, labeled=True))
    images, targets = batch.labeled.views["weak"], batch.labeled.targets["dr"]
    network = make_network()
    tasks = tasks_of(network)
    features = network.encode(images)
    error = ((network.decode(features) - images) ** 2).sum() / 4
    graded = binary_formula(network.classify(features)["dr"], targets, alpha=2.0)
    combined = METHODS["combined"](network, tasks, lambda_cl=3.0, alpha=2.0, reduction="image")(batch, at_start)
    assert float(combined["loss"]) == pytest.approx(float(error + 3 * graded), rel=1e-5)
    assert float(combined["loss_ae"]) == pytest.approx(float(error), rel=1e-5)
    assert float(combined["loss_dr"]) == pytest.approx(float(graded), rel=1e-5)
    supervised = METHODS["supervised"](network, tasks, lambda_cl={"dr": 3.0}, alpha={"dr": 2.0})(batch, at_start)
    assert float(supervised["loss"]) == pytest.approx(float(3 * graded), rel=1e-5)
    alone = METHODS["reconstruction"](network, tasks, reduction="image")(Batch(unlabeled=batch.labeled), at_start)
    assert float(alone["loss"]) == pytest.approx(float(error), rel=1e-5)


def test_a_task_that_is_not_named_has_lambda_and_alpha_one(make_network, at_start):
    network = make_network({"dr": 1, "severity": 3})
    whole = photographs(4, 1, labeled=True)
    batch = Batch(Photographs(whole.views, whole.rows, {**whole.targets, "severity": torch.tensor([0, 1, 2, -1])}))
    logs = METHODS["supervised"](network, tasks_of(network), lambda_cl={"dr": 10.0})(batch, at_start)
    expected = 10 * logs["loss_dr"] + logs["loss_severity"]
    assert float(logs["loss"]) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("name", ["supervised", "combined"])
def test_the_task_and_not_its_targets_chooses_the_loss(name, make_network, at_start):
    """Soft grades [n, 5] are of one choice, and weigh as photographs; those of "lesions" are four of yes or no."""
    network = make_network({"severity": 5, "lesions": 4})
    soft = torch.tensor([[0.5, 0.5, 0, 0, 0], [0, 0, 0.2, 0.3, 0.5], [torch.nan] * 5])
    marked = torch.tensor([[1.0, 0, torch.nan, 0.5], [torch.nan] * 4, [torch.nan] * 4])
    images = torch.rand(3, 3, 32, 32)
    labeled = Photographs({"weak": images}, np.arange(3), {"severity": soft, "lesions": marked})
    with torch.no_grad():
        logits = network(images)
        error = ((network.decode(network.encode(images)) - images) ** 2).mean()
    grades = -(soft[:2] * torch.log(torch.softmax(logits["severity"][:2], 1))).sum() / 2
    p, y = torch.sigmoid(logits["lesions"][0, [0, 1, 3]]), marked[0, [0, 1, 3]]
    lesions = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    method = METHODS[name](network, tasks_of(network), **GIVEN.get(name, {}))
    logs = method(Batch(labeled), at_start)
    assert float(logs["loss_severity"]) == pytest.approx(float(grades), rel=1e-5)
    assert float(logs["loss_lesions"]) == pytest.approx(float(lesions), rel=1e-5)
    # Of an update of 8 photographs, 4 known grades and 6 known lesions: two grades and three lesions are a half.
    planned = {"labeled": 8.0, "unlabeled": 0.0, "severity": 4.0, "lesions": 6.0}
    part = method(Batch(labeled, planned=planned), at_start)["loss"]
    expected = grades / 2 + lesions / 2 + (3 / 8 * error if name == "combined" else 0)
    assert float(part) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("parameter", ["lambda_cl", "alpha"])
@pytest.mark.parametrize("name", ["supervised", "combined"])
def test_a_number_for_an_unknown_task_is_refused(name, parameter, make_network):
    with pytest.raises(BadConfig, match=f"{parameter}: no task 'severity'; this experiment has dr"):
        make(name, make_network, **{parameter: {"severity": 2.0}})


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.reconstructs])
def test_a_network_without_decoder_is_refused(name):
    with torch.device("meta"):
        network = build_network("res18", {"dr": 1}, 64, {})
    with pytest.raises(BadConfig, match="needs a decoder, and the model 'res18' has none"):
        METHODS[name](network, tasks_of(network), **GIVEN.get(name, {}))


def test_the_norms_of_both_encoder_gradients(make_network, at_start):
    method = make("combined", make_network, lambda_cl=5.0)
    batch = Batch(labeled=photographs(4, 1, labeled=True))
    logs = method(batch, at_start)
    twin = copy.deepcopy(method)
    images = batch.labeled.views["weak"]
    for name, loss in (
        ("grad_norm_ae", lambda n: ((n.decode(n.encode(images)) - images) ** 2).mean()),
        ("grad_norm_cl", lambda n: 5 * binary_formula(n(images)["dr"], batch.labeled.targets["dr"], 1.0)),
    ):
        twin.zero_grad(set_to_none=True)
        loss(twin.network).backward()
        norm = torch.cat([g.flatten() for g in gradients(twin.network.encoder)]).norm()
        assert float(logs[name]) == pytest.approx(float(norm), rel=1e-4)
    later = Progress(stage=0, epoch=0, step=3, steps=9, update=3, updates=9, labeled_updates=3)
    assert not {"grad_norm_ae", "grad_norm_cl"} & method(batch, later).keys()


def test_gradient_norm_of_a_known_function():
    layer = torch.nn.Linear(2, 1, bias=False)
    loss = (layer.weight * torch.tensor([[3.0, 4.0]])).sum()
    assert float(gradient_norm(loss, layer)) == pytest.approx(5.0)
    assert layer.weight.grad is None


def test_gradients_are_taken_of_the_scaled_loss_and_divided_again():
    a, b = (torch.nn.Parameter(torch.tensor(value)) for value in (2.0, 5.0))
    assert gradients_by_autograd(a**3, [a, b], loss_scale=256.0) == [12.0, None]
    # A half-precision gradient of 2 ** -30 is 0; its multiple is not.
    loss = (a.half() * torch.tensor(2.0**-20, dtype=torch.float16)).float() * 2.0**-10
    assert gradients_by_autograd(loss, [a]) == [0.0]
    assert gradients_by_autograd(loss, [a], loss_scale=2.0**20) == [2.0**-30]
    assert a.grad is None


def test_a_loss_with_known_gradients_brings_them_scaled_and_added_up():
    a, b, c = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    value = torch.tensor(7.0, requires_grad=True)
    loss = with_gradients(value * 1, [a, b, c], [torch.tensor([1.0, 2.0]), None, torch.tensor([3.0, 4.0])])
    assert loss.item() == 7.0
    (loss * 0.5).backward()
    assert value.grad is None, "the graph of the value is not walked again"
    with_gradients(value, [a], [torch.tensor([10.0, 10.0])]).backward()
    assert a.grad.tolist() == [10.5, 11.0]
    assert b.grad is None
    assert c.grad.tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        *((name, {}) for name in ("supervised", "combined", "balanced")),
        *(c for c in CHOICES if c[0] != "reconstruction"),
    ],
    ids=ids,
)
def test_eight_photographs_are_learned_by_heart(name, parameters, make_network, at_start):
    method = make(name, make_network, **parameters)
    batch = Batch(labeled=photographs(8, 1, labeled=True))
    optimizer = torch.optim.Adam(method.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad(set_to_none=True)
        method(batch, at_start)["loss"].backward()
        optimizer.step()
        method.after_step(at_start)
    method.eval()
    with torch.no_grad():
        right = (method.evaluated(batch.labeled.views["weak"])["dr"] > 0).float() == batch.labeled.targets["dr"]
    assert right.all()


@pytest.mark.parametrize("loss", RECONSTRUCTION_LOSSES)
def test_reconstruction_learns_eight_photographs(loss, make_network, at_start):
    method = make("reconstruction", make_network, reconstruction=loss)
    # Smooth pictures: noise cannot pass through a bottleneck.
    ramp = torch.linspace(0, 1, 32).expand(8, 3, 32, 32) * torch.linspace(0.2, 1, 8)[:, None, None, None]
    batch = Batch(unlabeled=Photographs({"weak": ramp}, np.arange(8), {}))
    optimizer = torch.optim.Adam(method.parameters(), lr=0.02)
    first = float(method(batch, at_start)["loss"])
    for _ in range(80):
        optimizer.zero_grad(set_to_none=True)
        method(batch, at_start)["loss"].backward()
        optimizer.step()
    assert float(method(batch, at_start)["loss"]) < first / 10


# The linear probe against scikit-learn's own way: scaler, regression, predict_proba.


def reference(features, labels, C):
    scaled = StandardScaler().fit(features)
    model = LogisticRegression(C=C, max_iter=2000).fit(scaled.transform(features), labels)
    return lambda x: model.predict_proba(scaled.transform(x))


def head_of(loss, features, targets, outputs, C=1.0):
    weight, bias = HEADS[loss](features, targets, outputs, C)
    return lambda x: torch.from_numpy(x @ weight.T + bias)


@pytest.fixture
def features():
    return np.random.default_rng(11).normal([5.0, -2.0, 0.1], [3.0, 0.5, 0.01], (60, 3))


def noisy_labels(features, classes):
    """Labels that depend on the features, but not all of them right."""
    score = (features[:, 0] - 5) / 3 + np.random.default_rng(12).normal(0, 0.7, len(features))
    return np.digitize(score, np.linspace(-1, 1, classes + 1)[1:-1]).astype(float)


@pytest.mark.parametrize("C", [1.0, 0.01])
def test_probe_binary_equals_scikit_learn(features, C):
    labels = noisy_labels(features, 2)
    found = head_of("binary_cross_entropy", features, labels[:, None], 1, C)(features).sigmoid().numpy()
    np.testing.assert_allclose(found[:, 0], reference(features, labels, C)(features)[:, 1], atol=1e-6)


def test_probe_of_several_outputs_leaves_unknown_targets_out(features):
    random = np.random.default_rng(13)
    targets = np.stack([noisy_labels(features, 2), 1 - noisy_labels(features, 2), np.ones(60)], axis=1)
    targets[random.random((60, 3)) < 0.3] = np.nan
    found = head_of("binary_cross_entropy", features, targets, 3)(features).sigmoid().numpy()
    # Features are standardised on all photographs that the probe read, known for this output or not.
    scaled = StandardScaler().fit(features)
    for output in (0, 1):
        known = ~np.isnan(targets[:, output])
        model = LogisticRegression(max_iter=2000).fit(scaled.transform(features[known]), targets[known, output])
        expected = model.predict_proba(scaled.transform(features))[:, 1]
        np.testing.assert_allclose(found[:, output], expected, atol=1e-6)
    assert (found[:, 2] > 0.999).all()


def test_probe_of_classes_equals_scikit_learn_also_with_an_absent_class(features):
    labels = noisy_labels(features, 3)
    labels[labels == 2] = 3  # of the classes 0 to 4, only 0, 1 and 3 occur
    labels[:5] = -1
    found = head_of("cross_entropy", features, labels, 5)(features).softmax(dim=1).numpy()
    scaled = StandardScaler().fit(features)
    model = LogisticRegression(max_iter=2000).fit(scaled.transform(features[5:]), labels[5:])
    np.testing.assert_allclose(found[:, [0, 1, 3]], model.predict_proba(scaled.transform(features)), atol=1e-6)
    assert found[:, [2, 4]].max() < 1e-6


def test_probe_of_two_classes_equals_scikit_learn(features):
    labels = noisy_labels(features, 2) * 2  # the classes 0 and 2 of three
    found = head_of("cross_entropy", features, labels, 3)(features).softmax(dim=1).numpy()
    np.testing.assert_allclose(found[:, [0, 2]], reference(features, labels, 1.0)(features), atol=1e-6)
    assert found[:, 1].max() < 1e-6


def test_probe_of_one_class_always_names_it(features):
    found = head_of("cross_entropy", features, np.full(60, 2.0), 4)(features).softmax(dim=1).numpy()
    assert found[:, 2].min() > 1 - 1e-6


def test_probe_fits_the_heads_and_moves_nothing_else(make_network, at_start):
    network = make_network({"dr": 1}, hidden=0)
    before = copy.deepcopy(network.state_dict())
    probe = LinearProbe(network, tasks_of(network), C=0.5)
    probe.train()
    parts = [photographs(12, 21, labeled=True), photographs(12, 22, labeled=True)]
    for part in parts:
        probe(Batch(labeled=part), at_start)
    unfitted = copy.deepcopy(probe.evaluated.state_dict())
    assert all(torch.equal(unfitted[name], before[name]) for name in before), "to look changes nothing"
    probe.end_epoch()
    fitted = probe.evaluated
    changed = {name for name, value in fitted.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"classifier.heads.dr.weight", "classifier.heads.dr.bias"}
    fitted.eval()
    images = torch.cat([part.views["plain"] for part in parts])
    labels = torch.cat([part.targets["dr"] for part in parts])[:, 0].numpy()
    with torch.no_grad():
        embedded, found = fitted.embed(images).double().numpy(), fitted(images)["dr"].sigmoid().numpy()
    np.testing.assert_allclose(found[:, 0], reference(embedded, labels, 0.5)(embedded)[:, 1], atol=1e-4)
    assert probe.finish() is fitted


def test_probe_refuses_a_trunk(make_network):
    with pytest.raises(BadConfig, match="set hidden = 0"):
        LinearProbe(make_network(), {"dr": make_task("dr", "icdr")})
