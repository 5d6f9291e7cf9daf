"""Folders of DICOM files as an archive hands them out, written by pydicom, and everything that is wrong with some."""

import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit

from semiretina.data.sources import SOURCES, dicom, import_source
from semiretina.errors import BadConfig, BadData, CannotWrite, MissingInput
from semiretina.records import Record, read_manifest

OP8 = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
HEADER = {
    "PatientID": "007",
    "PatientName": "Doe^Jane",
    "PatientBirthDate": "19500101",
    "StudyInstanceUID": "1.2.9.1",
    "AcquisitionDateTime": "20240131101500.5",
    "ImageLaterality": "L",
    "Manufacturer": "Kowa",
    "ManufacturerModelName": "VX-10",
    "InstitutionName": "Eye Clinic  North",
}


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def write(
    file: Path,
    pictures: Sequence[np.ndarray] = (),
    without: Sequence[str] = (),
    kind: str = OP8,
    syntax: str = "raw",
    **header: object,
) -> Path:
    """A file with the pictures as its frames (one that the file's name chooses where none are given)."""
    pictures = pictures or [picture(sum(file.name.encode()))]
    made = Dataset()
    made.SOPClassUID = kind
    made.SOPInstanceUID = f"1.2.3.{int.from_bytes(file.name.encode()) % 10**30}"
    made.Rows, made.Columns = pictures[0].shape[:2]
    made.SamplesPerPixel, made.PlanarConfiguration, made.PhotometricInterpretation = 3, 0, "RGB"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    if len(pictures) > 1:
        made.NumberOfFrames = len(pictures)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = {
        "raw": ExplicitVRLittleEndian,
        "jpeg": JPEGBaseline8Bit,
        "j2k": JPEG2000Lossless,
    }[syntax]
    if syntax == "raw":
        made.PixelData = b"".join(p.tobytes() for p in pictures)
    else:
        made.PhotometricInterpretation = "YBR_FULL_422" if syntax == "jpeg" else "YBR_RCT"
        made.PixelData = encapsulate([coded(p, syntax) for p in pictures])
    made["PixelData"].VR = "OB"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some headers are meant to be wrong
        for name, value in (HEADER | header).items():
            setattr(made, name, value)
        for name in without:
            if name in made:
                delattr(made, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        made.preamble = bytes(128)
        dcmwrite(file, made, enforce_file_format=bool(kind))
    return file


def coded(pixels: np.ndarray, syntax: str) -> bytes:
    out = io.BytesIO()
    if syntax == "jpeg":
        Image.fromarray(pixels).save(out, "JPEG", quality=95)
    else:
        Image.fromarray(pixels).save(out, "JPEG2000", no_jp2=True, mct=1, irreversible=False)
    return out.getvalue()


def pixels(record: Record) -> np.ndarray:
    return np.asarray(Image.open(record.path))


def test_the_headers_and_pictures_arrive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "archive"
    write(root / "A" / "IM0001", [picture(1)])
    write(root / "A" / "IM0002.dcm", [picture(2)], syntax="j2k", ImageLaterality="R")
    write(root / "B" / "photo.DCM", [picture(3)], syntax="jpeg", PatientID="NA", StudyInstanceUID="1.2.9.2")
    first, second, third = dicom.records(root)
    assert first.path.parent == tmp_path / "archive-photographs"
    assert first == Record(
        path=first.path,
        dataset="dicom",
        site="Eye Clinic North",
        camera="Kowa VX-10",
        patient="007",
        exam="1.2.9.1",
        eye="left",
        provenance=first.provenance,
    )
    assert first.provenance.startswith("DICOM 1.2.3.")
    assert first.provenance.endswith(", taken 2024-01-31")
    assert (second.eye, second.patient, second.exam) == ("right", "007", "1.2.9.1")
    assert (third.patient, third.exam) == ("NA", "1.2.9.2")
    np.testing.assert_array_equal(pixels(first), picture(1))
    np.testing.assert_array_equal(pixels(second), picture(2))
    np.testing.assert_array_equal(pixels(third), np.asarray(Image.open(io.BytesIO(coded(picture(3), "jpeg")))))
    told = capsys.readouterr().err
    assert f"dicom: 3 photographs (patients: 2), as PNG in {tmp_path / 'archive-photographs'}" in told
    assert "of these" not in told
    assert "skipped" not in told


def test_nothing_private_goes_out(tmp_path: Path) -> None:
    write(tmp_path / "in" / "Doe_Jane.dcm", OtherPatientIDs="secret", StudyDescription="hidden")
    import_source("dicom", tmp_path / "in", tmp_path / "m.csv")
    out = (tmp_path / "m.csv").read_text() + " ".join(f.name for f in (tmp_path / "in-photographs").iterdir())
    out += str([Image.open(f).info for f in (tmp_path / "in-photographs").iterdir()])
    assert "007" in out
    assert not any(word in out for word in ("Doe", "Jane", "1950", "secret", "hidden"))
    (record,) = read_manifest(tmp_path / "m.csv")
    assert record.path.is_file()


def test_every_frame_is_a_photograph(tmp_path: Path) -> None:
    eyes = [Dataset(), Dataset(), Dataset()]
    for group, letter in zip(eyes, ("R", "L", ""), strict=True):
        anatomy = Dataset()
        anatomy.FrameLaterality = letter
        group.FrameAnatomySequence = [anatomy]
    pictures = [picture(n) for n in range(3)]
    for syntax in ("raw", "j2k"):
        write(tmp_path / syntax / "a.dcm", pictures, syntax=syntax, PerFrameFunctionalGroupsSequence=eyes)
        found = dicom.records(tmp_path / syntax)
        assert [r.eye for r in found] == ["right", "left", "left"]  # the third says nothing: the picture's own word
        assert [r.path.stem[-2:] for r in found] == ["-1", "-2", "-3"]
        assert "frame 2 of 3" in found[1].provenance
        assert {r.exam for r in found} == {"1.2.9.1"}
        for record, expected in zip(found, pictures, strict=True):
            np.testing.assert_array_equal(pixels(record), expected)


@pytest.mark.parametrize(
    ("header", "eye"),
    [
        ({"ImageLaterality": "", "Laterality": "R"}, "right"),
        ({"ImageLaterality": "L", "Laterality": "R"}, "left"),
        ({"ImageLaterality": "B"}, ""),
        ({"ImageLaterality": "", "Laterality": ""}, ""),
    ],
)
def test_laterality(tmp_path: Path, header: dict[str, str], eye: str) -> None:
    write(tmp_path / "in" / "a", **header)
    assert [r.eye for r in dicom.records(tmp_path / "in")] == [eye]


@pytest.mark.parametrize(
    ("without", "header", "exam", "day"),
    [
        (["AcquisitionDateTime"], {"ContentDate": "20230203"}, "1.2.9.1", "2023-02-03"),
        (["StudyInstanceUID"], {}, "007 2024-01-31", "2024-01-31"),
        (["StudyInstanceUID", "AcquisitionDateTime"], {"StudyDate": "20200229"}, "007 2020-02-29", "2020-02-29"),
        (["StudyInstanceUID", "AcquisitionDateTime"], {"StudyDate": "20210229"}, "", ""),
        (["StudyInstanceUID", "PatientID"], {}, "", "2024-01-31"),
    ],
)
def test_exams_and_dates(tmp_path: Path, without: list[str], header: dict[str, str], exam: str, day: str) -> None:
    write(tmp_path / "in" / "a", without=without, **header)
    (record,) = dicom.records(tmp_path / "in")
    assert record.exam == exam
    assert (f"taken {day}" in record.provenance) if day else ("taken" not in record.provenance)


def test_what_is_absent_is_counted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = ["PatientID", "StudyInstanceUID", "AcquisitionDateTime", "ImageLaterality", "Manufacturer"]
    write(tmp_path / "in" / "a", without=[*bare, "ManufacturerModelName", "InstitutionName"])
    write(tmp_path / "in" / "b", [picture(1), picture(2)], ImageLaterality="", BurnedInAnnotation="YES")
    write(tmp_path / "in" / "c", kind="1.2.840.10008.5.1.4.1.1.7", ManufacturerModelName="Kowa VX")
    write(
        tmp_path / "in" / "d", syntax="jpeg", PhotometricInterpretation="RGB", EncryptedAttributesSequence=[Dataset()]
    )
    found = dicom.records(tmp_path / "in")
    assert found[3].camera == "Kowa VX"
    assert found[4].provenance.endswith("colours as its stream says, not its header")
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "of these" in line]
    assert sorted(told.removeprefix("dicom: of these ").split(", ")) == sorted(
        [
            "1 without patient (PatientID)",
            "1 without study (StudyInstanceUID)",
            "1 without date",
            "1 without camera (Manufacturer)",
            "1 without site (InstitutionName)",
            "3 without one eye (ImageLaterality)",
            "2 with text burned into the picture",
            "1 of the class Secondary Capture",
            "1 whose header contradicts its stream about colour; the stream was believed",
            "1 with encrypted attributes",
            "so that the patient may be a made-up one",
        ]
    )


def test_what_is_no_photograph_is_skipped_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "in"
    write(root / "photo")
    write(root / "copy.dcm").write_bytes((root / "photo").read_bytes())
    write(root / "DICOMDIR", kind="1.2.840.10008.1.3.10")
    write(root / "oct", kind="1.2.840.10008.5.1.4.1.1.77.1.5.4")
    gray = {"PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1}
    write(root / "scan", kind="1.2.840.10008.5.1.4.1.1.7", **gray)
    (root / "readme.TXT").write_text("hello")
    (root / "LOG").write_bytes(b"")
    (root / "._photo.dcm").write_bytes(b"Mac")
    (root / ".cache").mkdir()
    (root / ".cache" / "x.dcm").write_bytes(b"thumbnail")
    assert len(dicom.records(root)) == 1
    told = capsys.readouterr().err
    assert (
        "dicom: skipped files: 1 of the class Media Storage Directory Storage, 1 of the class Ophthalmic Tomography "
        "Image Storage, 1 of the class Secondary Capture without colour, 1 that are no DICOM files (.txt), "
        "1 that are no DICOM files (no suffix), 1 that lie there twice\n"
    ) in told


def test_nothing_is_done_twice(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write(root / "a", [picture(1), picture(2)])
    write(root / "b", syntax="jpeg", PhotometricInterpretation="RGB")
    first = dicom.records(root, images=str(root / "png"))  # below the root, where it is not searched
    stamps = [record.path.stat().st_mtime_ns for record in first]
    first[1].path.unlink()
    again = dicom.records(root, images=str(root / "png"))
    assert again == first
    assert [n for n, r in enumerate(again) if r.path.stat().st_mtime_ns != stamps[n]] == [1]
    # A file that was exported anew under the same name has another picture.
    write(root / "a", [picture(3), picture(2)])
    np.testing.assert_array_equal(pixels(dicom.records(root, images=str(root / "png"))[0]), picture(3))


def test_everything_that_is_wrong_is_told_in_one_pass(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write(root / "good")
    write(root / "no pixels", without=["PixelData"])
    write(root / "sealed", without=["PixelData"], EncryptedAttributesSequence=[Dataset()])
    write(root / "no colour", without=["PhotometricInterpretation", "SamplesPerPixel"])
    write(root / "wrong colour", PhotometricInterpretation="MONOCHROME2")
    write(root / "odd colour", PhotometricInterpretation="CMYK")
    write(root / "no class", kind="")
    whole = write(root / "cut").read_bytes()
    (root / "cut").write_bytes(whole[:-100])
    whole = write(root / "cut early").read_bytes()
    (root / "cut early").write_bytes(whole[:330])  # within the class of the data set
    whole = write(root / "cut jpeg", syntax="jpeg").read_bytes()
    (root / "cut jpeg").write_bytes(whole[:-100])
    whole = write(root / "moved", syntax="jpeg").read_bytes()
    (root / "moved").write_bytes(whole.replace(b"\xff\xd8\xff", b"\xff\xd8\x00"))
    whole = write(root / "coded").read_bytes()
    (root / "coded").write_bytes(whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.826.0.1.36800.9\0"))
    write(root / "a frame less", [picture(1), picture(2)], syntax="j2k", NumberOfFrames=3)
    write(root / "endless", NumberOfFrames=2_000_000_000)
    write(root / "backward", NumberOfFrames=-1)
    (root / "garbage").write_bytes(bytes(128) + b"DICM" + bytes(range(256)))
    (root / "text.dcm").write_text("<html>")
    # How a CMS envelope begins: a sequence of unknown length, then the identifier of enveloped data.
    (root / "envelope.p7m").write_bytes(bytes.fromhex("308006092a864886f70d010703a080") + bytes(300))
    with pytest.raises(BadData) as raised:
        dicom.records(root)
    message = str(raised.value)
    for defect in (
        "no pixels: no pixels in it",
        "sealed: no pixels in it (a header alone, or cut short); sealed: attributes of it are encrypted",
        "no colour: no Samples Per Pixel; no colour: no Photometric Interpretation",
        "wrong colour: Photometric Interpretation MONOCHROME2 with 3 samples per pixel",
        "odd colour: Photometric Interpretation 'CMYK' is none of",
        "no class: damaged, or without SOP Class UID",
        "cut: pixel data damaged, truncated",
        "cut jpeg: damaged or cut short",
        "moved: pixel data damaged, truncated",
        "coded: unknown transfer syntax 1.2.826.0.1.36800.9",
        "a frame less: frame 3 of 3: pixel data damaged, truncated",
        "endless: Number of Frames is 2000000000",
        "backward: Number of Frames is -1",
        "garbage: damaged, or without SOP Class UID",
        "cut early: no pixels in it",
        "text.dcm: no DICOM file, though its name says so",
        "envelope.p7m: encrypted (a CMS envelope)",
    ):
        assert defect in message, defect
    assert message.startswith(f"{root}: 19 defects: ")
    assert "\n" not in message
    assert "good" not in message
    # What was whole is there for the next time; nothing else is.
    assert all(Image.open(file).size == (24, 16) for file in (tmp_path / "in-photographs").iterdir())
    with pytest.raises(BadData):
        import_source("dicom", root, tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_a_file_that_must_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in" / "a")
    closed = write(tmp_path / "in" / "B" / "b")
    really = Path.open

    def guarded(self: Path, *arguments: str) -> object:
        if self == closed:
            raise PermissionError(13, "Permission denied", str(self))
        return really(self, *arguments)

    monkeypatch.setattr(Path, "open", guarded)
    with pytest.raises(BadData, match=r"1 defect: B/b: cannot be read \(Permission denied\)"):
        dicom.records(tmp_path / "in")


def test_folders_without_photographs(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no such folder"):
        dicom.records(tmp_path / "absent")
    (tmp_path / "zips").mkdir()
    (tmp_path / "zips" / "all.zip").touch()
    with pytest.raises(MissingInput, match="holds archives"):
        dicom.records(tmp_path / "zips")
    write(tmp_path / "in" / "oct", kind="1.2.840.10008.5.1.4.1.1.77.1.5.4")
    with pytest.raises(MissingInput, match="no photograph among 1 DICOM files"):
        dicom.records(tmp_path / "in")


def test_a_place_that_takes_no_files_is_told(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a")
    (tmp_path / "taken").touch()
    with pytest.raises(CannotWrite, match="taken"):
        dicom.records(tmp_path / "in", images=str(tmp_path / "taken"))


def test_without_pydicom_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("semiretina.data.sources.dicom.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(dicom, "photograph", raising=False)
    monkeypatch.delattr(dicom, "frames", raising=False)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingInput, match=r"python -m pip install 'semiretina\[dicom\]'"):
        dicom.records(tmp_path)
    assert "semiretina[dicom]" in SOURCES["dicom"].facts()["get it"]


def labeled(tmp_path: Path, text: str, **options: str) -> list[Record]:
    (tmp_path / "labels.csv").write_text(text)
    return dicom.records(tmp_path / "in", labels=str(tmp_path / "labels.csv"), **options)


def test_grades_come_from_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in" / "A" / "one.dcm", SOPInstanceUID="1.2.3.4")
    write(tmp_path / "in" / "A" / "two.dcm")
    write(tmp_path / "in" / "A" / "three.dcm", [picture(1), picture(2)])
    write(tmp_path / "in" / "B" / "four.dcm")
    write(tmp_path / "in" / "B" / "copy.dcm").write_bytes((tmp_path / "in" / "B" / "four.dcm").read_bytes())
    table = "image;grade\n1.2.3.4;3\nA\\three.dcm#2;0\nA/two.dcm;\nB/four.dcm;4\n"
    found = labeled(tmp_path, table, scale="icdr")
    assert [(r.grade, r.scale) for r in found] == [
        *((3, "icdr"), (None, ""), (0, "icdr")),  # one, the frames of three
        *((None, ""), (4, "icdr")),  # two, and the file that lies there twice
    ]
    assert "2 without a grade" in capsys.readouterr().err


def test_what_is_wrong_in_the_table_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a", SOPInstanceUID="1.2.3.4")
    write(tmp_path / "in" / "b", [picture(1), picture(2)])
    rows = "image,grade\na,5\na,1\nc,1\n,2\n1.2.3.4,1\nb,0\nb#1,-1\n"
    with pytest.raises(BadData) as raised:
        labeled(tmp_path, rows, scale="icdr")
    message = str(raised.value)
    for defect in (
        "row 2: '5' is no grade of 'icdr', which runs to 4",
        "row 3: 'a' stands in row 2 too",
        "row 4: no photograph 'c'",
        "row 5: no image",
        "row 2 and row 6: two grades for one photograph",
        "row 7: no photograph 'b'",
        "row 8: '-1' is no grade",
    ):
        assert defect in message, defect
    assert "7 defects" in message
    with pytest.raises(BadConfig, match="'' is no grading scale"):
        labeled(tmp_path, rows)
    with pytest.raises(BadData, match="no column grade"):
        labeled(tmp_path, "image,level\na,1\n", scale="icdr")
