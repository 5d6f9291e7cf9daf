"""The page of a reproduction that may be passed on: no photograph and no name, and a sentence in each one's place."""

import base64
import csv
import json
import re
from pathlib import PurePosixPath

import pytest
from fake_study import make_study
from full_run import make_full_run
from pages import Page, check_is_built_for_readers, check_stands_alone

from semiretina.data.sources import SOURCES
from semiretina.report.paper.page import write_paper_report
from semiretina.report.runs import read_runs
from semiretina.report.share import LEFT_OUT, decide, hiding, public

TRAINED = ("aecl1-baseline", "aecl1-combined", "aeres18-ae-then-cl")


def name_the_photographs(out):
    """Gives photographs, patients and folders names that occur nowhere else, in every file of the runs."""
    folder = out / "photographs"
    for file in list(folder.glob("eye*.png")):
        file.rename(folder / file.name.replace("eye", "Bild-Sjoberg-"))
    for run in out.glob("runs/*"):
        file = run / "split.csv"
        rows = list(csv.DictReader(file.open(newline="")))
        for number, row in enumerate(rows):
            row |= {name: value.replace("eye", "Bild-Sjoberg-") for name, value in row.items() if "eye" in value}
            row |= {"patient": f"Patient-Lund-{number}", "exam": f"Besuch-{number}"}
        with file.open("w", newline="") as written:
            writer = csv.DictWriter(written, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        for name, before, after in (
            ("predictions-test.csv", "/photographs/eye ", "/klinik-nord/Bild-Vogel-"),
            ("samples/samples.json", "/photographs/eye ", "/klinik-nord/Bild-Vogel-"),
            ("config.toml", "/photographs/manifest.csv", "/klinik-nord/Kohorte7.csv"),
        ):
            text = (run / name).read_text()
            assert before in text
            (run / name).write_text(text.replace(before, after))


def names_of(out):
    """Every path, file name, stem, patient, exam and hash of a photograph that the runs' own files name."""
    found = {str(out), "klinik-nord", "Kohorte7", "/weights"}
    for run in out.glob("runs/*"):
        rows = [row for file in ("split.csv", "predictions-test.csv") for row in csv.DictReader((run / file).open())]
        rows += json.loads((run / "samples" / "samples.json").read_text())
        for row in rows:
            paths = [PurePosixPath(row[name]) for name in row if name == "path" or name.startswith("mask_")]
            found |= {part for path in paths if path.name for part in (str(path), path.name, path.stem)}
            found |= {row.get(name) or "" for name in ("patient", "exam", "sha256")}
    # The fake runs' patients of the predictions are p0, p1 ...: too short to be looked for among drawings.
    return {name for name in found if len(name) > 3}


def bytes_of(out):
    """Every photograph, mask and sample of the study's folder."""
    return {file.read_bytes() for file in out.rglob("*.png")}


def embedded(page):
    return [base64.b64decode(found) for found in re.findall(r"base64,([\w+/=]+)", page.source)]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Trainings with and without a decoder, photographs with masks, and a training that ended with a path."""
    out = tmp_path_factory.mktemp("geheim") / "out"
    failed = {"res18-scratch": {0: "/klinik-nord/Kohorte7.csv: the loss became nan at Bild-Vogel-003"}}
    make_study(out, trained=dict.fromkeys(TRAINED, (0,)), weights=True, masks=True, failed=failed)
    name_the_photographs(out)
    return out


@pytest.fixture(scope="module")
def shown(study):
    return Page(write_paper_report(study, share=False))


@pytest.fixture(scope="module")
def shared(study, shown):
    return Page(write_paper_report(study))


def test_the_page_with_photographs_has_them_and_their_names(shown):
    # Or else that the shared one lacks them would tell nothing.
    pictures = [img for img in shown.all("img") if img["src"].startswith("data:image/jpeg")]
    assert len([img for img in pictures if "outlined" in img["alt"]]) == 1
    assert len([img for img in pictures if img["alt"].startswith("Photograph Bild-Vogel-00")]) == 4
    assert len([img for img in pictures if img["alt"].startswith("Reconstruction")]) == 8
    for name in ("Bild-Sjoberg-", "Bild-Vogel-003", "/klinik-nord/Kohorte7.csv", "/weights/resnet18.safetensors"):
        assert name in shown.source


def test_no_name_occurs_in_the_shared_page(study, shared):
    drawings = b"\n".join(embedded(shared)).decode()
    text = re.sub(r"base64,[\w+/=]+", "", shared.source) + drawings
    assert len(names_of(study)) > 60
    assert [name for name in names_of(study) if name in text] == []


def test_no_photograph_occurs_in_the_shared_page(study, shared):
    kinds = {re.match(r"data:([\w/+-]*)", img["src"])[1] for img in shared.all("img")}
    assert kinds == {"image/svg+xml"}
    drawings = embedded(shared)
    assert drawings
    # A drawing may hold pictures, as a schedule does; none of them is a photograph, or a part of one.
    for file in bytes_of(study):
        assert not any(file[60:120] in drawing or base64.b64encode(file[60:120]) in drawing for drawing in drawings)
    assert not any(b"image/jpeg" in drawing for drawing in drawings)


def test_a_sentence_stands_where_a_photograph_stood_and_says_how_to_get_it(shared):
    places = {"1": "One photograph with its lesions outlined stands", "4": "Test photographs, and what the decoders of"}
    for number, start in places.items():
        section = shared.source[shared.source.index(f'<section id="figure-{number}"') :].partition("</section>")[0]
        assert section.count("--no-share") == 1
        assert start in section
        assert SOURCES["messidor"].get in section
    assert "AECL1, AE-CL combined and AERes18, pretrained, AE then CL made of them, stand here" in shared.text


def test_the_shared_page_is_whole(shared):
    check_stands_alone(shared)
    check_is_built_for_readers(shared)
    assert "Photographs, file names, patients and paths are left out of this page" in shared.text
    assert "mind the data set's licence" not in shared.text
    assert f'manifest = "{LEFT_OUT}"' in shared.text
    assert f"diverged: {LEFT_OUT}: the loss became nan at {LEFT_OUT}" in shared.text
    # What tells nothing of anybody stays: hospitals, counts, settings, networks.
    for kept in ("messidor, Paris", "size = 128", "aecl1-small, 128 px", "aeres18, 128 px"):
        assert kept in shared.text


def test_the_data_set_decides_unless_the_caller_does(tmp_path, capsys):
    out = make_study(tmp_path / "out", trained={"aecl1-baseline": (0,)})
    run, [file] = read_runs([out / "runs" / "aecl1-baseline-seed0"]), out.glob("runs/*/split.csv")
    assert [decide("reproduce", run, share) for share in (None, False, True)] == [True, False, True]
    said = "reproduce: without photographs and names, since messidor may not be passed on; --no-share shows them"
    assert capsys.readouterr().err.strip() == said
    file.write_text(file.read_text().replace(".png,messidor,", ".png,synthetic,"))
    assert [decide("reproduce", run, share) for share in (None, False, True)] == [False, False, True]
    assert "mind the data set's licence" in write_paper_report(out).read_text()
    assert capsys.readouterr().err == ""


def test_a_study_without_runs_is_shared_too(tmp_path):
    out = make_study(tmp_path / "out")
    page = Page(write_paper_report(out, share=True))
    assert "No run has a labelled photograph yet." in page.text
    assert "One photograph" not in page.text


def test_the_name_of_a_network_is_no_secret_though_a_file_of_weights_bears_it(tmp_path):
    run = make_full_run(tmp_path / "resnet18-imagenet", weights="/klinik-nord/gewichte/resnet18.safetensors")
    read = read_runs([run])
    hide = hiding(read, public(read))
    assert hide("resnet18-imagenet is better than resnet18") == "resnet18-imagenet is better than resnet18"
    assert hide("/klinik-nord/gewichte/resnet18.safetensors is gone") == f"{LEFT_OUT} is gone"
