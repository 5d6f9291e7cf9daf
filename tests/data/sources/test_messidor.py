"""Messidor: its published layout in miniature, with true column names, and the errata planted."""

import csv
import shutil
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import workbooks
from semiretina.data import messidor_facts as facts
from semiretina.data.sources import messidor
from semiretina.data.sources.messidor import published
from semiretina.errors import BadData, MissingInput
from semiretina.files import sha256_of
from semiretina.records import Record, read_manifest, write_manifest
from semiretina.tasks import make_tasks
from splits import make_split

HEADER = ("Image name", "Ophthalmologic department", "Retinopathy grade", "Risk of macular edema ")
DEPARTMENTS = {"1": "Service Ophtalmologie Lariboisière", "2": "CHU de St Etienne", "3": "LaTIM - CHU de BREST"}
CODES = {"1": "0100", "2": "0200", "3": "0400"}
# The errata, in the words of the page: name, distributed grade, right grade.
BASE11 = {"20051020_63045_0100_PP": (3, 0), "20051020_64007_0100_PP": (1, 3), "20051020_63936_0100_PP": (3, 1)}
BASE13 = {"20060523_48477_0100_PP": (2, 3)}
DUPLICATES = """54744/55582, 40508/41076, 41238/48287, 41260/48586, 54530/55457, 20051205_33025/55626, 55607/54783,
41034/48575, 20051205_35099/20051205_32966, 54555/55484, 20051205_35110/20051205_32981, 54611/55562, 55498/54547"""


def full(short: str) -> str:
    return f"{short if '_' in short else f'20051202_{short}'}_0400_PP"


PAIRS = [
    (full(left), full(right)) for left, right in (pair.split("/") for pair in DUPLICATES.replace("\n", " ").split(", "))
]


def noise(seed: int, size: tuple[int, int] = (24, 16)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(40, 256, (*size[::-1], 3), np.uint8))


def picture(name: str) -> int:
    """The seed of a photograph's picture: published duplicates share one."""
    return zlib.crc32(dict(PAIRS).get(name, name).encode())


def write_sheet(file: Path, rows: Sequence[Sequence[object]], header: Sequence[str] = HEADER) -> None:
    with file.open("w", newline="", encoding="utf-8") as text:
        csv.writer(text).writerows([header, *rows])


@dataclass
class Base:
    """One folder: name -> grade and edema, and how it is spelled on the disk."""

    folder: str
    grades: Mapping[str, tuple[object, object]]
    sheet: str = "Annotation_{folder}.csv"
    inside: bool = False
    suffix: str = ".tif"
    written: str = "{name}.tif"
    spelled: str = ""
    extra: Sequence[Sequence[object]] = field(default_factory=list)

    def write(self, root: Path) -> Path:
        place = root / (self.spelled or self.folder)
        place.mkdir(parents=True)
        department = DEPARTMENTS[self.folder[4]]
        for name in self.grades:
            noise(picture(name)).save(place / f"{name}{self.suffix}", format="PNG" if "png" in self.suffix else "TIFF")
        rows = [[self.written.format(name=n), department, *grades] for n, grades in self.grades.items()]
        write_sheet((place if self.inside else root) / self.sheet.format(folder=self.folder), [*rows, *self.extra])
        return place


def plain(folder: str, count: int = 3) -> dict[str, tuple[object, object]]:
    return {f"20060411_{n:05d}_{CODES[folder[4]]}_PP": (n % 4, n % 3) for n in range(count)}


def bases() -> dict[str, Base]:
    """All twelve folders of three photographs, with the errata's photographs on top, in both spellings."""
    found = {f"Base{h}{n}": Base(f"Base{h}{n}", {}) for h in "123" for n in "1234"}
    for number, base in enumerate(found.values()):
        names = plain(base.folder)
        base.grades = {name.replace("20060411", f"200604{number + 10}"): grades for name, grades in names.items()}
        base.sheet = ("Annotation_{folder}.csv", "Annotation {folder}.csv")[number % 2]
        base.inside = number % 3 == 0
    for folder, errata in (("Base11", BASE11), ("Base13", BASE13)):
        found[folder].grades = {**found[folder].grades, **{name: (old, 0) for name, (old, _) in errata.items()}}
    pairs = {name: (1, 0) for pair in PAIRS for name in pair}
    pairs |= {full("54611"): (1, 1), full("20051205_33025"): (3, 0), full("55626"): (2, 0)}
    found["Base33"].grades = {**found["Base33"].grades, **pairs}
    return found


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for base in bases().values():
        base.write(tmp_path / "messidor")
    return tmp_path / "messidor"


def by_name(records: Sequence[Record]) -> dict[str, Record]:
    return {record.path.stem: record for record in records}


def test_the_facts_are_the_published_ones() -> None:
    assert dict(facts.DUPLICATES) == dict(PAIRS)
    assert facts.COLUMNS == HEADER
    assert {c.name: (c.old, c.new) for c in facts.CORRECTIONS} == {**BASE11, **BASE13}
    assert len(set(facts.DUPLICATES) | set(facts.DUPLICATES.values())) == 26
    assert sum(facts.GRADES.values()) == 1200 == 3 * 400
    assert facts.KEPT == 1200 - 13
    assert facts.MESSIDOR2_PHOTOGRAPHS == 2 * (345 + 529) == 690 + 1058
    assert messidor.SOURCE.facts()["photographs"] == (
        "400 of lariboisiere, 400 of st-etienne, 400 of brest, "
        "1187 of all 1200 after the errata (the grades are those before)"
    )


def test_twelve_folders_give_records_with_hospital_grade_and_edema(small: Path) -> None:
    records = messidor.records(small)
    assert len(records) == 12 * 3 + 3 + 1 + 13
    assert Counter(r.site for r in records) == {"lariboisiere": 16, "st-etienne": 12, "brest": 25}
    assert {(r.dataset, r.scale, r.camera) for r in records} == {("messidor", "messidor", "topcon-trc-nw6")}
    one = by_name(records)["20060410_00002_0100_PP"]
    assert (one.grade, one.dme, one.site, one.provenance) == (2, 2, "lariboisiere", "Messidor Base11")
    assert one.path == small / "Base11" / "20060410_00002_0100_PP.tif"
    assert not any(r.patient or r.exam or r.eye or r.split for r in records)


def test_the_errata_are_applied_with_provenance(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = by_name(messidor.records(small))
    for name, (old, new) in {**BASE11, **BASE13}.items():
        assert found[name].grade == new
        assert f"; grade {old} -> {new} by the errata" in found[name].provenance
    for left, right in PAIRS:
        assert left not in found
        assert found[right].provenance == f"Messidor Base33; its duplicate {left} dropped"
        assert found[right].exam == ""
    assert (found[full("55562")].dme, found[full("55626")].grade) == (0, 2)  # of the kept names
    told = capsys.readouterr().err
    assert "grades corrected by the errata: 20051020_63045_0100_PP 3 -> 0" in told
    assert "13 duplicates by the errata, the same by their pictures, dropped" in told
    assert "20051202_54611_0400_PP (grade 1, dme 1), 20051202_55562_0400_PP (grade 1, dme 0)" in told
    assert "20051205_33025_0400_PP (grade 3, dme 0), 20051202_55626_0400_PP (grade 2, dme 0)" in told
    assert told.count("with different labels") == 2
    assert "fellow eyes (529 pairs in the whole set) may be separated" in told
    assert "Base11 6, Base12 3, Base13 4" in told


def test_without_the_errata_all_stay_and_what_is_ignored_is_told(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = messidor.records(small, errata=False)
    found = by_name(records)
    assert len(records) == 12 * 3 + 3 + 1 + 26
    for name, (old, new) in {**BASE11, **BASE13}.items():
        assert found[name].grade == old
        assert found[name].provenance.endswith(f"; grade {old} -> {new} by the errata, ignored")
    exams = [{found[name].exam for name in pair} for pair in PAIRS]
    assert all(len(exam) == 1 and exam != {""} for exam in exams)
    assert len(set.union(*exams)) == 13
    told = capsys.readouterr().err
    assert "grades left as distributed (errata=false), against the errata: 20051020_63045" in told
    assert "13 duplicates by the errata, the same by their pictures, kept" in told
    assert "not all in the errata" not in told


def test_a_split_never_separates_a_published_pair(small: Path) -> None:
    records = messidor.records(small, errata=False)
    hashes = [f"{row}" for row in range(len(records))]  # as if the files differed
    split = make_split(records, hashes, make_tasks(["dr"], records), seed=0)
    role = dict(zip((r.path.stem for r in records), split.roles, strict=True))
    assert all(role[left] == role[right] for left, right in PAIRS)
    assert set(split.roles) == {"train", "val", "test"}


def test_a_sheet_that_is_already_corrected_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Base("Base11", {name: (new, 0) for name, (_, new) in BASE11.items()}).write(tmp_path)
    found = by_name(messidor.records(tmp_path))
    assert {name: found[name].grade for name in found} == {name: new for name, (_, new) in BASE11.items()}
    assert all("already" in record.provenance for record in found.values())
    told = capsys.readouterr().err
    assert "grades that the sheets have as the errata correct them: 20051020_63045_0100_PP 0" in told
    assert "corrected by the errata:" not in told


def test_a_grade_that_is_neither_the_old_nor_the_new_is_an_error(tmp_path: Path) -> None:
    Base("Base13", {"20060523_48477_0100_PP": (0, 0)}).write(tmp_path)
    with pytest.raises(BadData, match=r"Base13, 20060523_48477_0100_PP.*'0' is neither the distributed 2 nor .* 3"):
        messidor.records(tmp_path)
    assert messidor.records(tmp_path, errata=False)[0].grade == 0


def test_the_errata_go_by_folder_and_name(tmp_path: Path) -> None:
    Base("Base12", {"20060523_48477_0100_PP": (2, 0)}).write(tmp_path)
    assert messidor.records(tmp_path)[0].grade == 2


def test_published_duplicates_with_other_pictures_both_stay(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left, right = PAIRS[0]
    noise(1).save(small / "Base33" / f"{left}.tif")
    found = by_name(messidor.records(small))
    assert len(found) == 53 + 1
    assert f"a duplicate of {right} by the errata, but the pictures differ" in found[left].provenance
    assert f"a duplicate of {left} by the errata" in found[right].provenance
    told = capsys.readouterr().err
    assert f"{left} and {right} are one picture by the errata, but their pictures differ; both stay" in told
    assert "12 duplicates by the errata" in told


def test_a_duplicate_of_another_encoding_is_recognised(tmp_path: Path) -> None:
    left, right = PAIRS[0]
    base = Base("Base33", {left: (1, 0), right: (1, 0)}).write(tmp_path)
    image = noise(3, (240, 160)).resize((480, 320), Image.Resampling.BILINEAR)
    image.save(base / f"{right}.tif")
    (base / f"{left}.tif").unlink()
    image.resize((720, 480), Image.Resampling.BILINEAR).save(base / f"{left}.png")
    assert [record.path.stem for record in messidor.records(tmp_path)] == [right]


def test_a_duplicate_stays_when_what_it_repeats_is_not_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left, right = PAIRS[1]
    Base("Base33", {left: (1, 0)}).write(tmp_path)
    assert [record.path.stem for record in messidor.records(tmp_path)] == [left]
    assert f"{left} stays, since what it duplicates by the errata, {right}, is not here" in capsys.readouterr().err


def test_further_same_pictures_are_named_and_tied(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    third, again = "20060411_00000_0100_PP", "20060421_00001_0400_PP"
    shutil.copy(small / "Base33" / f"{PAIRS[4][0]}.tif", small / "Base34" / f"{again}.tif")
    shutil.copy(small / "Base11" / "20060410_00001_0100_PP.tif", small / "Base12" / f"{third}.tif")
    found = by_name(messidor.records(small))
    assert PAIRS[4][0] not in found
    assert found[PAIRS[4][1]].exam == found[again].exam != ""
    assert found[third].exam == found["20060410_00001_0100_PP"].exam == "same-picture-20060410_00001_0100_PP"
    assert sum(bool(record.exam) for record in found.values()) == 4
    told = capsys.readouterr().err
    named = "20060410_00001_0100_PP (grade 1, dme 1), 20060411_00000_0100_PP (grade 0, dme 0)"
    assert f"the same picture, not all in the errata, never separated by a split: {named}" in told
    assert told.count("not all in the errata") == 2


def write_pairs(file: Path, *rows: tuple[str, str], header: str = "left;right") -> None:
    file.write_bytes(("\r\n".join([header, *(";".join(row) for row in rows)]) + "\r\n").encode())


def test_the_pairing_file_gives_patients_and_eyes(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("20060410_00000_0100_PP.png", "20060410_00001_0100_PP.png"), ("IM000516.JPG", "IM000517.JPG")]
    write_pairs(small.parent / "pairs.csv", *rows, ("20060411_00002_0100_PP.png", "20991231_00000_0100_PP.png"))
    found = by_name(messidor.records(small, pairs=str(small.parent / "pairs.csv")))
    left, right = found["20060410_00000_0100_PP"], found["20060410_00001_0100_PP"]
    assert (left.patient, left.eye) == ("20060410_00000_0100_PP", "left")
    assert (right.patient, right.eye) == ("20060410_00000_0100_PP", "right")
    assert found["20060411_00002_0100_PP"].patient == "20060411_00002_0100_PP"
    assert sum(bool(record.patient) for record in found.values()) == 3
    told = capsys.readouterr().err
    assert "pairs.csv knows 3 of 66 photographs: 1 examinations of both eyes, 1 of one" in told
    assert "the patients of 63 photographs are unknown" in told
    assert "fellow eyes" not in told


def test_a_pairing_file_in_the_folder_is_found(small: Path) -> None:
    write_pairs(small / "Messidor-2.CSV", ("20060410_00000_0100_PP.png", "20060410_00001_0100_PP.png"))
    assert sum(bool(record.patient) for record in messidor.records(small)) == 2


def test_the_patient_of_a_dropped_duplicate_is_not_lost(small: Path) -> None:
    fellows = [f"200604{number}_00000_0400_PP" for number in (18, 19, 20)]  # of Base31, Base32 and Base33
    (one, kept_one), (two, kept_two) = PAIRS[:2]
    rows = [
        (f"{fellows[0]}.png", f"{one}.png"),
        (f"{two}.png", f"{fellows[1]}.png"),
        (f"{kept_two}.png", f"{fellows[2]}.png"),
    ]
    write_pairs(small / "messidor-2.csv", *rows)
    found = by_name(messidor.records(small))
    assert (found[kept_one].patient, found[kept_one].eye) == (found[fellows[0]].patient, "right")
    assert found[kept_two].patient == found[fellows[1]].patient == found[fellows[2]].patient == kept_two


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([("a.png", "b.png")], "left;right", "names none of these 66 photographs"),
        ([("a.png", "b.png"), ("c.png", "a.png")], "left;right", "row 3, column right: a.png stands in row 2 too"),
        ([("a.png", "")], "left;right", "row 2, column right: empty"),
        ([("a.png", "b.png")], "one;two", "no column left, right among one, two"),
    ],
)
def test_a_wrong_pairing_file_is_told(small: Path, rows: list[tuple[str, str]], header: str, message: str) -> None:
    write_pairs(small / "messidor-2.csv", *rows, header=header)
    with pytest.raises(BadData, match=message):
        messidor.records(small)


def test_a_pairing_file_that_is_not_there_is_told(small: Path) -> None:
    with pytest.raises(MissingInput, match=r"nowhere\.csv: no such file"):
        messidor.records(small, pairs="nowhere.csv")


@pytest.mark.parametrize(
    "changes",
    [
        {"sheet": "Annotation {folder}.csv"},
        {"sheet": "annotation_{folder}.CSV", "inside": True},
        {"sheet": "ANNOTATION BASE22.CSV", "spelled": "BASE22"},
        {"spelled": "base22", "suffix": ".TIF"},
        {"suffix": ".png"},
        {"suffix": ".PNG", "written": "{name}.PNG"},
        {"suffix": ".tiff"},
        {"written": "{name}"},
        {"written": "Base22\\{name}.tif"},
        {"written": "Base22/{name}.TIF "},
        {"written": "C:\\data/Base22\\{name}.tif"},
    ],
)
def test_spellings_that_are_around_are_read(tmp_path: Path, changes: dict[str, object]) -> None:
    Base("Base22", plain("Base22"), **changes).write(tmp_path)  # type: ignore[arg-type]
    records = messidor.records(tmp_path)
    assert [(r.path.stem, r.grade, r.dme) for r in records] == [(f"20060411_0000{n}_0200_PP", n, n) for n in range(3)]
    assert all(record.path.is_file() for record in records)


def test_a_folder_unpacked_into_itself_is_read(tmp_path: Path) -> None:
    place = Base("Base22", plain("Base22"), inside=True).write(tmp_path)
    place.rename(tmp_path / "inner")
    place.mkdir()
    (tmp_path / "inner").rename(place / "Base22")
    (place / "Base22" / "._20060411_00000_0200_PP.tif").write_bytes(b"left by a Mac")
    assert len(messidor.records(tmp_path)) == 3


def test_cells_may_be_text_and_numbers_and_rows_empty(tmp_path: Path) -> None:
    extra = [["", "", "", ""], ["20060411_00008_0200_PP.tif", "", "2", " 1 "]]
    place = Base("Base22", plain("Base22"), extra=extra).write(tmp_path)
    noise(8).save(place / "20060411_00008_0200_PP.tif")
    last = messidor.records(tmp_path)[-1]
    assert (last.path.stem, last.grade, last.dme) == ("20060411_00008_0200_PP", 2, 1)


def test_a_part_of_the_folders_is_used_and_the_rest_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Base("Base11", plain("Base11")).write(tmp_path)
    Base("Base34", plain("Base34")).write(tmp_path)
    assert len(messidor.records(tmp_path)) == 6
    told = capsys.readouterr().err
    assert "not here: Base12, Base13, Base14, Base21" in told
    assert "(10 of 12 folders, 1000 photographs)" in told
    assert "other than the 100 rows that are published: Base11 3, Base34 3" in told


def test_the_manifest_comes_back_as_written(small: Path, tmp_path: Path) -> None:
    records = messidor.records(small)
    write_manifest(records, tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv") == records


def test_absent_images_are_named_with_counts(small: Path) -> None:
    for name in ("20060416_00000_0200_PP", "20060416_00002_0200_PP"):
        (small / "Base23" / f"{name}.tif").unlink()
    (small / "Base12" / "20060411_00001_0100_PP.tif").unlink()
    with pytest.raises(MissingInput) as error:
        messidor.records(small)
    assert "Base12: 2 of 3 images; missing 20060411_00001_0100_PP.tif; " in str(error.value)
    assert "Base23: 1 of 3 images; missing 20060416_00000_0200_PP.tif, 20060416_00002_0200_PP.tif" in str(error.value)
    assert "\n" not in str(error.value)


def test_images_without_a_row_are_named(small: Path) -> None:
    noise(1).save(small / "Base23" / "20990101_00000_0200_PP.tif")
    with pytest.raises(BadData, match=r"Base23: 20990101_00000_0200_PP\.tif has no row in 'Annotation_Base23\.csv'"):
        messidor.records(small)


def test_a_photograph_in_two_formats_is_told(small: Path) -> None:
    noise(1).save(small / "Base23" / "20060416_00000_0200_PP.png")
    with pytest.raises(BadData, match=r"Base23: 20060416_00000_0200_PP\.png and .*\.tif are one photograph twice"):
        messidor.records(small)


def test_missing_sheets_and_folders_are_told_at_once(small: Path) -> None:
    (small / "Annotation Base14.csv").unlink(missing_ok=True)
    (small / "Base14" / "Annotation Base14.csv").unlink(missing_ok=True)
    shutil.rmtree(small / "Base12")
    shutil.rmtree(small / "Base32")
    (small / "Base32.zip").write_bytes(b"PK")
    with pytest.raises(MissingInput) as error:
        messidor.records(small)
    assert "Base14: no sheet 'Annotation_Base14.xls' or 'Annotation Base14.xls'" in str(error.value)
    assert "Base12: no such folder, though its sheet 'Annotation Base12.csv' is here" in str(error.value)
    assert "Base32: 'Base32.zip' is not unpacked" in str(error.value)


def test_archives_that_nobody_unpacked_are_told(tmp_path: Path, small: Path) -> None:
    with pytest.raises(MissingInput, match=r"is one of Messidor's twelve folders; give the folder that holds them"):
        messidor.records(small / "Base11")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInput, match="none of the folders Base11 to Base34 is here"):
        messidor.records(tmp_path / "empty")
    (tmp_path / "packed").mkdir()
    for folder in ("Base11", "Base12"):
        (tmp_path / "packed" / f"{folder}.zip").write_bytes(b"PK")
    with pytest.raises(MissingInput, match=r"holds archives \(Base11\.zip, Base12\.zip\) .* unpack them here"):
        messidor.records(tmp_path / "packed")
    shutil.rmtree(small / "Base22")
    (small / "Base22").mkdir()
    (small / "Base22" / "Base22.ZIP").write_bytes(b"PK")
    with pytest.raises(MissingInput, match=r"Base22: holds archives \(Base22\.ZIP\) and no photographs"):
        messidor.records(small)
    with pytest.raises(MissingInput, match="no such folder"):
        messidor.records(tmp_path / "nowhere")


def test_wrong_cells_are_all_named_with_file_row_and_column(tmp_path: Path) -> None:
    grades: dict[str, tuple[object, object]] = {
        **{"20060411_00000_0100_PP": (4, 0), "20060411_00001_0100_PP": (1.5, 3), "20060411_00002_0100_PP": ("", "x")},
        "20060411_00003_0100_PP": (0, 0),
    }
    extra = [["20060411_00003_0100_pp.TIF", "", 0, 0], ["", "", 1, 0]]
    Base("Base12", grades, extra=extra).write(tmp_path)
    Base("Base14", {"20060413_00000_0100_PP": (-1, 0)}).write(tmp_path)
    with pytest.raises(BadData) as error:
        messidor.records(tmp_path)
    text = str(error.value)
    assert "8 defects" in text
    for told in (
        "Annotation_Base12.csv, row 2, column Retinopathy grade: '4' is not a whole number from 0 to 3",
        "row 3, column Retinopathy grade: '1.5' is not",
        "row 3, column Risk of macular edema: '3' is not a whole number from 0 to 2",
        "row 4, column Retinopathy grade: '' is not",
        "row 4, column Risk of macular edema: 'x' is not",
        "row 6, column Image name: 20060411_00003_0100_pp.TIF stands in row 5 too",
        "row 7, column Image name: empty",
        "Annotation_Base14.csv, row 2, column Retinopathy grade: '-1' is not",
    ):
        assert told in text
    assert "has no row" not in text


def test_a_photograph_in_two_sheets_is_told(tmp_path: Path) -> None:
    for folder in ("Base11", "Base12"):
        Base(folder, plain(folder, 1)).write(tmp_path)
    with pytest.raises(BadData, match=r"Base12: 20060411_00000_0100_PP\.tif stands in Base11 too"):
        messidor.records(tmp_path)


def test_a_sheet_without_a_column_or_a_row_is_told(tmp_path: Path) -> None:
    Base("Base11", plain("Base11")).write(tmp_path)
    write_sheet(tmp_path / "Annotation_Base11.csv", [["a.tif", 0]], ("Image name", "grade"))
    told = "no column Retinopathy grade, Risk of macular edema among Image name, grade"
    with pytest.raises(BadData, match=rf"Annotation_Base11\.csv: {told}"):
        messidor.records(tmp_path)
    write_sheet(tmp_path / "Annotation_Base11.csv", [])
    with pytest.raises(BadData, match="no row under its header"):
        messidor.records(tmp_path)


def test_a_sheet_in_excels_format_is_read_whatever_its_spelling(tmp_path: Path) -> None:
    graded = {"20051020_63045_0100_PP": (3, 0), "20051020_43808_0100_PP": (2, 1)}
    Base("Base11", graded).write(tmp_path)
    expected = messidor.records(tmp_path)
    (tmp_path / "Annotation_Base11.csv").rename(tmp_path / "kept.csv")
    rows = [(f"{name}.TIF", "", *values) for name, values in graded.items()]
    workbooks.write_xlsx(tmp_path / "annotation base11.XLSX", [HEADER, *rows])
    assert messidor.records(tmp_path) == expected
    # The sheet as it is published; two of its rows are planted to be wrong.
    (tmp_path / "annotation base11.XLSX").unlink()
    (tmp_path / "Annotation_Base11.xls").write_bytes(workbooks.XLS)
    with pytest.raises(BadData) as error:
        messidor.records(tmp_path)
    for told in (
        "4 defects",
        "Annotation_Base11.xls, row 4, column Retinopathy grade: '2.5' is not a whole number from 0 to 3",
        "row 4, column Risk of macular edema: 'True' is not a whole number from 0 to 2",
    ):
        assert told in str(error.value)


@pytest.mark.parametrize("content", [b"<html><body>Please log in</body></html>", b"PK\x03\x04 an xlsx", b""])
def test_what_is_no_sheet_is_told_without_its_consequences(tmp_path: Path, content: bytes) -> None:
    Base("Base11", plain("Base11")).write(tmp_path)
    (tmp_path / "Annotation_Base11.csv").write_bytes(content)
    with pytest.raises(BadData, match=r"1 defect: Annotation_Base11\.csv: .+; .*download it again") as error:
        messidor.records(tmp_path)
    assert "has no row" not in str(error.value)


def test_two_sheets_for_a_folder_must_agree(small: Path) -> None:
    shutil.copy(small / "Annotation Base12.csv", small / "Base12" / "Annotation_Base12.csv")
    assert len(messidor.records(small)) == 53
    write_sheet(small / "Base12" / "Annotation_Base12.csv", [["20060411_00000_0100_PP.tif", "", 3, 0]])
    with pytest.raises(BadData, match=r"Base12: its sheets .*Annotation Base12\.csv' and .* differ; keep one"):
        messidor.records(small)


def test_a_folder_in_two_spellings_is_told(small: Path) -> None:
    if (small / "BASE12").exists():
        pytest.skip("this file system does not tell upper from lower case")
    (small / "BASE12").mkdir()
    with pytest.raises(BadData, match="BASE12 and Base12: one folder twice"):
        messidor.records(small)


def test_photographs_that_cannot_be_read_are_named(small: Path) -> None:
    (small / "Base21" / "20060414_00000_0200_PP.tif").write_bytes(b"not a picture")
    with pytest.raises(BadData, match=r"20060414_00000_0200_PP\.tif.*fetch these files again"):
        messidor.records(small)


def test_names_match_without_folder_case_and_extension() -> None:
    assert published.key("C:\\data/Base11\\20051020_44400_0100_pp.TIFF ") == "20051020_44400_0100_PP"
    assert published.key("IM000516.JPG") == "IM000516"
    assert published.key("20051020_44400_0100_PP") == "20051020_44400_0100_PP"
    assert published.key("v1.2.png") == "V1.2"


@pytest.mark.slow
def test_the_whole_set_is_1187_photographs_with_the_published_grades(tmp_path: Path) -> None:
    planted = {**BASE11, **BASE13}
    names = {base.folder: list(base.grades) for base in bases().values()}
    for folder, some in names.items():
        some += [f"20060501_{n:05d}_{CODES[folder[4]]}_PP" for n in range(100 - len(some))]
    names = {f: [n.replace("20060501", f"200605{10 + i}") for n in some] for i, (f, some) in enumerate(names.items())}
    left = Counter({0: 546, 1: 153, 2: 247, 3: 254}) - Counter(old for old, _ in planted.values())
    rest = list(left.elements())
    for folder, some in names.items():
        Base(folder, {n: (planted[n][0] if n in planted else rest.pop(), 0) for n in some}).write(tmp_path)
    distributed = messidor.records(tmp_path, errata=False)
    assert Counter(record.grade for record in distributed) == {0: 546, 1: 153, 2: 247, 3: 254}
    kept = messidor.records(tmp_path)
    assert Counter(record.site for record in kept) == {"lariboisiere": 400, "st-etienne": 400, "brest": 387}
    dropped = [r for r in distributed if r.path.stem in dict(PAIRS)]
    expected = Counter({0: 547, 1: 153, 2: 246, 3: 254}) - Counter(record.grade for record in dropped)
    assert Counter(record.grade for record in kept) == expected
    assert len({sha256_of(record.path) for record in kept}) == len(kept) == 1187
