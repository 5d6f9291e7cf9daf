"""A fake run folder that has every part which a report can show, under names that occur nowhere else."""

import csv
import json

from fake_runs import make_run
from PIL import Image

PATIENTS = tuple(f"Lindqvist-{number:02d}" for number in range(40))
FOLDER = "/klinik-nord/aufnahmen"


def stated(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def make_full_run(folder, dataset="messidor", **settings):
    """`make_run`'s, and a split, mistakes, strata, levels, an operating point, abstention, sets and a caution."""
    make_run(folder, epochs=2, **settings)
    rename_photographs(folder)
    write_split(folder, dataset)
    write_mistakes(folder / "samples")
    result = json.loads((folder / "result.json").read_text())
    scores = result["test"]["dr"]
    part = {"n": 40, "positives": 22, **{name: stated(0.9, 0.8, 0.95) for name in ("accuracy", "auroc", "sensitivity")}}
    scores["strata"] = {
        "site": {"Lund": part, "Ystad": {**part, "auroc": stated(0.7, 0.6, 0.8)}},
        "grade": {"0": {"n": 36, "positives": 0, "accuracy": stated(0.8), "auroc": stated(None)}, "2": part},
        "camera": {"only-one": part},
    }
    level = {"units": 40, "ungradable": 3, "n": 38, "ungradable_rate": stated(0.075, 0.03, 0.2), **part}
    scores["levels"] = {"photograph": {**level, "units": 80}, "patient": level}
    scores["abstention"] = [{"referred": 0.1, "n": 72, "accuracy": stated(0.912, 0.85, 0.95)}]
    scores["conformal"] = {"nominal": 0.9, "n": 80, "coverage": stated(0.925, 0.85, 0.97), "size": stated(1.125)}
    scores["caution"] = ["fewer than 50 positives, so intervals cover less than they say"]
    point = {
        "temperature": 1.75,
        "threshold": 0.3125,
        "aimed": "sensitivity 0.87",
        "n": 60,
        "positives": 31,
        "from": "val",
    }
    result["operating"] = {"dr": {**point, "sensitivity": stated(0.875, 0.7, 0.95), "specificity": stated(0.625)}}
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def photograph_of(number):
    return f"{FOLDER}/{PATIENTS[number // 2]}/Bild{number:03d}xyz.jpg"


def rename_photographs(folder):
    """The photographs of the fake run, in folders of patients."""
    file = folder / "predictions-test.csv"
    rows = list(csv.DictReader(file.open(newline="")))
    for row in rows:
        number = int(row["path"].rsplit(" ")[1].removesuffix(".jpg"))
        row |= {"path": photograph_of(number), "patient": PATIENTS[number // 2]}
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    samples = json.loads((folder / "samples" / "samples.json").read_text())
    for number, sample in enumerate(samples):
        sample["path"] = photograph_of(number)
    (folder / "samples" / "samples.json").write_text(json.dumps(samples))
    config = (folder / "config.toml").read_text()
    config = config.replace(
        '"/photographs/manifest.csv"', '"/klinik-nord/listen/Kohorte7.csv"\ncache = "/klinik-nord/lager"'
    )
    (folder / "config.toml").write_text(config)


def write_split(folder, dataset):
    roles = ["test"] * 80 + ["train"] * 4
    lines = ["path,dataset,site,camera,patient,scale,grade,sha256,group,role"]
    for number, role in enumerate(roles):
        patient = PATIENTS[number // 2] if number < 80 else f"Sjoberg-{number}"
        path = photograph_of(number) if number < 80 else f"{FOLDER}/{patient}/Bild{number:03d}xyz.jpg"
        site = "Lund" if number % 3 else "Ystad"
        lines.append(
            f"{path},{dataset},{site},Topcon,{patient},icdr,{number % 4},{number:064x},gruppe{number // 2}q,{role}"
        )
    (folder / "split.csv").write_text("\n".join(lines) + "\n")


def write_mistakes(samples):
    rows = []
    for number, (label, answer, probability) in enumerate([("no", "yes", 0.971), ("yes", "no", 0.934)]):
        names = {"photograph": f"mistake-{number:02d}.png", "heat_map": f"mistake-{number:02d}-heat.png"}
        for name in names.values():
            Image.new("RGB", (32, 32), (150, 40 + 50 * number, 20)).save(samples / name)
        told = {"label": label, "answer": answer, "probability": probability}
        rows.append({"path": photograph_of(number), "task": "dr", "output": "dr", **told, **names})
    (samples / "mistakes.json").write_text(json.dumps(rows))
