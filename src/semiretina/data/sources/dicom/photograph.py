"""One DICOM file: the records that its header gives, its frames written as PNG, or why it gives none.

Of the header no more is taken than a record has a place for.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.pixels.utils import get_nr_frames
from pydicom.uid import UID

from semiretina.data.sources.dicom import frames
from semiretina.data.sources.download import write_png
from semiretina.records import Record

# Storage classes of ophthalmic photographs (PS3.4, B.5), and the ones that are taken when they carry colour.
PHOTOGRAPHS: Mapping[str, str] = {
    "1.2.840.10008.5.1.4.1.1.77.1.5.1": "Ophthalmic Photography 8 Bit",
    "1.2.840.10008.5.1.4.1.1.77.1.5.2": "Ophthalmic Photography 16 Bit",
    "1.2.840.10008.5.1.4.1.1.77.1.5.5": "Wide Field Ophthalmic Photography Stereographic Projection",
    "1.2.840.10008.5.1.4.1.1.77.1.5.6": "Wide Field Ophthalmic Photography 3D Coordinates",
}
IN_COLOR: Mapping[str, str] = {
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.77.1.1": "VL Endoscopic",
    "1.2.840.10008.5.1.4.1.1.77.1.2": "VL Microscopic",
    "1.2.840.10008.5.1.4.1.1.77.1.4": "VL Photographic",
}
DATES = ("AcquisitionDateTime", "AcquisitionDate", "ContentDate", "StudyDate")
EYES = {"L": "left", "R": "right"}


@dataclass(frozen=True, slots=True)
class Photographs:
    """What a file gives: records, or what it is instead of a photograph, or what is wrong with it."""

    uid: str = ""
    records: tuple[Record, ...] = ()
    remarks: tuple[str, ...] = ()  # what is to be counted and told, once for each record it is true of
    skipped: str = ""
    defects: tuple[str, ...] = ()


def read(file: Path, picture: Path) -> Photographs:
    """What the file gives. Frame 2 of several is written to `picture` with "-2.png", a single one with ".png".

    Raises CannotWrite, and OSError where a picture cannot be written; what is wrong with the file is in the result.
    """
    try:
        dataset = dcmread(file)
        photographs = _look(dataset, picture)
    except frames.UnusablePixels as error:
        return Photographs(defects=(str(error),))
    except Exception as error:  # pydicom raises whatever its parsing stumbles over
        return Photographs(defects=(f"damaged: {' '.join(str(error).split()) or type(error).__name__}",))
    for index, record in enumerate(photographs.records):
        if record.path.exists():
            continue
        try:
            pixels = frames.frame(dataset, index, len(photographs.records))
        except frames.UnusablePixels as error:
            which = f"frame {index + 1} of {len(photographs.records)}: " if len(photographs.records) > 1 else ""
            return Photographs(defects=(f"{which}{error}",))
        write_png(pixels, record.path)
    return photographs


def _look(dataset: Dataset, picture: Path) -> Photographs:
    if not len(dataset):
        return Photographs(defects=("damaged or cut short: no element can be read",))
    if not storage_class(dataset):
        return Photographs(defects=("damaged, or without SOP Class UID",))
    title, taken = kind(dataset)
    if not taken:
        return Photographs(skipped=title)
    hidden = "EncryptedAttributesSequence" in dataset
    if wrong := frames.defects(dataset):
        return Photographs(defects=(*wrong, *(["attributes of it are encrypted"] if hidden else [])))
    count = number_of_frames(dataset)
    if not 1 <= count <= len(dataset.PixelData):
        return Photographs(defects=(f"Number of Frames is {count}",))
    contradicted = frames.contradicted(dataset, count)
    uid, day = text(dataset, "SOPInstanceUID"), date(dataset)
    record = Record(
        path=picture,
        dataset="dicom",
        site=text(dataset, "InstitutionName"),
        camera=camera(dataset),
        patient=patient(dataset),
        exam=exam(dataset),
    )
    remarks = {
        f"of the class {title}": title in IN_COLOR.values(),
        "whose header contradicts its stream about colour; the stream was believed": contradicted,
        "with encrypted attributes, so that the patient may be a made-up one": hidden,
        "with text burned into the picture": text(dataset, "BurnedInAnnotation").upper() == "YES",
        "without patient (PatientID)": not record.patient,
        "without study (StudyInstanceUID)": not record.exam,
        "without date": not day,
        "without camera (Manufacturer)": not record.camera,
        "without site (InstitutionName)": not record.site,
    }
    repeated = [remark for remark, holds in remarks.items() if holds] * count
    eyes = [eye(dataset, index) for index in range(count)]
    repeated += ["without one eye (ImageLaterality)"] * eyes.count("")
    records = []
    for number, side in enumerate(eyes, start=1):
        notes = (
            f"DICOM {uid}".strip(),
            f"frame {number} of {count}" if count > 1 else "",
            f"taken {day}" if day else "",
            "colours as its stream says, not its header" if contradicted else "",
        )
        file = picture.with_name(f"{picture.name}{f'-{number}' if count > 1 else ''}.png")
        records.append(replace(record, path=file, eye=side, provenance=", ".join(filter(None, notes))))
    return Photographs(uid=uid, records=tuple(records), remarks=tuple(repeated))


def text(dataset: Dataset, keyword: str) -> str:
    """An element as one line of text; "" where it is absent or empty."""
    value = dataset.get(keyword)
    return "" if value is None else " ".join(str(value).split())


def storage_class(dataset: Dataset) -> str:
    """The SOP class UID of the data set, or of the file's own header where only that is a photograph's; or ""."""
    given = [text(dataset, "SOPClassUID"), text(dataset.file_meta, "MediaStorageSOPClassUID")]
    # The two are the same, unless the file was cut short or written carelessly; it is not passed over for that.
    photograph = [uid for uid in given if uid in PHOTOGRAPHS or uid in IN_COLOR]
    return next((uid for uid in photograph + given if uid), "")


def kind(dataset: Dataset) -> tuple[str, bool]:
    """The name of the storage class, and whether such a file is taken for a photograph."""
    uid = storage_class(dataset)
    if uid in PHOTOGRAPHS:
        return PHOTOGRAPHS[uid], True
    if uid not in IN_COLOR:
        return UID(uid).name, False
    # Without pixels nothing tells of colour; the file is taken, so that the missing pixels are named.
    gray = text(dataset, "PhotometricInterpretation").startswith("MONOCHROME")
    return IN_COLOR[uid] + (" without colour" if gray else ""), not gray


def number_of_frames(dataset: Dataset) -> int:
    """How many pictures the file holds."""
    return get_nr_frames(dataset, warn=False)


def patient(dataset: Dataset) -> str:
    """The patient's number in the hospital that took the photograph."""
    return text(dataset, "PatientID")


def date(dataset: Dataset) -> str:
    """The day of the photograph, else of its study, as 2024-01-31; "" where none is given."""
    for keyword in DATES:
        digits = text(dataset, keyword)[:8]
        try:
            return datetime.datetime.strptime(digits, "%Y%m%d").date().isoformat()
        except ValueError:
            continue
    return ""


def exam(dataset: Dataset) -> str:
    """The study, else the patient and the day; "" where neither is known."""
    study = text(dataset, "StudyInstanceUID")
    if study or not (patient(dataset) and date(dataset)):
        return study
    return f"{patient(dataset)} {date(dataset)}"


def eye(dataset: Dataset, index: int) -> str:
    """Which eye frame `index` shows: what is said of the frame comes before the picture's, and that before the series'.

    "" where nothing is said, or where both eyes are in the picture.
    """
    letters = [_frame_laterality(dataset, index), text(dataset, "ImageLaterality"), text(dataset, "Laterality")]
    return EYES.get(next((letter for letter in letters if letter), "").upper(), "")


def camera(dataset: Dataset) -> str:
    """Manufacturer and model."""
    maker, model = text(dataset, "Manufacturer"), text(dataset, "ManufacturerModelName")
    return model if model.lower().startswith(maker.lower()) else f"{maker} {model}".strip()


def _frame_laterality(dataset: Dataset, index: int) -> str:
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[index : index + 1]
    groups += list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    for group in groups:
        for anatomy in group.get("FrameAnatomySequence") or []:
            if letter := text(anatomy, "FrameLaterality"):
                return letter
    return ""
