"""The Messidor Extension: unlabelled photographs of Brest, whose published grades never reach training."""

from pathlib import Path

import pytest

from semiretina.data.messidor_facts import FOLDERS
from semiretina.data.sources.messidor import extension
from semiretina.errors import BadData, MissingInput
from semiretina.records import Record
from semiretina.tasks import make_tasks
from splits import make_split

NAMES = ("IM004832.JPG", "IM004833.JPG", "IM000516.jpg", "IM002590.JPG")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    root = tmp_path / "extension"
    root.mkdir()
    for name in NAMES:
        (root / name).write_bytes(name.encode())
    return root


def test_photographs_of_brest_without_grades(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = extension.records(small)
    assert [r.path.name for r in records] == sorted(NAMES)
    assert {(r.dataset, r.site) for r in records} == {("messidor-extension", FOLDERS["Base31"].site)}
    assert all(r.grade is None and r.dme is None and not r.scale and not r.quality for r in records)
    told = capsys.readouterr().err
    assert "messidor_extension: 4 of 690 photographs are here" in told
    assert "fellow eyes (345 pairs in the whole set) may be separated by a split" in told


def test_a_subfolder_and_other_formats_are_read(small: Path) -> None:
    (small / "IMAGES").mkdir()
    for name in NAMES:
        (small / name).rename(small / "IMAGES" / f"{Path(name).stem}.png")
    assert len(extension.records(small)) == 4


def test_the_pairing_file_gives_patients_and_names_what_is_absent(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ("IM004832.JPG;IM004833.JPG", "IM000516.JPG;IM000517.JPG", "20051020_43808_0100_PP.png;x.png")
    (small.parent / "pairs.csv").write_text("\n".join(["left;right", *rows]) + "\n")
    found = {r.path.stem: r for r in extension.records(small, pairs=str(small.parent / "pairs.csv"))}
    assert (found["IM004833"].patient, found["IM004833"].eye) == ("IM004832", "right")
    assert found["IM002590"].patient == ""
    assert "by pairs.csv: 3 of 4 photographs; missing IM000517" in capsys.readouterr().err


def test_given_grades_are_noted_and_kept_out_of_training(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = small.parent / "messidor_data.csv"
    labels.write_text(
        "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable\n"
        "IM004832.jpg,3,1,1\nIM004833.jpg,,,0\nIM000516.jpg,0,0,1\n20051020_43808_0100_PP.png,2,0,1\n"
    )
    bare = extension.records(small)
    records = extension.records(small, labels=str(labels))
    notes = {r.path.stem: r.provenance for r in records}
    assert notes["IM004832"] == "Messidor Extension; kept out of training: adjudicated icdr grade 3, dme 2"
    assert notes["IM004833"].endswith("adjudicated ungradable")
    assert notes["IM002590"] == "Messidor Extension"
    assert [(r.path, r.grade, r.dme, r.scale, r.quality, r.split) for r in records] == [
        (r.path, None, None, "", "", "") for r in bare
    ]
    assert "3 of 4 photographs have published grades" in capsys.readouterr().err
    graded = [
        Record(path=small / f"{n}.tif", dataset="messidor", site="brest", scale="messidor", grade=n % 4)
        for n in range(20)
    ]
    split = make_split([*graded, *records], [""] * 24, make_tasks(["dr"], [*graded, *records]), seed=0)
    assert set(split.roles[20:]) == {"unlabeled"}


def test_in_the_whole_of_messidor2_messidors_own_are_left_out(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("20051020_43808_0100_PP.png", "20060411_57951_0200_PP.png"):
        (small / name).write_bytes(b"")
    assert len(extension.records(small)) == 4
    assert "2 photographs here are Messidor's by their names, and left out" in capsys.readouterr().err
    for name in NAMES:
        (small / name).unlink()
    with pytest.raises(MissingInput, match="2 photographs of Messidor, none of the Extension"):
        extension.records(small)


def test_strange_names_archives_and_empty_folders_are_told(small: Path, tmp_path: Path) -> None:
    (small / "holiday.jpg").write_bytes(b"")
    with pytest.raises(BadData, match=r"1 defect: holiday\.jpg.*take these files out"):
        extension.records(small)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInput, match="no photograph in it or its subfolders; give the folder that holds"):
        extension.records(tmp_path / "empty")
    (tmp_path / "empty" / "extension.zip").write_bytes(b"PK")
    with pytest.raises(MissingInput, match=r"holds archives \(extension\.zip\)"):
        extension.records(tmp_path / "empty")


def test_the_facts_are_the_published_ones() -> None:
    assert extension.SOURCE.facts()["photographs"] == "690 unlabelled of brest"
    assert extension.SOURCE.grades == {}
