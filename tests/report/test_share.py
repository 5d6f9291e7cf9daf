"""A shared report gives away no photograph and no name; a report is shared where a data set may not be passed on."""

import base64
import csv
import json
import re
import tomllib
from pathlib import PurePosixPath

import pytest
from full_run import make_full_run
from pages import Page, check_is_built_for_readers, check_pictures, check_stands_alone

from semiretina.data.sources import SOURCES
from semiretina.report import write_report
from semiretina.report.runs import read_runs
from semiretina.report.share import LEFT_OUT, forbidding, hiding, public, public_config


def files_of(out):
    """The three files as text, with every picture of the page decoded."""
    texts = {name: (out / name).read_text("utf-8") for name in ("report.html", "report.md", "report.json")}
    page = texts["report.html"]
    drawings = [base64.b64decode(found).decode() for found in re.findall(r"svg\+xml;base64,([\w+/=]+)", page)]
    texts["report.html"] = re.sub(r"base64,[\w+/=]+", "", page)
    return {**texts, "drawings": "\n".join(drawings)}


def names_of(runs):
    """Every path, file name, stem, patient, group and hash of a photograph that the runs' own files name."""
    found = {"Kohorte7", "klinik-nord", "aufnahmen", "lager"}
    for run in runs:
        found |= {str(run), str(run.parent)}
        for file in ("split.csv", "predictions-test.csv"):
            for row in csv.DictReader((run / file).open(newline="")):
                path = PurePosixPath(row["path"])
                found |= {
                    str(path),
                    path.name,
                    path.stem,
                    str(path.parent),
                    row["patient"],
                    row["patient"].split("-")[0],
                }
                found |= {row.get("group", ""), row.get("sha256", "")}
    return found - {""}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Two runs of one name in different folders, and one whose answers cannot be paired: its reason names a file."""
    folder = tmp_path_factory.mktemp("geheim")
    runs = [
        make_full_run(folder / "anna" / "combined", stages=("combined",)),
        make_full_run(folder / "berit" / "combined", stages=("reconstruction", "supervised"), strength=2.2),
    ]
    # Its operating point was fixed on the folds of another folder.
    with (runs[0] / "config.toml").open("a") as config:
        config.write('\n[operating]\nfolds = "/klinik-nord/falten-anna"\n')
    result = json.loads((runs[0] / "result.json").read_text())
    result["operating"]["dr"]["from"] = "out-of-fold answers of 5 networks, falten-anna"
    (runs[0] / "result.json").write_text(json.dumps(result))
    file = runs[1] / "predictions-test.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")
    write_report(runs, folder / "out", share=True)
    return runs, folder / "out"


def test_no_name_occurs_in_what_is_shared(shared):
    runs, out = shared
    texts = files_of(out)
    for name in names_of(runs):
        assert [kind for kind, text in texts.items() if name in text] == [], name
    for folder in ("anna", "berit", "geheim"):
        assert not any(re.search(rf"\b{folder}\b", text) for text in texts.values())


def test_no_photograph_occurs_in_what_is_shared(shared):
    page = Page(shared[1] / "report.html")
    assert {image["src"].partition(";")[0] for image in page.all("img")} == {"data:image/svg+xml"}
    assert not [img for img in page.all("img") if img["alt"].startswith(("Photograph", "Reconstruction", "Heat map"))]


def test_what_is_shared_is_still_a_whole_report(shared):
    page = Page(shared[1] / "report.html")
    check_stands_alone(page)
    check_pictures(page, least=8)
    check_is_built_for_readers(page)
    assert "Photographs, file names, patients and paths are left out of this page." in page.text
    assert "combined (2)" in page.text
    assert f"out-of-fold answers of 5 networks, {LEFT_OUT}" in page.text
    assert f'manifest = "{LEFT_OUT}"' in page.text
    for kept in ("size = 128", "Lund", "Topcon", "97.1", "no redistribution"):
        assert kept in page.text
    assert json.loads((shared[1] / "report.json").read_text())["shared"] is True


@pytest.mark.parametrize(
    ("dataset", "share", "shown"), [("messidor", None, 0), ("messidor", False, 1), ("idrid", None, 1)]
)
def test_the_data_set_decides_unless_the_caller_does(tmp_path, capsys, dataset, share, shown):
    run = make_full_run(tmp_path / "run", dataset, decoder=False)
    page = write_report([run], tmp_path / "out", share).read_text()
    assert ("data:image/jpeg" in page) == shown
    assert ("Bild000xyz.jpg" in page) == shown
    assert ("may not be passed on; --no-share shows them" in capsys.readouterr().err) != shown


def test_a_data_set_forbids_under_the_names_that_its_records_carry(tmp_path):
    expected = {
        "messidor-extension": True,
        "messidor2": True,
        "ddr": True,
        "synthetic": False,
        "of-my-own": False,
        "": False,
    }
    run = make_full_run(tmp_path / "run", "DATASET")
    text = (run / "split.csv").read_text()
    for name, forbids in expected.items():
        (run / "split.csv").write_text(text.replace("DATASET", name))
        assert forbidding(read_runs([run])) == [name] * forbids


def test_only_licences_that_say_so_let_photographs_be_passed_on():
    assert {name for name, source in SOURCES.items() if source.redistributable} == {"idrid", "retinamnist", "synthetic"}
    for source in SOURCES.values():
        free = source.licence.startswith(("CC BY", "Apache"))
        assert source.redistributable is free
        assert (source.facts()["photographs may be passed on"] == "yes") is free


def test_a_sentence_loses_names_and_keeps_its_numbers(tmp_path):
    run = make_full_run(tmp_path / "run")
    rows = (run / "split.csv").read_text().replace("Lindqvist-03", "12").replace("Lindqvist-04", "left")
    (run / "split.csv").write_text(rows)
    read = read_runs([run])
    hide = hiding(read, public(read))
    said = "12 of 40, such as /klinik-nord/aufnahmen/Lindqvist-00/Bild001xyz.jpg, left eyes; Bild002xyz"
    assert hide(said) == f"12 of 40, such as {LEFT_OUT}, left eyes; {LEFT_OUT}"


def test_a_configuration_loses_its_paths_alone():
    lines = [
        "seed = 1",
        "[data]",
        'manifest = "/a/b c.csv"',
        'sites = ["x",',
        '"/y/z"]',
        "[model]",
        'weights = "w.safetensors"',
    ]
    expected = {
        "seed": 1,
        "data": {"manifest": LEFT_OUT, "sites": ["x", LEFT_OUT]},
        "model": {"weights": LEFT_OUT},
    }
    assert tomllib.loads(public_config("\n".join(lines))) == expected
