"""From a cross-validation to a grader: points fixed on its answers, with a test set that the manifest gives."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

import semiretina
from semiretina.cli import app
from semiretina.config import dump_toml, load_config
from semiretina.data.split import read_split
from semiretina.errors import BadConfig, BadData, MissingInput, Refused
from semiretina.judging.ledger import looks
from semiretina.methods import METHODS
from semiretina.report.operating_point import operating_point
from semiretina.report.run_set import RunSet
from semiretina.report.runs import read_runs
from semiretina.run_folder import RunFolder
from semiretina.scoring.thresholds import LEAST
from semiretina.studies.folds import train_folds
from semiretina.studies.hold_out import hold_out

SPARED, TESTED = 120, 40  # photographs for the folds, and with the given role test; two of each patient


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A manifest of 160 drawn photographs of 80 patients: half are diseased, and brighter with an overlap."""
    folder = tmp_path_factory.mktemp("clinic")
    random = np.random.default_rng(22)
    rows = []
    for number in range(SPARED + TESTED):
        diseased = number // 2 % 2
        picture = random.integers(0, 60, (32, 32, 3)) + int(random.normal(60 + 30 * diseased, 20))
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{number:03d}.png")
        # Of two tested patients the manifest gives one photograph the role; the other goes with it.
        given = number >= SPARED and number not in (121, 123)
        rows.append(
            {
                "path": f"{number:03d}.png",
                "patient": f"{number // 2:03d}",
                "split": "test" if given else "",
                "scale": "icdr",
                "grade": 2 * diseased,
            }
        )
    write(folder / "manifest.csv", rows)
    return folder / "manifest.csv"


def write(manifest, rows):
    with manifest.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def rows_of(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def configure(clinic, tmp_path_factory):
    """`configure(data={...}, key=value)`: a short training that ends over-confident and not separated."""
    cache = tmp_path_factory.mktemp("cache")

    def make(*, manifest=clinic, data=None, epochs=2, **top):
        given = {"manifest": str(manifest), "size": 32, "crop": "none", "cache": str(cache), "val": 0.0}
        stage = {"method": {"name": "supervised"}, "epochs": epochs, "batch": 20}
        return {
            "data": given | (data or {}),
            "model": {"name": "aecl1", "widths": [4, 6, 8]},
            "stages": [stage | {"optimizer": {"name": "adam", "lr": 0.02}}],
            "engine": {"device": "cpu", "eval_batch": 40},
            **top,
        }

    return make


@pytest.fixture(scope="module")
def folds(configure, tmp_path_factory):
    """A finished cross-validation of two folds; tests read it."""
    out = tmp_path_factory.mktemp("folds") / "cv"
    train_folds(configure(data={"folds": 2}), out)
    return out


def aimed_at(folds, **operating):
    return {"sensitivity": 0.87, "folds": str(folds), **operating}


def test_points_are_fixed_on_the_answers_of_all_folds(configure, clinic, folds, tmp_path):
    out = tmp_path / "grader"
    result = semiretina.train(configure(operating=aimed_at(folds)), out)
    point = result["operating"]["dr"]

    # Worked out from the folds' own tables, whatever is copied where.
    tables = [row for fold in range(2) for row in rows_of(folds / f"fold-{fold}" / "predictions-test.csv")]
    labels = np.array([int(row["label"]) for row in tables])
    z = logit(np.array([float(row["probability"]) for row in tables]))
    assert (point["n"], point["positives"]) == (SPARED, SPARED // 2) == (len(labels), labels.sum())
    # One of the n answers counts as drawn at random: 1 - 1/2n of the label, 1/2n of the other.
    wanted = np.where(labels == 1, 1 - 1 / (2 * SPARED), 1 / (2 * SPARED))

    def loss(inverse):
        return (np.logaddexp(0, -z * inverse) * wanted + np.logaddexp(0, z * inverse) * (1 - wanted)).sum()

    temperature = 1 / minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9}).x
    assert point["temperature"] == pytest.approx(temperature, rel=1e-4)
    p = expit(z / point["temperature"])
    ranked = np.sort(p[labels == 1])[::-1]
    assert (p[labels == 1] >= point["threshold"]).sum() == 53 == np.ceil(0.87 * 60)
    assert np.max(p[p < ranked[52]]) < point["threshold"] < ranked[52]
    assert point["specificity"]["value"] == (p[labels == 0] < point["threshold"]).mean()
    assert point["sensitivity"]["low"] < 53 / 60 < point["sensitivity"]["high"]
    assert (point["from"], point["aimed"]) == ("out-of-fold answers of 2 networks, cv", "sensitivity 0.87")

    # What each of the two networks reaches there stands beside.
    for fold in range(2):
        own = [row["path"] for row in rows_of(folds / f"fold-{fold}" / "predictions-test.csv")]
        mine = np.array([row["path"] in own for row in tables])
        assert point["by_fold"]["sensitivity"][fold] == (p[mine & (labels == 1)] >= point["threshold"]).mean()
        assert point["by_fold"]["specificity"][fold] == (p[mine & (labels == 0)] < point["threshold"]).mean()

    # They are in the grader, and the test photographs tell what they are worth there.
    grader = semiretina.load(out)
    assert (grader.temperatures, grader.thresholds) == ({"dr": point["temperature"]}, {"dr": point["threshold"]})
    tested = rows_of(out / "predictions-test.csv")
    assert {row["path"] for row in tested} == {str(clinic.parent / f"{n:03d}.png") for n in range(SPARED, 160)}
    assert not {row["path"] for row in tested} & {row["path"] for row in tables}
    answers = np.array([float(row["probability"]) >= point["threshold"] for row in tested])
    ill = np.array([row["label"] == "1" for row in tested])
    assert result["test"]["dr"]["sensitivity"]["value"] == answers[ill].mean()
    assert result["counts"] == {"train": SPARED, "val": 0, "test": TESTED, "unlabeled": 0, "unused": 0}
    # ceil(121 * 0.9) = 109 of the 120 scores out of folds.
    quantile = np.sort(np.where(labels == 1, 1 - p, p))[108]
    assert result["test"]["dr"]["conformal"]["quantile"] == pytest.approx(quantile, abs=1e-6)

    # The given test set was looked at once: the folds were looks at other photographs.
    own, joint = (looks(clinic, RunFolder(run).read_result()["split_sha256"]) for run in (out, folds))
    assert (own.count, own.others) == (1, {})
    assert (joint.count, joint.others) == (1, {})
    shown = operating_point(RunSet(read_runs([out])))
    assert shown
    assert "out-of-fold answers of 2 networks, cv" in str(shown.blocks)


def test_folds_leave_a_given_test_set_alone_and_say_so_once_a_fold(configure, folds, tmp_path, capsys):
    split = read_split(folds / "split.csv", "patient")
    assert split.counts == {"train": 0, "val": 0, "test": SPARED, "unlabeled": 0, "unused": TESTED}
    semiretina.train(configure(data={"folds": 2, "fold": 1}, epochs=1), tmp_path / "one")
    said = "38 photographs that the manifest gives the role test stay out of the folds, with 2 of the same patients, "
    assert capsys.readouterr().err.count(said) == 1
    own = read_split(tmp_path / "one" / "split.csv", "patient")
    assert own.roles[SPARED:] == ["unused"] * TESTED


def test_networks_that_disagree_are_a_caution_of_the_scores(configure, folds, tmp_path, capsys):
    apart = tmp_path / "cv"
    shutil.copytree(folds, apart)
    rows = rows_of(apart / "predictions-test.csv")
    for row in rows:  # the second network says yes more readily
        row["probability"] = f"{expit(logit(float(row['probability'])) + 3 * int(row['fold'])):.9g}"
    write(apart / "predictions-test.csv", rows)
    result = semiretina.train(configure(operating=aimed_at(apart)), tmp_path / "run")
    [said] = result["operating"]["dr"]["caution"]
    (low, high), (more, less) = (result["operating"]["dr"]["by_fold"][name] for name in ("sensitivity", "specificity"))
    wanted = f"they reach sensitivity from {low:.0%} to {high:.0%} and specificity from {less:.0%} to {more:.0%}, and"
    assert wanted in said
    assert said in result["test"]["dr"]["caution"]
    assert f"operating: dr: {said}" in capsys.readouterr().err


@pytest.mark.parametrize("refit", ["none", "train+val"])
def test_what_validation_is_does_not_matter(refit, configure, folds, tmp_path):
    config = configure(operating=aimed_at(folds), data={"val": 0.2}, refit=refit, epochs=1)
    config["stages"][0]["epochs"] = 2
    points = semiretina.train(config, tmp_path / "run")["operating"]
    p = [float(row["probability"]) for row in rows_of(folds / "predictions-test.csv")]
    assert points["dr"]["temperature"] != 1
    calibrated = expit(logit(np.array(p)) / points["dr"]["temperature"])
    assert (calibrated >= points["dr"]["threshold"]).sum() == 53 + 60 * (1 - points["dr"]["specificity"]["value"])


class Stopped(Exception):
    pass


def test_a_run_goes_on_when_the_folds_have_moved_and_not_without_its_copy(configure, folds, tmp_path, capsys):
    moved, count = tmp_path / "cv", iter(range(100))
    shutil.copytree(folds, moved)
    config = configure(operating=aimed_at(moved))

    class Interrupted(METHODS["supervised"]):
        def forward(self, batch, progress):
            if next(count) == 8:
                raise Stopped
            return super().forward(batch, progress)

    run = tmp_path / "run"
    with pytest.raises(Stopped):
        semiretina.train(config, run, methods={"supervised": Interrupted})
    moved.rename(tmp_path / "elsewhere")
    copy = run / "predictions-folds.csv"
    kept = copy.read_bytes()
    assert kept == (folds / "predictions-test.csv").read_bytes()
    copy.unlink()
    with pytest.raises(MissingInput, match=r"predictions-folds\.csv: is gone; copy .*cv/predictions-test\.csv there"):
        semiretina.train(config, run)
    copy.write_bytes(kept.replace(b",0.", b",0.0", 1))
    with pytest.raises(Refused, match=r"predictions-folds\.csv: was edited after the run began"):
        semiretina.train(config, run)
    copy.write_bytes(kept)
    result = semiretina.train(config, run)
    whole = semiretina.train(configure(operating=aimed_at(folds)), tmp_path / "whole")
    assert result["operating"] == whole["operating"]
    assert (run / "grader.json").read_bytes() == (tmp_path / "whole" / "grader.json").read_bytes()


# What is refused, before anything is trained


def refused(config, run, error, said):
    with pytest.raises(error, match=said) as refusal:
        semiretina.train(config, run)
    assert "\n" not in str(refusal.value)
    assert not run.exists()


def test_where_there_is_no_finished_cross_validation(configure, folds, tmp_path):
    run = tmp_path / "run"
    refused(configure(operating=aimed_at(tmp_path)), run, MissingInput, r"no cross-validation here .*data\.folds=5")
    refused(configure(operating=aimed_at(folds / "fold-0")), run, MissingInput, "one run and no cross-validation")
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(folds / "config.toml", begun)
    said = r"not finished \(no result\.json, split\.csv, predictions-test\.csv\)"
    refused(configure(operating=aimed_at(begun)), run, MissingInput, said)


def test_where_another_network_answered(configure, folds, tmp_path):
    other = configure(operating=aimed_at(folds), tasks=["severity"], augment={"flip": False}, epochs=3, seed=4)
    other["model"]["widths"] = [4, 6, 10]
    other["data"] |= {"size": 64, "labels": 100}
    other["engine"]["eval_batch"] = 8
    other["operating"] = {"folds": str(folds)}
    with pytest.raises(Refused, match=r"cv: was trained otherwise, and a threshold on its answers") as refusal:
        semiretina.train(other, tmp_path / "run")
    named = str(refusal.value).split("means nothing here: ")[1].split(". Set these alike")[0]
    assert named.split("; ") == [
        "augment.flip = True there, False here",
        "data.labels = 'all' there, 100 here",
        "data.size = 32 there, 64 here",
        "model.widths = [4, 6, 8] there, [4, 6, 10] here",
        "stages.0.epochs = 2 there, 3 here",
        "tasks = ['dr'] there, ['severity'] here",
    ]
    assert not (tmp_path / "run").exists()


def test_where_the_folds_know_what_is_tested(configure, clinic, folds, tmp_path):
    rows = rows_of(clinic)
    for row in rows:
        row["path"] = str(clinic.parent / row["path"])
        row["split"] = "test" if row["path"].endswith(("/003.png", "/159.png")) else ""
    write(tmp_path / "other.csv", rows)
    config = configure(manifest=tmp_path / "other.csv", operating=aimed_at(folds))
    said = r"knows the labels of 2 of the 4 photographs that this run tests, .*: 002\.png, 003\.png\. .*data hold-out"
    refused(config, tmp_path / "run", Refused, said)
    # Testing nothing is a way, too: the folds' own scores are then what is known of the grader.
    config = configure(data={"test": 0.0}, manifest=tmp_path / "none.csv", operating=aimed_at(folds))
    write(tmp_path / "none.csv", [row | {"split": ""} for row in rows])
    result = semiretina.train(config, tmp_path / "run")
    assert result["counts"] == {"train": 160, "val": 0, "test": 0, "unlabeled": 0, "unused": 0}
    assert (result["test"], result["operating"]["dr"]["n"]) == ({}, SPARED)


def test_where_the_folds_have_too_few_labels(configure, folds, tmp_path, monkeypatch):
    monkeypatch.setattr("semiretina.scoring.thresholds.LEAST", LEAST + 11)
    said = r"cv: too few labels to fix anything on: 60 positives and 60 negatives of 'dr'\. .*label more"
    refused(configure(operating=aimed_at(folds)), tmp_path / "run", BadConfig, said)


def test_where_the_folds_were_joined_by_an_earlier_version(configure, folds, tmp_path):
    old = tmp_path / "cv"
    shutil.copytree(folds, old)
    rows = [{k: cell for k, cell in row.items() if k != "fold"} for row in rows_of(old / "predictions-test.csv")]
    write(old / "predictions-test.csv", rows)
    config, said = configure(operating=aimed_at(old)), r"does not say which fold answered; delete result\.json there"
    refused(config, tmp_path / "run", BadData, said)
    (old / "result.json").unlink()
    assert train_folds(configure(data={"folds": 2}), old)["test"]["dr"]["n"] == SPARED
    assert rows_of(old / "predictions-test.csv") == rows_of(folds / "predictions-test.csv")


def test_the_folder_is_read_from_where_the_configuration_is(configure, folds, tmp_path):
    config = load_config(configure(operating=aimed_at("~/cv")))
    assert config.operating
    assert config.operating.folds == str(Path("~/cv").expanduser())
    file = tmp_path / "mine.toml"
    file.write_text(dump_toml(load_config(configure())))
    read = load_config(file, ["operating.folds=../cv", "operating.sensitivity=0.9"])
    assert read.operating
    assert read.operating.folds == str((tmp_path / "../cv").resolve())


def test_a_drawn_test_set_is_held_out_of_folds(configure, clinic, tmp_path, capsys):
    write(
        tmp_path / "free.csv",
        [row | {"split": "", "path": str(clinic.parent / row["path"])} for row in rows_of(clinic)],
    )
    config, held = configure(manifest=tmp_path / "free.csv", epochs=1), tmp_path / "sub" / "held.csv"
    drawn = semiretina.train(config, tmp_path / "drawn")
    file = tmp_path / "mine.toml"
    file.write_text(dump_toml(load_config(config)))
    app(["data", "hold-out", str(file), "--out", str(held), "-o", "data.folds=3"], standalone_mode=False)
    assert capsys.readouterr().out == f"32 photographs have the role test: {held}\n"
    before, after = rows_of(tmp_path / "free.csv"), rows_of(held)
    assert sum(row["split"] == "test" for row in after) == drawn["counts"]["test"] == 32
    assert [row["grade"] for row in after] == [row["grade"] for row in before]
    kept = semiretina.train(configure(manifest=held, epochs=1), tmp_path / "kept")
    assert kept["split_sha256"] == drawn["split_sha256"]
    binary = {"regrade": {"icdr": {"to": "binary", "grades": [0, 1, 1, 1, 1]}}}
    assert hold_out(load_config(configure(manifest=held, data=binary)), tmp_path / "sub" / "again.csv") == 32
    assert rows_of(tmp_path / "sub" / "again.csv") == after  # nothing is drawn anew, and grades stay as they are stated
    own = semiretina.train(configure(manifest=held, data={"folds": 2, "fold": 0}, epochs=1), tmp_path / "fold")
    assert own["counts"] == {"train": 64, "val": 0, "test": 64, "unlabeled": 0, "unused": 32}
