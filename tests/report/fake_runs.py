"""Small run folders as the engine writes them, with invented but consistent numbers."""

import csv
import json
from dataclasses import asdict

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from semiretina.scoring import Estimate, binary_scores, class_scores

CONFIG = """seed = {seed}
tasks = [{tasks}]

[data]
manifest = "/photographs/manifest.csv"
size = 128
labels = 40
shuffle_labels = {shuffle}

[model]
name = "{model}"
{weights}{stages}"""
STAGE = """
[[stages]]
method = {{ {method} }}
epochs = {epochs}
batch = 8
optimizer = {{ name = "adam", lr = 0.001 }}
"""
GRADES = 5


def make_run(
    folder,
    *,
    stages=("supervised",),
    seed=0,
    strength=1.6,
    epochs=12,
    tasks=("dr",),
    test_list="a" * 64,
    shuffle=False,
    protocol=False,
    size=64,
    decoder=True,
    photographs=80,
    model="aecl1-small",
    weights="",
    combined="",
):
    """One finished run folder; `strength` is the distance between the answers to the two classes.

    `combined` is the method of a combined stage, as TOML: its name and parameters.
    """
    folder.mkdir(parents=True)
    draw = np.random.default_rng([seed, len(stages), int(100 * strength)])
    named = {"combined": combined or 'name = "combined", lambda_cl = 1.0'}
    written = "".join(STAGE.format(method=named.get(kind, f'name = "{kind}"'), epochs=epochs) for kind in stages)
    of_tasks = ", ".join(f'"{task}"' for task in tasks)
    file = f'weights = "{weights}"\n' if weights else ""
    config = CONFIG.format(
        seed=seed, tasks=of_tasks, shuffle=str(shuffle).lower(), model=model, weights=file, stages=written
    )
    (folder / "config.toml").write_text(config)
    environment = {
        "semiretina": "0.1.0",
        "python": "3.11.9",
        "torch": "2.11.0",
        "device": "cpu",
        "gpu": None,
        "processes": 1,
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    scores = write_predictions(folder / "predictions-test.csv", draw, tasks, strength, photographs)
    updates = write_log(folder / "log.jsonl", draw, stages, epochs, tasks, strength, protocol)
    write_samples(folder / "samples", decoder, size)
    result = {
        "schema": 1,
        "name": folder.name,
        "seed": seed,
        "split_sha256": test_list,
        "trained_on": "train",
        "selected_epoch": epochs - 3,
        "labeled_updates": updates,
        "counts": {"train": 40, "val": 60, "test": photographs, "unlabeled": 400, "unused": 6},
        "test": scores,
        "val": {task: {"n": 60, "majority": 0.55} for task in tasks},
    }
    if protocol:
        result["paper_protocol"] = {
            t: {"max": 0.8875, "epoch": 7, "last": 0.8625, "mean_last_ten": 0.851} for t in tasks
        }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def write_predictions(file, draw, tasks, strength, photographs):
    """The predictions of every task, and their scores."""
    truth, scores = np.random.default_rng(1), {}
    severity = truth.choice(GRADES, photographs, p=[0.45, 0.1, 0.25, 0.1, 0.1])
    patients = [f"p{number // 2}" for number in range(photographs)]
    lines = [["path", "patient", "site", "task", "output", "label", "probability"]]

    def add(task, output, labels, probabilities):
        for number, (label, probability) in enumerate(zip(labels, probabilities, strict=True)):
            path = f"/photographs/eye {number:03d}.jpg"
            lines.append([path, patients[number], "1", task, output, "" if label < 0 else label, f"{probability:.9g}"])

    def sigmoid(labels):
        return 1 / (1 + np.exp(-draw.normal(strength * (labels - 0.5), 1)))

    for task in tasks:
        if task == "severity":
            logits = draw.normal(0, 1, (photographs, GRADES)) - strength * abs(severity[:, None] - np.arange(GRADES))
            chosen = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            for grade in range(GRADES):
                add(task, f"grade {grade}", (severity == grade).astype(int), chosen[:, grade])
            scores[task] = class_scores(severity, chosen, patients)
        elif task == "lesions":
            for number, lesion in enumerate(("MA", "HE", "EX", "SE")):
                labels = np.where(truth.random(photographs) < 0.2, -1, severity > number)
                p = sigmoid(labels)
                add(task, lesion, labels, p)
                scores[f"lesions.{lesion}"] = binary_scores(labels, p, patients)
        else:
            p = sigmoid(severity > 0)
            add(task, task, (severity > 0).astype(int), p)
            scores[task] = binary_scores(severity > 0, p, patients)
    with file.open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(lines)
    return {
        task: {name: _json(asdict(s) if isinstance(s, Estimate) else s) for name, s in own.items()}
        for task, own in scores.items()
    }


def _json(value):
    if isinstance(value, dict):
        return {key: _json(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


def write_log(file, draw, stages, epochs, tasks, strength, protocol):
    """A log of step and epoch rows; returns the labelled updates of the last epoch."""
    rows, updates = [], 0
    for stage, method in enumerate(stages):
        for epoch in range(epochs):
            labeled = {"supervised": [1] * 5, "reconstruction": [0] * 55, "combined": [1] * 5 + [0] * 50}[method]
            labeled = [int(mark) for mark in draw.permutation(labeled)]
            updates += sum(labeled)
            done = (epoch + 1) / epochs
            losses = [float(abs(0.06 + 0.7 * mark * (1 - 0.6 * done) + draw.normal(0, 0.03))) for mark in labeled]
            reached = 1 - np.exp(-(1.5 + strength) * done)
            own = {
                task: {
                    "loss": 0.7 - 0.3 * reached,
                    "accuracy": float(np.clip(0.55 + 0.17 * strength * reached + draw.normal(0, 0.02), 0, 1)),
                    "auroc": float(np.clip(0.5 + 0.23 * strength * reached + draw.normal(0, 0.015), 0, 1)),
                }
                for task in tasks
            }
            scores = {} if method == "reconstruction" else own
            val = {**scores, "reconstruction": {"mse": 0.05 * 0.2**done}} if method != "supervised" else scores
            place = {"phase": "train", "stage": stage, "epoch": epoch}
            rows.append({"kind": "step", **place, "step": 0, "loss": losses[0], "lr": 0.001})
            row = {
                "kind": "epoch",
                **place,
                "method": method,
                "seconds": 1.5,
                "images": 440,
                "labeled_updates": updates,
            }
            ae = {} if method == "supervised" else {"loss_ae": 0.05 * 0.2**done}
            row |= {
                "losses": losses,
                "losses_cl": losses,
                "labeled": labeled,
                "train": {"loss": float(np.mean(losses)), **ae},
                "val": val,
            }
            rows.append({**row, "test": own} if protocol and scores else row)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return updates


def write_samples(folder, decoder, size):
    """Four discs with a bright spot and dark vessels, and their blurred copies."""
    folder.mkdir()
    samples = []
    for number in range(4):
        image = Image.new("RGB", (size, size))
        pen, middle = ImageDraw.Draw(image), size / 2
        pen.ellipse((2, 2, size - 3, size - 3), fill=(170 - 12 * number, 82, 40))
        for bend in (-0.3, -0.15, 0.2, 0.35):
            pen.line(
                [(0.72 * size, middle), (0.5 * size, middle + bend * size), (0.2 * size, middle + 1.1 * bend * size)],
                fill=(110, 35, 22),
                width=max(1, size // 64),
            )
        pen.ellipse((0.66 * size, 0.43 * size, 0.8 * size, 0.57 * size), fill=(245, 215, 140))
        image.save(folder / f"original-{number:02d}.png")
        samples.append(
            {
                "path": f"/photographs/eye {number:03d}.jpg",
                "original": f"original-{number:02d}.png",
                "reconstruction": None,
            }
        )
        if decoder:
            samples[-1]["reconstruction"] = f"reconstruction-{number:02d}.png"
            image.filter(ImageFilter.GaussianBlur(size / 40)).save(folder / f"reconstruction-{number:02d}.png")
    (folder / "samples.json").write_text(json.dumps(samples))
