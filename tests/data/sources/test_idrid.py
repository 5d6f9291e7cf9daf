"""IDRiD: the published layout in miniature, and the real photographs where they are."""

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from semiretina.data.same_pictures import Pair
from semiretina.data.sources import idrid
from semiretina.data.sources.idrid.published import MASK_FOLDERS, Part
from semiretina.errors import BadData, MissingInput
from semiretina.records import LESIONS, Record, read_manifest, write_manifest
from semiretina.tasks import make_tasks
from splits import make_split

DATA = Path(os.environ.get("SEMIRETINA_DATA", Path(__file__).parents[4] / "shared" / "data"))
REAL = DATA / "idrid"
GRADED = "B. Disease Grading/1. Original Images/a. Training Set"
SHEET = "B. Disease Grading/2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv"
OUTLINED = "A. Segmentation/1. Original Images/a. Training Set"
MASKS = "A. Segmentation/2. All Segmentation Groundtruths/a. Training Set"
HEADER = "Image name,Retinopathy grade,Risk of macular edema ,,,,,,,,,\r\n"
GRADES = {"001": "1,0", "002": "2,0", "003": "0,0", "004": "0,0", "005": "4,2", "006": "3,1"}
SIZE = (268, 178)


def eye(number: int, *, shift: tuple[int, int] = (0, 0), turn: float = 0, light: float = 1.0) -> Image.Image:
    """A made-up eye: dark random lines on orange in a round field; `shift` and `turn` photograph it again."""
    random = np.random.default_rng(number)
    lines = -np.abs(ndimage.gaussian_filter(random.standard_normal((278, 368)), 5))
    lines = np.exp(lines / lines.std() * 2)  # ridges where the noise crosses zero
    lines = ndimage.rotate(lines, turn, reshape=False, order=1)[50 + shift[0] :, 50 + shift[1] :][: SIZE[1], : SIZE[0]]
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    inside = (y - SIZE[1] / 2) ** 2 + (x - SIZE[0] / 2) ** 2 < 100**2
    color = np.array([220, 120, 50]) * light
    pixels = (color * (1 - 0.6 * lines[..., None])) * inside[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def save_mask(file: Path, *, filled: bool = True, mode: str = "P", size: tuple[int, int] = SIZE) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[5, 7] = filled
    mask = Image.fromarray(pixels, "P")
    mask.putpalette([0, 0, 0, 255, 0, 0] + [0] * 762)
    mask.convert(mode).save(file)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The training parts: six graded photographs, three outlined ones.

    001 and 002 are one file with two grades; 003 and 004 are one eye; outlined 53 is 005 at another JPEG quality;
    outlined 54 is another photograph of 006's eye; outlined 55 is no graded eye.
    """
    training = Part("training", "a. Training Set", Path(SHEET).name, 6, 3, {"MA": 3, "HE": 2, "EX": 3, "SE": 1})
    testing = Part(
        *("testing", "b. Testing Set", "b. IDRiD_Disease Grading_Testing Labels.csv"),
        *(1, 1, {"MA": 1, "HE": 1, "EX": 1, "SE": 0}),
    )
    monkeypatch.setattr(idrid, "PARTS", (training, testing))
    graded = {"001": eye(1), "002": eye(1), "003": eye(3), "005": eye(5), "006": eye(6)}
    graded["004"] = eye(3, shift=(6, -9), turn=2, light=0.8)
    outlined = {"53": eye(5), "54": eye(6, shift=(-7, 4), turn=-2, light=1.1), "55": eye(7)}
    for folder, images, quality in ((GRADED, graded, 95), (OUTLINED, outlined, 80)):
        (tmp_path / folder).mkdir(parents=True)
        for name, image in images.items():
            image.save(tmp_path / folder / f"IDRiD_{name}.jpg", quality=quality)
    (tmp_path / SHEET).parent.mkdir(parents=True)
    write_sheet(tmp_path, GRADES)
    for lesion, names in {"MA": "53 54 55", "HE": "53 54", "EX": "53 54 55", "SE": "54"}.items():
        for name in names.split():
            mode = "RGBA" if (lesion, name) == ("EX", "54") else "P"
            save_mask(tmp_path / MASKS / MASK_FOLDERS[lesion] / f"IDRiD_{name}_{lesion}.tif", mode=mode)
    save_mask(tmp_path / MASKS / "5. Optic Disc" / "IDRiD_53_OD.tif")
    return tmp_path


def write_sheet(root: Path, grades: dict[str, str], header: str = HEADER) -> None:
    rows = "".join(f"IDRiD_{name},{cells},,,,,,,,,\r\n" for name, cells in grades.items())
    (root / SHEET).write_bytes((header + rows + ",,,,,,,,,,,\r\n").encode())


def by_name(records: list[Record]) -> dict[str, Record]:
    return {record.path.stem.removeprefix("IDRiD_"): record for record in records}


def lesions(record: Record) -> list[int | None]:
    return [getattr(record, lesion) for lesion in LESIONS]


def masks(record: Record) -> list[str]:
    files = [getattr(record, f"mask_{lesion}") for lesion in LESIONS]
    return [file.name if file else "" for file in files]


def test_grades_lesions_and_masks_meet_on_one_record(small: Path) -> None:
    found = idrid.records(small)
    assert [record.path.name for record in found] == [
        *(f"IDRiD_00{number}.jpg" for number in range(1, 7)),
        "IDRiD_54.jpg",
        "IDRiD_55.jpg",
    ]
    named = by_name(found)
    assert [(r.grade, r.dme) for r in found[:6]] == [(1, 0), (2, 0), (0, 0), (0, 0), (4, 2), (3, 1)]
    assert {r.scale for r in found[:6]} == {"icdr"}
    assert {r.dataset for r in found} == {"idrid"}
    joined = named["005"]
    assert lesions(joined) == [1, 1, 1, 0]
    assert masks(joined) == ["IDRiD_53_MA.tif", "IDRiD_53_HE.tif", "IDRiD_53_EX.tif", ""]
    assert "lesions and masks from IDRiD_53" in joined.provenance
    assert lesions(named["001"]) == [None] * 4


def test_an_eye_photographed_again_lends_its_lesions_but_not_its_masks(small: Path) -> None:
    named = by_name(idrid.records(small))
    assert lesions(named["006"]) == [1, 1, 1, 1]
    assert masks(named["006"]) == [""] * 4
    assert "lesions from IDRiD_54" in named["006"].provenance
    assert named["54"].grade is None
    assert masks(named["54"])[2:] == ["IDRiD_54_EX.tif", "IDRiD_54_SE.tif"]
    assert lesions(named["55"]) == [1, 0, 1, 0]


def test_the_same_picture_and_the_same_eye_are_tied_and_reported(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = by_name(idrid.records(small))
    told = capsys.readouterr().err
    assert named["001"].exam == named["002"].exam == "same-picture-IDRiD_001"
    assert named["003"].patient == named["004"].patient == "same-eye-IDRiD_003"
    assert named["006"].patient == named["54"].patient == "same-eye-IDRiD_006"
    assert not named["005"].patient
    assert not named["005"].exam
    assert not named["55"].patient
    assert (
        "picture with different labels, never separated by a split: IDRiD_001 (grade 1, dme 0), IDRiD_002 (grade 2"
        in told
    )
    assert "the same eye, never separated by a split: IDRiD_003" in told
    assert (
        "of 3 outlined photographs 1 are graded ones under another name, 1 show the eye of a graded one, 1 match no"
        in told
    )
    assert "grades 0: 2, 1: 1, 2: 1, 3: 1, 4: 1" in told


def test_no_split_separates_them(small: Path) -> None:
    found = idrid.records(small)
    for seed in range(10):
        split = make_split(found, [""] * len(found), make_tasks(["dr"], found), seed=seed, split_seed=seed)
        role = {record.path.stem: role for record, role in zip(found, split.roles, strict=True)}
        assert role["IDRiD_001"] == role["IDRiD_002"]
        assert role["IDRiD_003"] == role["IDRiD_004"]


def test_a_manifest_keeps_everything_also_from_a_relative_root(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small / "elsewhere").mkdir()
    monkeypatch.chdir(small / "elsewhere")
    found = idrid.records(Path(".."))
    write_manifest(found, small / "made" / "manifest.csv")
    assert read_manifest(small / "made" / "manifest.csv") == found
    assert all(record.path.is_file() for record in found)


def test_an_empty_mask_is_a_lesion_that_is_absent(small: Path) -> None:
    save_mask(small / MASKS / "1. Microaneurysms" / "IDRiD_55_MA.tif", filled=False)
    save_mask(small / MASKS / "3. Hard Exudates" / "IDRiD_54_EX.tif", filled=False, mode="RGBA")
    named = by_name(idrid.records(small))
    assert named["55"].MA == 0
    assert named["54"].EX == 0


def test_the_official_test_is_kept_apart_from_its_eyes_in_training(small: Path) -> None:
    here = small / GRADED.replace("a. Training", "b. Testing")
    here.mkdir()
    eye(3, shift=(-5, 8), turn=-2).save(here / "IDRiD_001.jpg")
    (small / SHEET).with_name("b. IDRiD_Disease Grading_Testing Labels.csv").write_text(
        "Image name,Retinopathy grade,Risk of macular edema \nIDRiD_001,2,1\n"
    )
    found = idrid.records(small, official_split=True)
    split = {
        record.path.relative_to(small / GRADED).as_posix(): record.split
        for record in found
        if "a. Tr" in str(record.path) and "B." in str(record.path)
    }
    assert split == {
        **{f"IDRiD_00{n}.jpg": "" for n in (1, 2, 5, 6)},
        **{"IDRiD_003.jpg": "unused", "IDRiD_004.jpg": "unused"},
    }
    assert [r.grade for r in found if r.split == "test"] == [2]
    assert {r.split for r in idrid.records(small)} == {""}


def test_every_wrong_cell_is_named(small: Path) -> None:
    write_sheet(small, GRADES | {"002": "5,0", "003": "0,x", "004": ",1"})
    with pytest.raises(BadData) as caught:
        idrid.records(small)
    text = str(caught.value)
    assert "3 defects" in text
    assert "row 3, column Retinopathy grade: '5' is not a whole number from 0 to 4" in text
    assert "row 4, column Risk of macular edema: 'x' is not a whole number from 0 to 2" in text
    assert "row 5, column Retinopathy grade: ''" in text


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("image,level\r\n", "no column Image name, Retinopathy grade, Risk of macular edema among image, level"),
        ("", "no column Image name, Retinopathy grade, Risk of macular edema among IDRiD_001, 1, 0"),
    ],
)
def test_a_strange_sheet_is_told(small: Path, header: str, told: str) -> None:
    write_sheet(small, GRADES, header)
    with pytest.raises(BadData, match=told):
        idrid.records(small)


def test_a_row_that_stands_there_twice_is_told(small: Path) -> None:
    write_sheet(small, {"001": "1,0"}, HEADER + "IDRiD_001,1,0,,,,,,,,,\r\n")
    with pytest.raises(BadData, match="row 3, column Image name: IDRiD_001 stands in row 2 too"):
        idrid.records(small)


def test_a_sheet_that_was_cut_is_told(small: Path) -> None:
    write_sheet(small, {"001": "1,0"})
    with pytest.raises(BadData, match="1 of 6 rows"):
        idrid.records(small)


def test_what_a_partial_download_lacks_is_named(small: Path) -> None:
    (small / GRADED / "IDRiD_004.jpg").unlink()
    (small / GRADED / "IDRiD_006.jpg").unlink()
    with pytest.raises(MissingInput, match=r"4 of 6 files; missing IDRiD_004.jpg, IDRiD_006.jpg\. Complete"):
        idrid.records(small)


def test_a_photograph_without_a_row_is_named(small: Path) -> None:
    eye(9).save(small / GRADED / "IDRiD_007.jpg")
    with pytest.raises(BadData, match=r"1 defect: IDRiD_007\.jpg\. What to do: these have no row"):
        idrid.records(small)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (f"{MASKS}/1. Microaneurysms/IDRiD_54_MA.tif", "Microaneurysms: 2 of 3 files; missing IDRiD_54_MA.tif"),
        (f"{MASKS}/4. Soft Exudates/IDRiD_54_SE.tif", r"Soft Exudates: 0 of 1 files\. Complete"),
        (f"{OUTLINED}/IDRiD_55.jpg", r"a\. Training Set: 2 of 3 files\. Complete"),
        (SHEET, "Labels.csv: no such file"),
    ],
)
def test_a_missing_file_is_told(small: Path, file: str, told: str) -> None:
    (small / file).unlink()
    with pytest.raises(MissingInput, match=told):
        idrid.records(small)


def test_a_mask_without_photograph_is_named(small: Path) -> None:
    save_mask(small / MASKS / "2. Haemorrhages" / "IDRiD_70_HE.tif")
    with pytest.raises(BadData, match=r"IDRiD_70_HE\.tif\. What to do: these masks have no photograph"):
        idrid.records(small)


def test_unusable_masks_are_named_in_one_pass(small: Path) -> None:
    save_mask(small / MASKS / "2. Haemorrhages" / "IDRiD_53_HE.tif", size=(50, 40))
    (small / MASKS / "3. Hard Exudates" / "IDRiD_55_EX.tif").write_bytes(b"")
    with pytest.raises(BadData) as caught:
        idrid.records(small)
    assert "2 defects" in str(caught.value)
    assert "IDRiD_53_HE.tif: (50, 40) pixels, but its photograph has (268, 178)" in str(caught.value)
    assert "IDRiD_55_EX.tif: cannot identify" in str(caught.value)


def test_unreadable_photographs_are_named_in_one_pass(small: Path) -> None:
    (small / GRADED / "IDRiD_003.jpg").write_bytes(b"")
    whole = (small / OUTLINED / "IDRiD_55.jpg").read_bytes()
    (small / OUTLINED / "IDRiD_55.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadData) as caught:
        idrid.records(small)
    assert "2 defects" in str(caught.value)
    assert "IDRiD_003.jpg: cannot identify" in str(caught.value)
    assert "IDRiD_55.jpg: image file is truncated" in str(caught.value)


def test_masks_are_not_lent_to_a_photograph_of_another_size(small: Path) -> None:
    eye(5).resize((536, 356), Image.Resampling.LANCZOS).save(small / GRADED / "IDRiD_005.jpg", quality=95)
    with pytest.raises(BadData, match=r"IDRiD_005.jpg: \(536, 356\) pixels, but \(268, 178\) as .*IDRiD_53.jpg"):
        idrid.records(small)


def test_one_part_alone_is_enough(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(small / "A. Segmentation", small / "away")
    assert len(idrid.records(small)) == 6
    assert "the training part of 'A. Segmentation' (3 photographs) is not here" in capsys.readouterr().err
    shutil.move(small / "away", small / "A. Segmentation")
    shutil.rmtree(small / "B. Disease Grading")
    assert [record.grade for record in idrid.records(small)] == [None] * 3


def test_a_folder_that_is_not_idrid_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"neither 'B\. Disease Grading' nor 'A\. Segmentation' is here"):
        idrid.records(tmp_path)
    (tmp_path / "A. Segmentation").mkdir()
    with pytest.raises(MissingInput, match="unpack the download here"):
        idrid.records(tmp_path)


def test_labels_without_their_photographs_are_told(small: Path) -> None:
    shutil.rmtree(small / GRADED)
    with pytest.raises(MissingInput, match="no such folder, though its labels are here"):
        idrid.records(small)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real photographs in {REAL}; set SEMIRETINA_DATA")
def test_the_real_photographs(capsys: pytest.CaptureFixture[str]) -> None:
    found = idrid.records(REAL)
    graded = [record for record in found if record.grade is not None]
    assert Counter(r.grade for r in graded) == {0: 134, 1: 20, 2: 136, 3: 74, 4: 49}
    joined = [r for r in graded if r.MA is not None]
    assert len(joined) == 46
    with_masks = [r for r in graded if r.mask_MA]
    assert len(with_masks) == 42
    outlined = [r for r in found if r.mask_MA]
    assert len(outlined) == 54
    assert [sum(getattr(r, lesion) for r in outlined) for lesion in LESIONS] == [54, 53, 54, 26]
    # A photograph whose lesions were outlined has lesions: its grade, given by other eyes, is never "none".
    assert min(r.grade for r in joined if r.grade is not None) > 0
    pictures = Counter(r.exam for r in found if r.exam)
    assert set(pictures.values()) == {2}
    assert len(pictures) == 5
    eyes = Counter(r.patient for r in found if r.patient)
    assert set(eyes.values()) == {2}
    assert len(eyes) == 16
    told = capsys.readouterr().err
    assert told.count("same picture with different labels") == 3
    assert "IDRiD_021 (grade 1, dme 0), IDRiD_391 (grade 2, dme 0)" in told


def test_ties_pass_through_records_that_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """0 and 3 are one picture, 2 and 3 one eye: without 3, the eye still ties 0 and 2, and no picture ties any."""
    records = [Record(path=Path(f"{n}.jpg"), scale="icdr", grade=n % 2) for n in range(5)]
    pairs = [Pair(0, 3, "copy", 1.0), Pair(2, 3, "eye", 0.7)]
    tied = idrid.tie(records, pairs, list("abcde"), without={3})
    assert [r.patient for r in tied] == ["same-eye-a", "", "same-eye-a", "", ""]
    assert [r.exam for r in tied] == [""] * 5
    told = "the same eye, never separated by a split: a (grade 0, dme None), c (grade 0, dme None)\n"
    assert capsys.readouterr().err == told
    assert [r.exam for r in idrid.tie(records, pairs, list("abcde"))] == [
        "same-picture-a",
        "",
        "",
        "same-picture-a",
        "",
    ]
    assert "the same picture with different labels" in capsys.readouterr().err


def test_ties_join_chains_in_any_order() -> None:
    records = [Record(path=Path(f"{n}.jpg")) for n in range(6)]
    pairs = [Pair(3, 5, "eye", 0.6), Pair(1, 2, "eye", 0.6), Pair(2, 3, "eye", 0.6)]
    tied = idrid.tie(records, pairs, [str(n) for n in range(6)])
    assert [r.patient for r in tied] == ["", "same-eye-1", "same-eye-1", "same-eye-1", "", "same-eye-1"]
