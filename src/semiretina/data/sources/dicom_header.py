"""What the header of a DICOM photograph tells, as far as a record has a place for it. Nothing else is taken from it."""

import datetime
from collections.abc import Mapping

from pydicom.dataset import Dataset
from pydicom.pixels.utils import get_nr_frames
from pydicom.uid import UID

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
