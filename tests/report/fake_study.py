"""Small reproductions as `semiretina reproduce` leaves them, with invented but consistent numbers."""

import json
from pathlib import Path

import numpy as np
from fake_runs import make_run
from PIL import Image, ImageDraw

from semiretina.data.split import Split
from semiretina.records import Record
from semiretina.report.paper.cells import CELLS

MODELS = {"aecl1": "aecl1-small", "aeres18": "aeres18", "res18": "res18", "resnet18": "resnet18"}
MODELS["inceptionv3"] = "inceptionv3"
STAGES = {
    "baseline": ("supervised",),
    "AE then CL": ("reconstruction", "supervised"),
    "AE-CL combined": ("combined",),
}
ABSENT = "weights absent: {}.safetensors in the folder --weights"
NO_NEARER = "no photographs to pretrain on: name a source that has labels by --nearer SOURCE=FOLDER"


def make_study(
    out,
    *,
    preset="corrected",
    seeds=1,
    trained=None,
    failed=None,
    weights=False,
    quick=False,
    masks=False,
    nearer=False,
):
    """A folder with study.json and the runs of `trained`: cell -> seeds. Without `weights` pretrained cells are holes.

    `failed`: cell -> {seed: why}. `masks` gives the photographs lesion masks.
    """
    split = make_split(out / "photographs", masks)
    cells = {}
    for name, cell in CELLS.items():
        hole = ABSENT.format(cell.weights) if cell.weights and not weights else ""
        hole = NO_NEARER if cell.nearer and not nearer else hole
        runs = []
        for seed in (trained or {}).get(name, ()):
            runs.append(f"runs/{name}-seed{seed}")
            run = add_run(out / runs[-1], name, seed, preset)
            split.write(run / "split.csv")
        bad = {str(seed): reason for seed, reason in (failed or {}).get(name, {}).items()}
        cells[name] = {"hole": hole, "runs": runs, "failed": bad}
    study = {
        "schema": 1,
        "source": "messidor",
        "root": "/data/messidor",
        "unlabeled": ["messidor_extension=/data/extension"],
        "nearer": "eyepacs=/data/eyepacs" if nearer else "",
        "preset": preset,
        "quick": quick,
        "seeds": seeds,
        "cells": cells,
        "grids": {},
    }
    write_study(out, study)
    return out


def write_study(out, study):
    """study.json."""
    (out / "study.json").write_text(json.dumps(study))


def read(out):
    """study.json as it stands."""
    return json.loads((out / "study.json").read_text())


def add_run(folder, name, seed, preset, **more):
    """A finished run of the cell."""
    cell = CELLS[name]
    model = "res18" if name == "aeres18-baseline" else MODELS[name.partition("-")[0]]
    lambdas = {"AECL1": 400.0, "AERes18": 3.0}.get(cell.model)
    settings = {
        "stages": STAGES[cell.training],
        "seed": seed,
        "epochs": 4,
        "protocol": preset == "paper",
        "size": 32,
        "decoder": cell.training != "baseline",
        "model": model,
        "weights": f"/weights/{cell.weights}.safetensors" if cell.weights else "",
        "combined": f'name = "combined", lambda_cl = {lambdas}' if preset == "paper" else 'name = "balanced"',
    }
    return make_run(folder, **{**settings, **more})


def set_result(run, accuracy, *, last=None, majority=0.5, n=100, maximum=None, mean=None):
    """Writes known numbers over a run's invented ones: shares, of which `maximum` and `mean` follow the paper."""
    file = Path(run) / "result.json"
    result = json.loads(file.read_text())
    shown = {"value": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.05}
    result["test"]["dr"] |= {"accuracy": shown, "majority": majority, "n": n}
    if maximum is not None:
        last = accuracy if last is None else last
        result["paper_protocol"] = {"dr": {"max": maximum, "epoch": 2, "last": last, "mean_last_ten": mean}}
    file.write_text(json.dumps(result))


def set_answers(run, right):
    """Predictions of ten photographs, all positive: `right` tells which are answered so."""
    lines = ["path,patient,site,task,output,label,probability"]
    lines += [f"eye{n}.jpg,p{n},1,dr,dr,1,{0.9 if hit else 0.1}" for n, hit in enumerate(right)]
    (Path(run) / "predictions-test.csv").write_text("\n".join(lines) + "\n")


def set_curve(run, values, role="test"):
    """Accuracies of the last stage's epochs."""
    file = Path(run) / "log.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    last = max(row["stage"] for row in rows)
    left = list(values)
    for row in rows:
        if row["kind"] == "epoch" and row["stage"] == last:
            row.setdefault(role, {})["dr"] = {"loss": 0.5, "accuracy": left.pop(0), "auroc": 0.5}
    assert not left
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def set_losses(run, train, test):
    """The classifier's loss of the last stage's epochs, in training and on the test photographs."""
    file = Path(run) / "log.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    last = max(row["stage"] for row in rows)
    epochs = [row for row in rows if row["kind"] == "epoch" and row["stage"] == last]
    for row, own, held_out in zip(epochs, train, test, strict=True):
        row["train"]["loss_dr"] = own
        row["test"]["dr"]["loss"] = held_out
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_split(folder, masks):
    """Twelve labelled and four unlabelled photographs of two hospitals, with their files."""
    folder.mkdir(parents=True)
    # site, grade, role
    rows = [
        *[("Paris", grade, role) for grade, role in zip((0, 0, 1, 3, 0, 2), ROLES, strict=True)],
        *[("Brest", grade, role) for grade, role in zip((0, 1, 1, 2, 0, 0), ROLES, strict=True)],
        *[("Brest", None, role) for role in ("unlabeled", "unlabeled", "unlabeled-val", "unlabeled-test")],
    ]
    records = []
    for number, (site, grade, _) in enumerate(rows):
        path = folder / f"eye{number}.png"
        draw(path, grade or 0)
        more = {}
        if masks and grade:
            for lesion, spots in {"MA": 3, "EX": 1}.items() if grade < 3 else {"MA": 2, "HE": 2, "EX": 1}.items():
                file = folder / f"eye{number}-{lesion}.png"
                mask(file, spots, 20 if lesion == "MA" else 44)
                more[f"mask_{lesion}"] = file
        note = "; its duplicate b dropped" if number == 1 else "; grade 3 -> 0 by the errata" if number == 2 else ""
        known = {"scale": "messidor", "grade": grade} if grade is not None else {}
        records.append(Record(path=path, dataset="messidor", site=site, provenance=f"Messidor{note}", **known, **more))
    names = [f"{n:064x}" for n in range(len(rows))]
    return Split(records, names, [f"g{n}" for n in range(len(rows))], [role for _, _, role in rows])


ROLES = ("train", "train", "train", "train", "val", "test")


def draw(file, grade):
    """A disc with bright spots."""
    image = Image.new("RGB", (120, 100))
    pen = ImageDraw.Draw(image)
    pen.ellipse((12, 2, 107, 97), fill=(170, 82, 40))
    for number in range(grade):
        pen.rectangle((40 + 12 * number, 50, 44 + 12 * number, 54), fill=(240, 220, 150))
    image.save(file)


def mask(file, spots, row):
    """Spots of three pixels each, twenty apart, in a row."""
    marked = np.zeros((100, 120), np.uint8)
    for number in range(spots):
        marked[row : row + 3, 30 + 20 * number : 33 + 20 * number] = 255
    Image.fromarray(marked).save(file)


def add_search(out, name, scores):
    """Trials of a cell: (accuracy, AUROC) each, None where it diverged, "open" where it is not trained yet."""
    study = read(out)
    study.setdefault("searches", {})[name] = f"searches/{name}"
    write_study(out, study)
    folder = out / "searches" / name
    folder.mkdir(parents=True)
    lines = []
    for number, score in enumerate(scores):
        status = "open" if score == "open" else "diverged" if score is None else "done"
        accuracy, auroc = score if status == "done" else (None, None)
        balance = {"name": "norm_ratio", "rho": 0.5}
        parameters = {"stages.-1.optimizer.lr": round(0.001 * (number + 1), 4), "stages.-1.method.balance": balance}
        point = {"key": f"t{number}", "parameters": parameters, "status": status, "accuracy": accuracy, "auroc": auroc}
        lines.append(json.dumps(point) + "\n")
    (folder / "points.jsonl").write_text("".join(lines))


def add_grid(out, name, accuracies, *, hole=""):
    """Points of a grid search: a learning rate each; an accuracy of None diverged, "open" is not trained yet."""
    study = read(out)
    study["grids"][name] = {"hole": hole, "folder": f"grids/{name}"}
    write_study(out, study)
    folder = out / "grids" / name
    folder.mkdir(parents=True)
    lines = []
    for number, accuracy in enumerate(accuracies):
        status = "open" if accuracy == "open" else "diverged" if accuracy is None else "done"
        known = accuracy if status == "done" else None
        parameters = {"stages.-1.optimizer.lr": round(0.001 * (number + 1), 4), "stages.-1.optimizer.momentum": 0.9}
        point = {"key": f"p{number}", "parameters": parameters, "status": status, "accuracy": known}
        lines.append(json.dumps(point) + "\n")
    (folder / "points.jsonl").write_text("".join(lines))
