"""The main path as a user meets it: `semiretina.train` from a configuration to a finished run folder, or one line."""

import copy
import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import semiretina
from semiretina import experiment
from semiretina.batch import Batch, Progress
from semiretina.config import load_config
from semiretina.data.split import Split, read_split
from semiretina.errors import BadConfig, BadData, NonFiniteLoss, Refused
from semiretina.judging.evaluate import evaluate
from semiretina.methods import METHODS
from semiretina.methods.method import Method, side
from semiretina.preparation import make_targets
from semiretina.records import read_manifest
from semiretina.result import paper_protocol
from semiretina.tasks import make_tasks


def epochs(run, phase="train"):
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == "epoch" and row["phase"] == phase]


def predictions(run, role):
    return list(csv.DictReader((run / f"predictions-{role}.csv").open()))


def nothing_begun(run):
    return not list(run.glob("*.csv")) and not list(run.glob("checkpoints")) and not (run / "result.json").exists()


@pytest.fixture
def own_photographs(photographs, tmp_path):
    """A copy of the photographs that a test may spoil."""
    folder = tmp_path / "own"
    shutil.copytree(photographs.parent, folder)
    return folder


def test_a_run_from_configuration_to_result(make_config, make_stage, tmp_path):
    stages = [make_stage("reconstruction", epochs=1), make_stage("supervised", epochs=2)]
    result = semiretina.train(make_config(*stages, seed=3), tmp_path / "run")
    run = tmp_path / "run"
    assert result == json.loads((run / "result.json").read_text())
    split = read_split(run / "split.csv")
    assert result["counts"] == split.counts
    assert sum(result["counts"].values()) == 40
    assert result["counts"]["unlabeled"] == 8
    assert {key: result[key] for key in ("schema", "name", "seed", "trained_on", "selected_epoch")} == {
        "schema": 1,
        "name": "run",
        "seed": 3,
        "trained_on": "train",
        "selected_epoch": 2,
    }
    assert result["split_sha256"] == split.test_sha256
    assert "paper_protocol" not in result
    test = result["test"]["dr"]
    assert test["n"] == result["counts"]["test"]
    for score in ("accuracy", "auroc", "sensitivity", "specificity"):
        assert set(test[score]) == {"value", "low", "high"}
    # Labelled updates are those of the supervised stage alone.
    per_epoch = len(epochs(run)[1]["losses"])
    assert result["labeled_updates"] == 2 * per_epoch
    assert load_config(run / "config.toml").stages == load_config(make_config(*stages)).stages
    samples = json.loads((run / "samples" / "samples.json").read_text())
    assert samples
    for sample in samples:
        assert Image.open(run / "samples" / sample["original"]).size == (32, 32)
        assert Image.open(run / "samples" / sample["reconstruction"]).size == (32, 32)
    assert json.loads((run / "environment.json").read_text())["torch"] == torch.__version__
    assert not list(run.glob(".*.part"))


def test_it_learns(make_config, make_stage, tmp_path):
    stage = make_stage("supervised", epochs=12, optimizer={"name": "adam", "lr": 0.02, "momentum": 0.0})
    result = semiretina.train(make_config(stage), tmp_path)
    assert epochs(tmp_path)[-1]["train"]["loss"] < 0.3
    assert result["test"]["dr"]["auroc"]["value"] >= 0.9


def test_a_finished_run_gives_its_result_without_training(make_config, make_stage, tmp_path, monkeypatch):
    config = make_config(make_stage("supervised", epochs=1))
    result = semiretina.train(config, tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    def forbidden(*args):
        raise AssertionError("trained")

    monkeypatch.setattr(experiment, "train_phase", forbidden)
    assert semiretina.train(config, tmp_path) == result
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_run_of_another_configuration_is_refused(make_config, make_stage, tmp_path):
    result = semiretina.train(make_config(make_stage("supervised", epochs=1)), tmp_path)
    with pytest.raises(Refused, match=r"seed = 0 there, 4 here"):
        semiretina.train(make_config(make_stage("supervised", epochs=1), seed=4), tmp_path)
    assert json.loads((tmp_path / "result.json").read_text()) == result


def test_overrides_reach_the_run(make_config, make_stage, tmp_path):
    config = make_config(make_stage("supervised", epochs=3))
    semiretina.train(config, tmp_path, overrides=["stages.0.epochs=1", "seed=9"])
    assert len(epochs(tmp_path)) == 1
    assert load_config(tmp_path / "config.toml").seed == 9


# Selection, refit, the paper's protocol


def with_val_auroc(monkeypatch, values, accuracies=None):
    """Validation's AUROC, and accuracy, by epoch, instead of the true ones."""
    from semiretina.training import epoch

    real, given, accuracy = epoch.scores_of, iter(values), iter(accuracies or ())

    def scores_of(phase, network, rows, method):
        scores = real(phase, network, rows, method)
        if "dr" in scores:
            scores["dr"]["auroc"] = next(given)
            scores["dr"]["accuracy"] = next(accuracy, scores["dr"]["accuracy"])
        return scores

    monkeypatch.setattr(epoch, "scores_of", scores_of)


def weights_after(config, epoch, out):
    """The network's weights after this epoch (from 1) of the first stage, taken from the training itself."""
    kept = {}

    class Watched(METHODS["supervised"]):
        def after_step(self, progress):
            kept[progress.epoch] = {n: v.clone() for n, v in self.network.state_dict().items()}

    semiretina.train(config, out, methods={"supervised": Watched})
    return kept[epoch - 1]


def test_with_few_validation_labels_the_last_epoch_counts(make_config, make_stage, tmp_path, monkeypatch):
    with_val_auroc(monkeypatch, [0.9, 0.1, 0.2])
    result = semiretina.train(make_config(make_stage("supervised", epochs=3)), tmp_path)
    assert result["counts"]["val"] < experiment.SELECT_FROM == 50
    assert result["selected_epoch"] == 3


@pytest.mark.parametrize(("select", "selected"), [("auroc", 1), ("accuracy", 3)])
def test_the_epoch_is_chosen_by_the_score_that_is_asked_for(
    select, selected, make_config, make_stage, tmp_path, monkeypatch
):
    monkeypatch.setattr(experiment, "SELECT_FROM", 2)
    # Of the two epochs with the best accuracy the later has the higher AUROC.
    with_val_auroc(monkeypatch, [0.9, 0.3, 0.4, 0.8], [0.5, 0.8, 0.8, 0.7])
    config = make_config(make_stage("supervised", epochs=4), select=select)
    assert semiretina.train(config, tmp_path)["selected_epoch"] == selected


@pytest.mark.parametrize(
    ("shown", "selected"),
    [([0.5, 0.8, 0.7, 0.8], 2), ([0.5, 0.5, 0.4, 0.5], 1), ([float("nan")] * 4, 4), ([0.0, 0.1, 0.2, 0.3], 4)],
)
def test_the_best_epoch_on_validation_is_handed_over(shown, selected, make_config, make_stage, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "SELECT_FROM", 2)
    config = make_config(make_stage("supervised", epochs=4))
    with_val_auroc(monkeypatch, shown)
    kept = weights_after(config, selected, tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["selected_epoch"] == selected
    assert result["labeled_updates"] == selected * len(epochs(tmp_path)[0]["losses"])
    handed = semiretina.load(tmp_path).network.state_dict()
    assert all(torch.equal(handed[name], kept[name]) for name in kept)


def test_the_decoder_that_is_shown_and_scored_is_the_selected_one(make_config, make_stage, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "SELECT_FROM", 2)
    with_val_auroc(monkeypatch, [0.5, 0.8, 0.7])
    result = semiretina.train(make_config(make_stage("balanced", epochs=3), open_test=False), tmp_path)
    assert result["selected_epoch"] == 2
    logged = [row["val"]["reconstruction"] for row in epochs(tmp_path)]
    assert logged[1] != logged[2]
    assert result["reconstruction"] == pytest.approx(logged[1])


def test_an_autoencoder_alone_is_selected_by_its_error(make_config, make_stage, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "SELECT_FROM", 2)
    semiretina.train(make_config(make_stage("reconstruction", epochs=3)), tmp_path)
    errors = [row["val"]["reconstruction"]["mse"] for row in epochs(tmp_path)]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["selected_epoch"] == 1 + int(np.argmin(errors))
    assert np.argmin(errors) > 0, "the first epoch is the best by chance: this shows nothing"


def test_refit_trains_anew_on_train_and_val_for_the_selected_epochs(make_config, make_stage, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "SELECT_FROM", 2)
    with_val_auroc(monkeypatch, [0.5, 0.8, 0.7, 0.1])
    stages = [make_stage("reconstruction", epochs=1), make_stage("supervised", epochs=4)]
    rows = []

    class Watched(METHODS["supervised"]):
        def forward(self, batch, progress):
            rows.append(set(batch.labeled.rows.tolist()))
            return super().forward(batch, progress)

    result = semiretina.train(make_config(*stages, refit="train+val"), tmp_path, methods={"supervised": Watched})
    assert result["trained_on"] == "train+val"
    assert result["selected_epoch"] == 2
    assert [(row["stage"], row["epoch"]) for row in epochs(tmp_path, "refit")] == [(0, 0), (1, 0), (1, 1)]
    split = read_split(tmp_path / "split.csv")
    per_epoch = len(epochs(tmp_path, "refit")[1]["losses"])
    assert result["labeled_updates"] == 2 * per_epoch
    assert set().union(*rows[-per_epoch:]) == set(split.rows("train", "val").tolist())
    assert not set().union(*rows) & set(split.rows("test").tolist())
    assert all(row["val"] == {} for row in epochs(tmp_path, "refit"))
    # They were trained on: no score of them is handed out as one, and evaluating them says so.
    assert result["val"] == {}
    assert not (tmp_path / "predictions-val.csv").exists()
    assert evaluate(tmp_path, "val")["seen"] == len(split.rows("val"))
    assert evaluate(tmp_path, "test")["seen"] == 0


def test_the_papers_protocol_tracks_the_test_set_and_selects_nothing_by_it(make_config, make_stage, tmp_path):
    stages = [make_stage("reconstruction", epochs=1), make_stage("supervised", epochs=12, optimizer={"lr": 0.2})]
    tracked = semiretina.train(make_config(*stages, track_test=True), tmp_path / "a")
    plain = semiretina.train(make_config(*stages), tmp_path / "b")
    assert (tmp_path / "a" / "grader.safetensors").read_bytes() == (tmp_path / "b" / "grader.safetensors").read_bytes()
    assert tracked["test"] == plain["test"]
    rows = epochs(tmp_path / "a")
    assert "test" not in rows[0]
    assert not any("test" in row for row in epochs(tmp_path / "b"))
    curve = [row["test"]["dr"]["accuracy"] for row in rows[1:]]
    found = tracked["paper_protocol"]["dr"]
    assert found["max"] == max(curve)
    assert found["epoch"] == 1 + curve.index(max(curve))
    assert found["last"] == curve[-1] == tracked["test"]["dr"]["accuracy"]["value"]
    assert found["mean_last_ten"] == pytest.approx(sum(curve[2:]) / 10)


def test_the_papers_protocol_of_an_autoencoder_has_no_accuracy(make_config, make_stage, tmp_path):
    result = semiretina.train(make_config(make_stage("reconstruction", epochs=1), track_test=True), tmp_path)
    assert "paper_protocol" not in result


def test_paper_protocol_by_hand():
    found = paper_protocol([0.5, 0.75, 0.5, 0.75, 0.6])
    assert found == {"max": 0.75, "epoch": 2, "last": 0.6, "mean_last_ten": pytest.approx(0.62)}


# The control on shuffled labels


def test_shuffled_labels_never_reach_what_is_scored(make_config, make_stage, tmp_path):
    config = make_config(make_stage("supervised", epochs=1), data={"shuffle_labels": True})
    semiretina.train(config, tmp_path)
    split = read_split(tmp_path / "split.csv")
    tasks = make_tasks(["dr"], split.records)
    true = tasks["dr"].targets(split.records)
    used = make_targets(load_config(config), split, tasks, torch.device("cpu"))["dr"].numpy()
    test, learned = split.rows("test"), split.rows("train", "val")
    np.testing.assert_array_equal(used[test], true[test])
    assert sorted(used[learned, 0]) == sorted(true[learned, 0])
    assert (used[learned] != true[learned]).any()
    assert np.isnan(used[split.rows("unlabeled")]).all(), "an unlabelled photograph gets no label"
    by_path = {str(record.path): int(record.grade > 0) for record in split.records if record.grade is not None}
    for role in ("val", "test"):
        rows = predictions(tmp_path, role)
        assert rows
        assert all(int(row["label"]) == by_path[row["path"]] for row in rows)


def test_labels_are_not_shuffled_unasked(make_config, make_stage, photographs):
    config = load_config(make_config(make_stage("supervised")))
    records = read_manifest(photographs)
    tasks = make_tasks(["dr"], records)
    split = Split(records, [""] * 40, [f"g{n}" for n in range(40)], ["train"] * 40)
    used = make_targets(config, split, tasks, torch.device("cpu"))["dr"].numpy()
    np.testing.assert_array_equal(used, tasks["dr"].targets(records))


# A method of one's own


class Mine(Method):
    """A user's objective: the supervised one with a penalty on large logits, and a parameter."""

    stream = "labeled"

    def __init__(self, network, tasks, *, weight: float = 0.5) -> None:
        super().__init__(network, tasks)
        self.weight = weight

    def forward(self, batch: Batch, progress: Progress):
        labeled = side(batch.labeled)
        logits = self.network(labeled.views["weak"])["dr"]
        known = torch.nn.functional.binary_cross_entropy_with_logits(logits, labeled.targets["dr"])
        penalty = logits.square().mean()
        return {"loss": known + self.weight * penalty, "penalty": penalty.detach()}


def test_a_method_of_ones_own(make_config, make_stage, tmp_path):
    config = make_config(make_stage("mine", epochs=1, weight=2.0))
    result = semiretina.train(config, tmp_path, methods={"mine": Mine})
    assert result["test"]["dr"]["n"] > 0
    assert "penalty" in epochs(tmp_path)[0]["train"]
    assert epochs(tmp_path)[0]["method"] == "mine"


def test_names_and_parameters_of_methods_are_checked_before_any_work(make_config, make_stage, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(BadConfig, match=r"stages\.0\.method: unknown name 'mine'; .*known are supervised"):
        semiretina.train(make_config(make_stage("mine")), run)
    with pytest.raises(BadConfig, match=r"unknown parameter 'wieght'; did you mean 'weight'\?"):
        semiretina.train(make_config(make_stage("mine", wieght=1.0)), run, methods={"mine": Mine})
    with pytest.raises(BadConfig, match=r"stages\.0\.method\.weight"):
        semiretina.train(make_config(make_stage("mine", weight="much")), run, methods={"mine": Mine})
    assert not run.exists()


# Bad input


def test_photographs_that_changed_since_the_split_are_refused(own_photographs, make_config, make_stage, tmp_path):
    config = make_config(make_stage("supervised"), data={"manifest": str(own_photographs / "manifest.csv")})
    run = tmp_path / "run"

    class Stopped(METHODS["supervised"]):
        def forward(self, batch, progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        semiretina.train(config, run, methods={"supervised": Stopped})
    split = read_split(run / "split.csv")
    file = split.records[split.rows("train")[0]].path
    Image.new("RGB", (64, 64), "red").save(file)
    with pytest.raises(Refused, match=f"{file.name} is not the photograph that was split"):
        semiretina.train(config, run)


def test_every_unreadable_photograph_is_named_before_training(own_photographs, make_config, make_stage, tmp_path):
    (own_photographs / "03-left.jpg").write_bytes(b"")
    (own_photographs / "07-right.jpg").unlink()
    whole = (own_photographs / "11-left.jpg").read_bytes()
    (own_photographs / "11-left.jpg").write_bytes(whole[: len(whole) // 2])
    config = make_config(make_stage("supervised"), data={"manifest": str(own_photographs / "manifest.csv")})
    with pytest.raises(BadData) as refusal:
        semiretina.train(config, tmp_path / "run")
    said = str(refusal.value)
    assert "3 defects" in said
    assert all(name in said for name in ("03-left.jpg", "07-right.jpg", "11-left.jpg"))
    assert "\n" not in said
    assert nothing_begun(tmp_path / "run")


@pytest.mark.parametrize("name", ["reconstruction", "balanced"])
def test_a_stage_that_needs_unlabeled_photographs_says_so(name, make_config, make_stage, own_photographs, tmp_path):
    manifest = own_photographs / "manifest.csv"
    rows = [line for line in manifest.read_text().splitlines() if not line.endswith(",,")]
    manifest.write_text("\n".join(rows))
    own = {"manifest": str(manifest)}
    run = tmp_path / "run"
    with pytest.raises(BadConfig, match='images = "unlabeled", but the split has no unlabelled photograph'):
        semiretina.train(make_config(make_stage(name, images="unlabeled"), data=own), run)
    assert nothing_begun(run)
    # The advice is taken, in the same folder.
    result = semiretina.train(make_config(make_stage(name, images="all", epochs=1), data=own), run)
    assert result["counts"]["unlabeled"] == 0


def test_one_class_only(make_config, make_stage, own_photographs, tmp_path):
    manifest = own_photographs / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("icdr,2", "icdr,0"))
    with pytest.raises(BadData, match="every training label of 'dr' is the same"):
        semiretina.train(make_config(make_stage("supervised"), data={"manifest": str(manifest)}), tmp_path / "run")


def test_more_labels_than_there_are(make_config, make_stage, tmp_path):
    with pytest.raises(BadConfig, match=r"data\.labels: 400 training labels"):
        semiretina.train(make_config(make_stage("supervised"), data={"labels": 400}), tmp_path / "run")
    assert nothing_begun(tmp_path / "run")


def test_tracking_a_test_set_that_is_not_there(make_config, make_stage, tmp_path):
    config = make_config(make_stage("supervised", epochs=1), data={"test": 0.0}, track_test=True)
    with pytest.raises(BadConfig, match="track_test: the split has no test photograph"):
        semiretina.train(config, tmp_path / "run")


def test_without_a_test_set_the_result_has_none(make_config, make_stage, tmp_path):
    result = semiretina.train(make_config(make_stage("supervised", epochs=1), data={"test": 0.0}), tmp_path)
    assert result["test"] == {}
    assert result["val"]["dr"]["n"] > 0
    assert not (tmp_path / "predictions-test.csv").exists()


def test_a_size_that_the_network_cannot_take(make_config, make_stage, tmp_path):
    with pytest.raises(BadConfig, match="36 was asked for; try 32"):
        semiretina.train(make_config(make_stage("supervised"), data={"size": 36}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_several_tasks_at_once(make_config, make_stage, tmp_path):
    config = make_config(make_stage("balanced", epochs=1), tasks=["dr", "severity", "lesions"])
    result = semiretina.train(config, tmp_path)
    assert {"dr", "severity", "lesions.HE"} <= result["test"].keys()
    assert {"loss_dr", "loss_severity", "loss_lesions", "loss_ae"} <= epochs(tmp_path)[0]["train"].keys()
    # Grade 0 implies that there is no lesion; grade 2 implies nothing, so what is not stated stays unknown.
    labels = {(row["output"], row["label"]) for row in predictions(tmp_path, "val") if row["task"] == "lesions"}
    assert labels <= {("HE", "1"), *((name, label) for name in ("MA", "HE", "EX", "SE") for label in ("0", ""))}
    assert ("SE", "0") in labels
    assert ("SE", "") in labels


def test_a_configuration_may_be_a_file_or_its_name(make_config, make_stage, tmp_path):
    from semiretina.config import dump_toml

    file = tmp_path / "one.toml"
    file.write_text(dump_toml(load_config(make_config(make_stage("supervised", epochs=1)))))
    first = semiretina.train(file, tmp_path / "a")
    second = semiretina.train(str(file), str(tmp_path / "b"))
    assert first | {"name": ""} == second | {"name": ""}


def test_weights_that_overflow_stop_the_run_and_are_not_kept(make_config, make_stage, tmp_path):
    """The loss of a step is checked before the update; an update may still break the weights at an epoch's end."""

    class Breaking(METHODS["supervised"]):
        def after_step(self, progress):
            if progress.epoch == 1 and progress.step == progress.steps:
                with torch.no_grad():
                    next(self.network.classifier.parameters()).fill_(float("inf"))

    with pytest.raises(NonFiniteLoss, match="epoch 2"):
        semiretina.train(make_config(make_stage("supervised", epochs=2)), tmp_path, methods={"supervised": Breaking})
    assert [file.name for file in (tmp_path / "checkpoints").glob("epoch-*.json")] == ["epoch-000001.json"]
    assert not (tmp_path / "result.json").exists()


def test_answers_that_are_no_numbers_end_the_run_although_the_weights_are_finite(make_config, make_stage, tmp_path):
    class Overflowing(METHODS["supervised"]):
        @property
        def evaluated(self):
            network = copy.deepcopy(self.network)
            for parameter in network.classifier.parameters():
                parameter.data.fill_(torch.inf)
            return network

    config = make_config(make_stage("supervised", epochs=1))
    with pytest.raises(NonFiniteLoss, match="answers to the val photographs became infinite or NaN in phase train"):
        semiretina.train(config, tmp_path, methods={"supervised": Overflowing})
