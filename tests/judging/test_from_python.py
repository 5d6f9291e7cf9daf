"""A grader in one's own program: what it takes, that all of it is seen alike, and what it refuses."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image, ImageDraw

import semiretina
from semiretina.data.image import read_photograph
from semiretina.errors import BadConfig, BadData, MissingInput
from semiretina.judging.decisions import COLUMNS
from semiretina.judging.grader import Grader
from semiretina.judging.predict import predict
from semiretina.models import build_network
from semiretina.tasks import TASKS

ROOT = Path(__file__).parents[2]
OUTPUTS = ["dr", "MA", "HE", "EX", "SE", *(f"grade {grade}" for grade in range(5))]


@pytest.fixture(scope="module")
def grader():
    tasks = {name: TASKS[name]("icdr") for name in ("dr", "lesions", "severity")}
    torch.manual_seed(0)
    outputs = {name: task.num_logits for name, task in tasks.items()}
    network = build_network("aecl1", outputs, 32, {"widths": [4, 6, 8]}).eval()
    for parameter in network.classifier.parameters():
        parameter.data.mul_(8)
    thresholds = {"dr": 0.4, "lesions.HE": 0.9}
    return Grader(network, tasks, 32, "field-of-view", 0.5, torch.device("cpu"), batch=3, own_thresholds=thresholds)


def drawn(seed=0, size=(220, 170)) -> Image.Image:
    """A coloured disc off the middle of a larger dark frame."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", size, (3, 2, 2))
    x, y, radius = size[0] * 0.55, size[1] * 0.45, size[1] * 0.35
    color = tuple(int(value) for value in random.integers(70, 240, 3))
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    noise = random.integers(0, 15, (size[1], size[0], 3))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Seven photographs as pictures, and a folder with PNG files of the same pixels."""
    folder, made = tmp_path_factory.mktemp("clinic"), [drawn(seed) for seed in range(7)]
    for number, picture in enumerate(made):
        picture.save(folder / f"{number}.png")
    return made, folder


def values(decisions):
    return [row["probability"] for row in decisions]


def test_pictures_arrays_and_files_of_the_same_pixels_get_the_same_bits(grader, pictures):
    made, folder = pictures
    expected = values(grader.predict(folder))
    files = sorted(folder.iterdir())
    assert len(set(expected)) > 7
    assert values(grader.predict(str(folder))) == expected
    assert values(grader.predict(files)) == expected
    assert values(grader.predict([str(file) for file in files])) == expected
    assert values(grader.predict(made)) == expected
    assert values(grader.predict(np.asarray(picture) for picture in made)) == expected
    assert values(grader.predict(np.stack([np.asarray(picture) for picture in made]))) == expected
    assert values(grader.predict([files[0], made[1], np.asarray(made[2]), *map(str, files[3:])])) == expected
    assert values(grader.predict(np.asarray(made[0]))) == values(grader.predict(made[0])) == expected[: len(OUTPUTS)]
    # What training and `predict RUN` see: cropped to the disc, and resized.
    seen = read_photograph(files[0], 32, "field-of-view")[0]
    assert expected[0] == float(grader.grade(seen[None])["dr"][0, 0])
    whole = read_photograph(files[0], 32, "none")[0]
    assert abs(expected[0] - float(grader.grade(whole[None])["dr"][0, 0])) > 0.001


def test_a_picture_turned_by_its_exif_is_seen_upright(grader, pictures, tmp_path):
    [picture, *_], _ = pictures
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        assert values(grader.predict(turned)) == values(grader.predict(picture))


def test_a_jpeg_in_memory_is_nearly_what_its_file_is(grader, tmp_path):
    drawn(size=(1100, 850)).save(tmp_path / "large.jpg", quality=95)
    with Image.open(tmp_path / "large.jpg") as opened:
        in_memory = values(grader.predict(opened))
        assert opened.size == (1100, 850)  # and not reduced for anybody else
    # The file is decoded at half its size.
    np.testing.assert_allclose(in_memory, values(grader.predict(tmp_path / "large.jpg")), atol=0.01)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
def test_grey_and_transparent_arrays_are_seen_as_files_of_them(grader, pictures, tmp_path, mode):
    made = pictures[0][0].convert(mode)
    if mode != "L":
        made.putalpha(Image.fromarray(np.tile(np.arange(220) % 256, (170, 1)).astype(np.uint8)))
    made.save(tmp_path / "one.png")
    expected = values(grader.predict(tmp_path / "one.png"))
    assert values(grader.predict(made)) == expected
    array = np.asarray(made)
    if mode == "L":
        assert values(grader.predict(array)) == values(grader.predict(array[:, :, None])) == expected
        assert values(grader.predict(array[None, :, :, None])) == expected
    if mode == "RGBA":
        assert values(grader.predict(array)) == expected


def test_the_table_has_a_row_for_each_photograph_and_output(grader, pictures, tmp_path):
    made, folder = pictures
    (tmp_path / "cut.png").write_bytes((folder / "0.png").read_bytes()[:900])
    found = grader.predict([folder / "0.png", made[1], tmp_path / "cut.png", tmp_path / "gone.jpg"])
    assert len(found) == 4 * len(OUTPUTS)
    assert all(tuple(row) == ("photograph", "path", *COLUMNS[2:]) == COLUMNS for row in found)
    assert [row["output"] for row in found] == OUTPUTS * 4
    assert [row["photograph"] for row in found] == [n for n in range(4) for _ in OUTPUTS]
    assert {row["path"] for row in found} == {
        str(folder / "0.png"),
        "",
        str(tmp_path / "cut.png"),
        str(tmp_path / "gone.jpg"),
    }
    failed = found[2 * len(OUTPUTS) :]
    assert all((row["probability"], row["answer"], row["status"]) == (None, "", "failed") for row in failed)
    assert failed[-1]["reason"] == "no such file"
    assert "truncated" in failed[0]["reason"]
    for row in found[: 2 * len(OUTPUTS)]:
        limit = {"dr": 0.4, "HE": 0.9, "MA": 0.5, "EX": 0.5, "SE": 0.5}.get(row["output"])
        assert row["threshold"] == limit
        if limit is not None:
            assert row["answer"] == ("yes" if row["probability"] >= limit else "no")
    for start in (5, 15):  # the five grades of each photograph
        grades = found[start : start + 5]
        assert [row["answer"] for row in grades].count("yes") == 1
        assert max(grades, key=lambda row: row["probability"])["answer"] == "yes"
    frame = pandas.DataFrame(found)
    assert list(frame.columns) == list(COLUMNS)
    assert frame.groupby("photograph").size().tolist() == [10] * 4
    lines = str(found).splitlines()
    assert lines[0].split() == list(COLUMNS)
    assert len(lines) == 1 + 40
    assert str(grader.predict(made)).splitlines()[-1] == "... and 30 more rows"


def test_the_table_and_the_csv_say_the_same(grader, pictures, tmp_path):
    folder = pictures[1]
    predict(grader, [folder], tmp_path / "p.csv")
    found = grader.predict(folder)
    for row, line in zip(found, csv.DictReader((tmp_path / "p.csv").open()), strict=True):
        assert (row["path"], row["task"], row["output"]) == (line["path"], line["task"], line["output"])
        assert f"{row['probability']:.9g}" == line["probability"]
        assert line["threshold"] == ("" if row["threshold"] is None else f"{row['threshold']:.9g}")
        assert line["answer"] == ("" if row["threshold"] is None else row["answer"])


GOOD = np.zeros((64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (GOOD / 255.0, r"an array of float64: .* from 0 to 255; convert it: \(255 \* array\)\.round\(\)"),
        (GOOD + 200.0, r"an array of float64: .*; convert it: \(array\)\.round\(\)\.astype\(np\.uint8\)"),
        (GOOD.astype(np.uint16), r"an array of uint16: .*\(array / 257\)"),
        (GOOD.astype(np.int64), r"an array of int64: .*array\.astype\(np\.uint8\)"),
        (GOOD > 0, "an array of bool: "),
        (GOOD.transpose(2, 0, 1), r"shape \(3, 64, 64\) .* the colours come last: array\.transpose\(1, 2, 0\)"),
        (GOOD.transpose(2, 0, 1)[None], r"shape \(1, 3, 64, 64\) .*: array\.transpose\(0, 2, 3, 1\)"),
        (np.zeros((10, 64, 64), np.uint8), r"shape \(10, 64, 64\) .*; give a path, a PIL image, or a uint8 array"),
        (np.zeros(64, np.uint8), r"shape \(64\) is no photograph; give"),
        (np.zeros((0, 64, 3), np.uint8), r"shape \(0, 64, 3\) is no photograph"),
        (torch.zeros(64, 64, 3, dtype=torch.uint8), "photograph 0: a Tensor is none; give"),
        ([GOOD, None], "photograph 1: a NoneType is none; give"),
        (7, "photograph 0: a int is none; give"),
    ],
)
def test_what_is_no_photograph_is_refused_in_a_sentence(grader, image, named):
    for ask in (grader.predict, grader.features, grader.heatmap):
        with pytest.raises(BadData, match=named) as refusal:
            ask(image)
        assert "\n" not in str(refusal.value)


def test_pixels_that_are_not_prepared_are_not_graded(grader, pictures):
    full = np.stack([np.asarray(picture) for picture in pictures[0]])
    for wrong in (full, full[:, :32, :32] / 255.0):
        with pytest.raises(BadData, match=r"not uint8 \[n, 32, 32, 3\] .*`predict` takes photographs of any size"):
            grader.grade(wrong)


def test_features_are_those_of_the_pictures_as_they_are_seen(grader, pictures, tmp_path):
    made, folder = pictures
    found = grader.features(folder)
    assert (found.shape, found.dtype) == ((7, 8), np.float32)
    assert np.array_equal(found, grader.features(made))
    seen = np.stack([read_photograph(file, 32, "field-of-view")[0] for file in sorted(folder.iterdir())])
    with torch.no_grad():
        maps = grader.network.encode(torch.from_numpy(seen).permute(0, 3, 1, 2) / 255.0)
    np.testing.assert_allclose(found, maps.mean(dim=(2, 3)), atol=1e-5)
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(BadData, match=r"empty\.png: cannot be read \(the file is empty\)"):
        grader.features([folder, tmp_path / "empty.png"])
    with pytest.raises(MissingInput, match=r"gone\.png: no such file"):
        grader.features(tmp_path / "gone.png")
    with pytest.raises(BadData, match="no photograph; give"):
        grader.features([])
    assert grader.predict([]) == []


def test_a_heat_map_is_a_picture_of_one_answer(grader, pictures):
    made, folder = pictures
    shown = grader.heatmap(made[0])
    assert (shown.size, shown.mode) == ((32, 32), "RGB")
    assert shown.tobytes() == grader.heatmap(str(folder / "0.png")).tobytes() == grader.heatmap(made[0], "dr").tobytes()
    maps = {key: grader.heatmap(made[0], key).tobytes() for key in ("dr", "lesions.MA", "lesions.EX", "severity")}
    assert len(set(maps.values())) > 1
    with pytest.raises(BadConfig, match=r"unknown key 'MA'; this grader answers dr, lesions\.MA, .*severity"):
        grader.heatmap(made[0], "MA")
    with pytest.raises(BadData, match="7 photographs; give one at a time"):
        grader.heatmap(folder)


def test_what_an_image_needs_of_the_program_is_not_torch(grader, pictures, tmp_path):
    """A grader of another runtime: what reads photographs, and writes rows of its answers, runs without torch."""
    code = f"""
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ImportError(name)
sys.meta_path.insert(0, NoTorch())
from pathlib import Path
import numpy as np
from semiretina.data.image import read_photograph
from semiretina.judging.inputs import find_photographs
from semiretina.judging.predict import predict
from semiretina.judging.predictions import read_predictions
from semiretina.tasks import make_task
class Runtime:
    tasks, thresholds, own_thresholds, batch = {{"dr": make_task("dr", "icdr")}}, {{"dr": 0.4}}, {{"dr": 0.4}}, 4
    def read(self, photograph):
        return read_photograph(photograph, 32)[0]
    def grade(self, photographs):
        return {{"dr": photographs.mean(axis=(1, 2, 3), dtype=np.float32)[:, None] / 255}}
print(predict(Runtime(), find_photographs({str(pictures[1])!r}), Path({str(tmp_path / "p.csv")!r})))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "(7, 0)\n"
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [row["answer"] for row in rows] == ["yes" if float(row["probability"]) >= 0.4 else "no" for row in rows]


def test_the_package_shows_its_public_names():
    assert {"train", "load", "evaluate", "quickstart", "Grader", "Method"} <= set(dir(semiretina))
    assert all(getattr(semiretina, name) for name in dir(semiretina))
    with pytest.raises(AttributeError, match=r"no attribute 'laod'; public are .*load"):
        semiretina.laod  # noqa: B018
    code = "import semiretina, sys; dir(semiretina); print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_the_readme_from_python(make_config, make_stage, pictures, tmp_path, monkeypatch, capsys):
    """The README's first lines of Python, on a run that is trained here instead of by the quickstart."""
    readme = (ROOT / "README.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", readme.partition("## ")[0], re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 6
    monkeypatch.chdir(tmp_path)
    semiretina.train(make_config(make_stage("supervised", epochs=1)), "quickstart/runs/ae-cl-combined")
    Path("quickstart/photographs").mkdir()
    for number, picture in enumerate(pictures[0]):
        picture.save(f"quickstart/photographs/{number}.png")
    names = {}
    exec(code, names)  # as a reader would
    assert [row["status"] for row in names["decisions"]] == ["ok"] * 7
    assert names["features"].shape == (7, 8)
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split() == list(COLUMNS)
    assert "quickstart/photographs/6.png" in printed
    with Image.open("heatmap.png") as shown:
        assert shown.size == (32, 32)
