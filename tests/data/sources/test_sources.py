"""The table of sources, imports by name, and manifests joined."""

import inspect
from pathlib import Path

import pytest

from semiretina.data.sources import SOURCES, import_source, merge
from semiretina.errors import BadConfig, BadData
from semiretina.records import read_manifest


def photographs(folder: Path, *names: str) -> None:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")


def test_every_source_reads_a_folder_with_options_that_have_defaults() -> None:
    for name, source in SOURCES.items():
        root, *options = inspect.signature(source.read).parameters.values()
        assert root.name == "root", name
        assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in options), name
        facts = source.facts()
        assert facts["licence"], name
        assert facts["get it"], name


def test_idrids_facts_are_the_published_ones() -> None:
    facts = SOURCES["idrid"].facts()
    assert facts["grading scale"] == "icdr, 0 to 4"
    assert facts["grades"] == "0: 168, 1: 25, 2: 168, 3: 93, 4: 62"
    assert sum(SOURCES["idrid"].grades.values()) == 413 + 103
    assert facts["licence"] == "CC BY 4.0"
    assert sum(SOURCES["idrid"].counts.values()) == 516 + 81
    assert facts["photographs"].startswith("413 graded (training part), 103 graded (testing part), 54 outlined")


def test_import_by_name_writes_a_manifest(tmp_path: Path) -> None:
    photographs(tmp_path / "mine", "a.jpg", "b.jpg")
    (tmp_path / "mine" / "labels.csv").write_text("image,level,patient\na,1,007\nb,,NA\n")
    count = import_source("table", tmp_path / "mine" / "labels.csv", tmp_path / "m.csv", ["scale=icdr"])
    assert count == 2
    assert [(r.grade, r.patient) for r in read_manifest(tmp_path / "m.csv")] == [(1, "007"), (None, "NA")]


def test_a_relative_root_makes_a_manifest_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    options = ["photographs=2", "unlabeled=0", "size=32"]
    assert import_source("synthetic", Path("drawn"), Path("../there/m.csv"), options) == 2
    assert all(record.path.is_file() for record in read_manifest(tmp_path / "there" / "m.csv"))


def test_unknown_sources_and_options_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="data import: unknown name 'idird'; did you mean 'idrid'"):
        import_source("idird", tmp_path, tmp_path / "m.csv")
    with pytest.raises(BadConfig, match="unknown parameter 'officialsplit'; did you mean 'official_split'"):
        import_source("idrid", tmp_path, tmp_path / "m.csv", ["officialsplit=true"])
    assert not (tmp_path / "m.csv").exists()


def test_manifests_are_joined_in_order_and_relative_to_the_new_one(tmp_path: Path) -> None:
    photographs(tmp_path / "one", "a.jpg")
    photographs(tmp_path / "two", "b.jpg")
    for name in ("one", "two"):
        import_source("table", tmp_path / name, tmp_path / name / "m.csv")
    assert merge([tmp_path / "two" / "m.csv", tmp_path / "one" / "m.csv"], tmp_path / "both" / "m.csv") == 2
    joined = read_manifest(tmp_path / "both" / "m.csv")
    assert [r.path for r in joined] == [tmp_path / "two" / "b.jpg", tmp_path / "one" / "a.jpg"]
    assert [r.dataset for r in joined] == ["two", "one"]


def test_a_photograph_in_two_manifests_is_told(tmp_path: Path) -> None:
    photographs(tmp_path / "one", "a.jpg")
    for name in ("m.csv", "n.csv"):
        import_source("table", tmp_path / "one", tmp_path / name)
    with pytest.raises(BadData, match=r"a\.jpg stands in .*m\.csv too"):
        merge([tmp_path / "m.csv", tmp_path / "n.csv"], tmp_path / "both.csv")
    assert not (tmp_path / "both.csv").exists()
