"""Temperatures and thresholds: from the configuration over the validation photographs to grader, result and answers."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import expit, logit, softmax

import semiretina
from semiretina import result as ending
from semiretina.config import dump_toml, load_config
from semiretina.data.split import read_split
from semiretina.errors import BadConfig, BadData, Refused
from semiretina.judging.evaluate import evaluate
from semiretina.judging.predict import predict
from semiretina.methods import METHODS

AIM = {"sensitivity": 0.87}
LESIONS = ("MA", "HE", "EX", "SE")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A manifest of 224 drawn photographs of 112 patients, 60 to train on, 104 to validate on and 60 to test on.

    Half are diseased (grade 2 and some 3) and are brighter on the whole, with an overlap; half have each lesion.
    """
    folder = tmp_path_factory.mktemp("clinic")
    random = np.random.default_rng(21)
    rows = []
    for number in range(224):
        role = "train" if number < 60 else "val" if number < 164 else "test"
        diseased = number // 2 % 2
        picture = random.integers(0, 60, (32, 32, 3)) + int(random.normal(60 + 30 * diseased, 20))
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{number:03d}.png")
        rows.append(
            {
                "path": f"{number:03d}.png",
                "patient": f"{number // 2:03d}",
                "eye": ("left", "right")[number % 2],
                "split": role,
                "scale": "icdr",
                "grade": diseased * (2 + number % 3 % 2),
                **{lesion: (number // 4 + place) % 2 for place, lesion in enumerate(LESIONS)},
            }
        )
    with (folder / "manifest.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


@pytest.fixture
def configure(clinic, make_config, make_stage):
    """`configure(operating, tasks=["dr"])`: a short training that ends over-confident and not separated."""

    def make(operating=AIM, *, manifest=clinic, data=None, epochs=3, **top):
        stage = make_stage(
            "supervised", epochs=epochs, batch=20, optimizer={"name": "adam", "lr": 0.02, "momentum": 0.0}
        )
        section = {} if operating is None else {"operating": operating}
        top = {"engine": {"device": "cpu", "eval_batch": 32}} | top
        return make_config(stage, data={"manifest": str(manifest), **(data or {})}, **section, **top)

    return make


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Finished runs by their configuration: what a test only reads is trained once."""
    return tmp_path_factory.mktemp("kept"), {}


@pytest.fixture
def trained(configure, kept):
    """`trained(...)`, with what `configure` takes: a finished run's folder and result, to be read and not written."""

    def train(*arguments, **named):
        folder, runs = kept
        config = configure(*arguments, **named)
        name = json.dumps(config)
        if name not in runs:
            run = folder / str(len(runs)) / "run"
            runs[name] = run, semiretina.train(config, run)
        return runs[name]

    return train


def predictions(run, role, key="dr"):
    """Labels and probabilities of an output in a run's table."""
    rows = [row for row in csv.DictReader((run / f"predictions-{role}.csv").open()) if row["output"] == key]
    return np.array([int(row["label"]) for row in rows]), np.array([float(row["probability"]) for row in rows])


def facts(run):
    return json.loads((run / "grader.json").read_text())


def test_a_threshold_is_fixed_on_validation_and_kept_for_the_test_set(trained):
    (run, result), (plain_run, plain) = trained(), trained(None)
    point = result["operating"]["dr"]
    labels, p = predictions(run, "val")
    assert (point["n"], point["positives"], point["from"]) == (104, 52, "val")
    assert point["aimed"] == "sensitivity 0.87"
    assert (p[labels == 1] >= point["threshold"]).sum() == 46 == np.ceil(0.87 * 52)
    assert point["sensitivity"]["value"] == 46 / 52
    assert point["specificity"]["value"] == (p[labels == 0] < point["threshold"]).mean()
    assert 0 < point["sensitivity"]["low"] < 46 / 52 < point["sensitivity"]["high"] < 1
    # On test the threshold stays, whatever it reaches there.
    labels, p = predictions(run, "test")
    assert result["test"]["dr"]["sensitivity"]["value"] == (p[labels == 1] >= point["threshold"]).mean()
    assert result["test"]["dr"]["specificity"]["value"] == (p[labels == 0] < point["threshold"]).mean()
    # The training and the order of the photographs are those of a run that fixes nothing.
    assert (run / "grader.safetensors").read_bytes() == (plain_run / "grader.safetensors").read_bytes()
    assert result["test"]["dr"]["auroc"]["value"] == pytest.approx(plain["test"]["dr"]["auroc"]["value"], abs=1e-9)
    uncalibrated = predictions(plain_run, "test")[1]
    np.testing.assert_allclose(logit(p) * point["temperature"], logit(uncalibrated), rtol=1e-3, atol=1e-4)
    assert point["temperature"] != 1
    assert "operating" not in plain
    assert not {"abstention", "conformal"} & plain["test"]["dr"].keys()


def test_the_temperature_makes_validation_likeliest(trained):
    run, result = trained({"specificity": 0.9})
    labels, p = predictions(run, "val")
    temperature = result["operating"]["dr"]["temperature"]
    logits, chances = logit(p) * temperature, np.geomspace(temperature / 3, temperature * 3, 201)
    losses = [-np.log(expit(np.where(labels == 1, logits, -logits) / t)).mean() for t in chances]
    assert chances[np.argmin(losses)] == pytest.approx(temperature, rel=0.05)
    assert result["operating"]["dr"]["aimed"] == "specificity 0.9"
    assert (p[labels == 0] < result["operating"]["dr"]["threshold"]).sum() >= 47 == np.ceil(0.9 * 52)


def test_the_grader_brings_both_and_every_reader_uses_them(trained, tmp_path):
    run, result = trained(threshold=0.4)
    point, grader = result["operating"]["dr"], semiretina.load(run, torch.device("cpu"))
    assert grader.temperatures == {"dr": point["temperature"]} == facts(run)["temperatures"]
    assert grader.thresholds == {"dr": point["threshold"]} == facts(run)["thresholds"]
    assert (grader.threshold, facts(run)["threshold"]) == (0.4, 0.4)
    again = evaluate(run, "test")["scores"]["dr"]
    assert {name: again[name] for name in ("sensitivity", "specificity", "brier", "ece")} == {
        name: result["test"]["dr"][name] for name in ("sensitivity", "specificity", "brier", "ece")
    }
    table, split = tmp_path / "predicted.csv", read_split(run / "split.csv")
    files = [split.records[row].path for row in split.rows("test")]
    assert predict(grader, files, table) == (60, 0)
    rows = list(csv.DictReader(table.open()))
    _, p = predictions(run, "test")
    np.testing.assert_allclose([float(row["probability"]) for row in rows], p, atol=1e-6)
    assert {row["threshold"] for row in rows} == {f"{point['threshold']:.9g}"}
    assert [row["answer"] for row in rows] == ["yes" if value >= point["threshold"] else "no" for value in p]


def test_a_table_of_another_threshold_is_not_gone_on_with(trained, clinic, tmp_path):
    runs, table = [trained()[0], trained({"specificity": 0.9})[0]], tmp_path / "table.csv"
    graders = [semiretina.load(run, torch.device("cpu")) for run in runs]
    files = [clinic.parent / f"{number:03d}.png" for number in range(4)]
    predict(graders[0], files[:2], table)
    before = table.read_bytes()
    with pytest.raises(Refused, match="its answers are of another threshold, dr "):
        predict(graders[1], files, table)
    assert table.read_bytes() == before
    assert predict(graders[0], [*files, clinic.parent / "gone.png"], table) == (2, 1)
    last = list(csv.DictReader(table.open()))[-1]
    assert (last["status"], last["probability"], last["answer"]) == ("failed", "", "")


def test_a_grader_of_before_the_operating_point_still_loads(configure, tmp_path):
    semiretina.train(configure(None, epochs=1), tmp_path)
    old = {key: value for key, value in facts(tmp_path).items() if key not in ("temperatures", "thresholds")}
    (tmp_path / "grader.json").write_text(json.dumps(old | {"temperature": 1.0}))
    grader = semiretina.load(tmp_path, torch.device("cpu"))
    assert grader.thresholds == {"dr": 0.5}
    photographs = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    with torch.no_grad():
        logits = grader.network(torch.from_numpy(photographs).permute(0, 3, 1, 2) / 255.0)["dr"]
    np.testing.assert_allclose(grader.grade(photographs)["dr"], logits.sigmoid(), atol=1e-5)


def test_every_task_and_output_has_its_own(configure, tmp_path):
    tasks = ["dr", "severity", "severity-ordinal", "lesions"]
    result = semiretina.train(configure(tasks=tasks), tmp_path)
    points, lesions = result["operating"], [f"lesions.{name}" for name in LESIONS]
    assert list(points) == ["dr", "severity", "severity-ordinal", *lesions]
    assert len({point["temperature"] for point in points.values()}) > 4
    assert set(points["severity"]) == {"temperature", "n", "from"} == set(points["severity-ordinal"])
    assert points["severity"]["n"] == 104
    grader = semiretina.load(tmp_path, torch.device("cpu"))
    assert grader.thresholds == {key: points[key]["threshold"] for key in ("dr", *lesions)}
    assert grader.temperatures == {key: point["temperature"] for key, point in points.items()}
    split = read_split(tmp_path / "split.csv")
    photographs = np.stack([grader.read(split.records[row].path) for row in split.rows("test")[:8]])
    with torch.no_grad():
        answers = grader.network(torch.from_numpy(photographs).permute(0, 3, 1, 2) / 255.0)
    logits, found = {name: values.numpy() for name, values in answers.items()}, grader.grade(photographs)
    for place, key in enumerate(lesions):
        np.testing.assert_allclose(
            found["lesions"][:, place], expit(logits["lesions"][:, place] / grader.temperatures[key]), atol=1e-5
        )
    np.testing.assert_allclose(
        found["severity"], softmax(logits["severity"] / grader.temperatures["severity"], axis=1), atol=1e-5
    )
    above = logits["severity-ordinal"][:, 0] / grader.temperatures["severity-ordinal"]
    np.testing.assert_allclose(found["severity-ordinal"][:, 0], 1 - expit(above), atol=1e-5)
    for key in points:
        assert result["test"][key]["abstention"][0]["accuracy"] == pytest.approx(result["test"][key]["accuracy"])
        assert result["test"][key]["conformal"]["n"] == result["test"][key]["n"]


def test_abstention_and_conformal_sets_of_the_test_photographs(trained):
    run, result = trained()
    test = result["test"]["dr"]
    assert [row["n"] for row in test["abstention"]] == [60, 57, 54, 48, 42, 36, 30]
    assert [row["referred"] for row in test["abstention"]] == pytest.approx([0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
    labels, p = predictions(run, "val")
    # ceil(105 * 0.9) = 95 of the 104 validation scores.
    quantile = np.sort(np.where(labels == 1, 1 - p, p))[94]
    assert test["conformal"]["quantile"] == pytest.approx(quantile)
    labels, p = predictions(run, "test")
    covered, sizes = np.where(labels == 1, 1 - p, p) <= quantile, (1 - p <= quantile) + 1 * (p <= quantile)
    assert test["conformal"]["coverage"]["value"] == covered.mean()
    assert test["conformal"]["size"]["value"] == pytest.approx(sizes.mean())
    assert test["conformal"]["single"]["value"] == (sizes == 1).mean()


@pytest.mark.parametrize("section", [{}, {"calibrate": False, "sensitivity": 0.9}])
def test_one_of_the_two_alone(section, trained):
    run, result = trained(section, threshold=0.6)
    point = result["operating"]["dr"]
    if "sensitivity" in section:
        assert point["temperature"] == 1
        assert point["sensitivity"]["value"] >= 0.9
    else:
        assert point["temperature"] != 1
        assert (point["threshold"], point["aimed"]) == (0.6, "threshold 0.6")
        labels, p = predictions(run, "val")
        assert point["sensitivity"]["value"] == (p[labels == 1] >= 0.6).mean()


def test_the_log_keeps_to_the_threshold_of_the_configuration(trained):
    rows = []
    for section in (AIM, None):
        run, result = trained(section, track_test=True)
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        rows.append([(row["val"], row["test"]) for row in log if row["kind"] == "epoch"] + [result["paper_protocol"]])
    assert rows[0] == rows[1]


# What validation is after a refit, without a test set, and after a stop


def test_after_a_refit_it_is_the_selected_networks_answers_that_count(trained):
    (first, selected), (refit, result) = trained(), trained(refit="train+val")
    point = result["operating"]["dr"]
    assert point["from"] == "val, by the network selected before the refit"
    assert point | {"from": "val"} == selected["operating"]["dr"]
    assert semiretina.load(refit).thresholds == {"dr": point["threshold"]}
    assert (first / "grader.safetensors").read_bytes() != (refit / "grader.safetensors").read_bytes()
    ours, theirs = (found["test"]["dr"]["conformal"] for found in (result, selected))
    assert ours["quantile"] == theirs["quantile"]
    assert not (refit / "predictions-val.csv").exists()


class Stopped(Exception):
    pass


@pytest.mark.parametrize(("refit", "step"), [("none", 4), ("train+val", 13), ("none", None), ("train+val", None)])
def test_a_run_that_was_stopped_fixes_the_same(refit, step, configure, trained, tmp_path, monkeypatch):
    config, count = configure(refit=refit), iter(range(100))
    whole_run, whole = trained(refit=refit)

    class Interrupted(METHODS["supervised"]):
        def forward(self, batch, progress):
            if next(count) == step:
                raise Stopped
            return super().forward(batch, progress)

    def stop(*arguments, **named):
        raise Stopped

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        if step is None:  # between the frozen grader and the test set
            patch.setattr("semiretina.judging.test_set.TestSet.score", stop)
        with pytest.raises(Stopped):
            semiretina.train(config, run, methods={"supervised": Interrupted})
    assert not (run / "result.json").exists()
    assert (run / "grader.json").exists() == (step is None)
    assert semiretina.train(config, run) == whole
    assert facts(run) == facts(whole_run)


def test_the_grader_is_frozen_before_the_test_set_is_looked_at(configure, tmp_path, monkeypatch):
    real, seen = ending.infer_rows, []

    def watched(network, pixels, rows, batch):
        seen.append((set(rows.tolist()), (tmp_path / "grader.json").exists()))
        return real(network, pixels, rows, batch)

    monkeypatch.setattr(ending, "infer_rows", watched)
    semiretina.train(configure(refit="train+val", epochs=1), tmp_path)
    split = read_split(tmp_path / "split.csv")
    assert seen == [(set(split.rows("val").tolist()), False), (set(split.rows("test").tolist()), True)]


def test_without_looking_at_test_the_points_are_fixed_all_the_same(trained):
    (closed_run, closed), (open_run, opened) = trained(open_test=False), trained()
    assert closed["operating"] == opened["operating"]
    assert closed["test"] == {}
    assert facts(closed_run) == facts(open_run)
    assert closed["val"]["dr"]["sensitivity"] == closed["operating"]["dr"]["sensitivity"]


# What is refused


def nothing_begun(run):
    return not (run / "split.csv").exists() and not (run / "checkpoints").exists()


def test_too_few_validation_labels_are_counted_before_any_training(clinic, configure, tmp_path):
    rows = list(csv.DictReader(clinic.open()))
    for row in rows:
        row["path"] = str(clinic.parent / row["path"])
        row["HE"] = "1"
    for row in rows[60:68]:  # two healthy and two diseased patients of the validation photographs
        row["grade"] = row["scale"] = ""
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(BadConfig) as refusal:
        semiretina.train(configure({}, manifest=manifest, tasks=["dr", "lesions", "severity"]), tmp_path / "run")
    said = str(refusal.value)
    assert "48 positives and 48 negatives of 'dr'" in said
    assert "104 positives and 0 negatives of 'lesions.HE'" in said
    assert "96 labels of 'severity'" in said
    assert "raise data.val or data.labels" in said
    assert "\n" not in said
    assert nothing_begun(tmp_path / "run")
    # Without the section it trains, and in the same folder.
    assert semiretina.train(configure(None, manifest=manifest, epochs=1), tmp_path / "run")["counts"]["val"] == 96


def test_without_validation_photographs_it_is_refused(photographs, make_config, make_stage, tmp_path):
    config = make_config(make_stage("supervised"), data={"val": 0.0}, operating=AIM)
    with pytest.raises(BadConfig, match="0 positives and 0 negatives of 'dr'"):
        semiretina.train(config, tmp_path / "run")
    assert nothing_begun(tmp_path / "run")


@pytest.mark.parametrize(
    ("section", "other", "said"),
    [
        ({"sensitivity": 0.87, "specificity": 0.9}, {}, "one threshold cannot aim at both"),
        ({"calibrate": False}, {}, "operating: fixes nothing"),
        ({"sensitivity": 1.0}, {}, r"operating\.sensitivity: "),
        ({"specificty": 0.9}, {}, "operating.specificty: unknown key; did you mean 'specificity'"),
        (AIM, {"data": {"shuffle_labels": True}}, r"operating: cannot go with data\.shuffle_labels"),
        (AIM, {"tasks": ["severity"]}, r"operating\.sensitivity: none of the tasks severity is a yes or no"),
    ],
)
def test_sections_that_mean_nothing(section, other, said, configure, tmp_path):
    with pytest.raises(BadConfig, match=said):
        semiretina.train(configure(section, **other), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_section_is_written_and_read_back(configure, tmp_path):
    file = tmp_path / "config.toml"
    for section in (AIM, {"calibrate": False, "specificity": 0.95}, None):
        config = load_config(configure(section))
        file.write_text(dump_toml(config))
        assert load_config(file) == config
    assert load_config(file, ["operating.specificity=0.8"]).operating.specificity == 0.8


def test_a_lost_selected_network_is_told(configure, tmp_path, monkeypatch):
    def lose(phase, network):
        (phase.run.checkpoints / "best.safetensors").write_bytes(b"")
        return real(phase, network)

    real = ending._fix_points
    monkeypatch.setattr(ending, "_fix_points", lose)
    with pytest.raises(BadData, match=r"best\.safetensors: its checksum fails"):
        semiretina.train(configure(refit="train+val", epochs=1), tmp_path)
    assert not (tmp_path / "predictions-test.csv").exists()


def test_a_grade_of_one_scale_is_known_where_the_scale_is():
    task = semiretina.tasks.make_task("severity-ordinal:icdr", "")
    targets = np.array([[1.0, 1, 0, 0], [np.nan] * 4, [0.0, 0, 0, 0]], np.float32)
    assert task.labels(targets)["severity-ordinal:icdr"].tolist() == [2, -1, 0]
    lesions = semiretina.tasks.make_task("lesions", "icdr")
    found = lesions.labels(np.array([[1, 0, np.nan, 1]], np.float32))
    assert {key: labels.tolist() for key, labels in found.items()} == {
        "lesions.MA": [1],
        "lesions.HE": [0],
        "lesions.EX": [-1],
        "lesions.SE": [1],
    }
