"""One DICOM file: the records it gives, its frames written as PNG, or why it gives none."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import Dataset, dcmread

from semiretina.data.sources import dicom_header, dicom_pixels
from semiretina.data.sources.png import write_png
from semiretina.records import Record


@dataclass(frozen=True, slots=True)
class Found:
    """What a file gives: records, or what it is instead of a photograph, or what is wrong with it."""

    uid: str = ""
    records: tuple[Record, ...] = ()
    remarks: tuple[str, ...] = ()  # what is to be counted and told, once for each record it is true of
    skipped: str = ""
    defects: tuple[str, ...] = ()


def read(file: Path, picture: Path) -> Found:
    """What the file gives. Frame 2 of several is written to `picture` with "-2.png", a single one with ".png".

    Raises CannotWrite, and OSError where a picture cannot be written; what is wrong with the file is in the result.
    """
    try:
        dataset = dcmread(file)
        found = _look(dataset, picture)
    except dicom_pixels.UnusablePixels as error:
        return Found(defects=(str(error),))
    except Exception as error:  # pydicom raises whatever its parsing stumbles over
        return Found(defects=(f"damaged: {' '.join(str(error).split()) or type(error).__name__}",))
    for index, record in enumerate(found.records):
        if record.path.exists():
            continue
        try:
            pixels = dicom_pixels.frame(dataset, index, len(found.records))
        except dicom_pixels.UnusablePixels as error:
            which = f"frame {index + 1} of {len(found.records)}: " if len(found.records) > 1 else ""
            return Found(defects=(f"{which}{error}",))
        write_png(pixels, record.path)
    return found


def _look(dataset: Dataset, picture: Path) -> Found:
    if not len(dataset):
        return Found(defects=("damaged or cut short: no element can be read",))
    if not dicom_header.storage_class(dataset):
        return Found(defects=("damaged, or without SOP Class UID",))
    title, taken = dicom_header.kind(dataset)
    if not taken:
        return Found(skipped=title)
    hidden = "EncryptedAttributesSequence" in dataset
    if wrong := dicom_pixels.defects(dataset):
        return Found(defects=(*wrong, *(["attributes of it are encrypted"] if hidden else [])))
    frames = dicom_header.number_of_frames(dataset)
    if not 1 <= frames <= len(dataset.PixelData):
        return Found(defects=(f"Number of Frames is {frames}",))
    contradicted = dicom_pixels.contradicted(dataset, frames)
    uid, day = dicom_header.text(dataset, "SOPInstanceUID"), dicom_header.date(dataset)
    record = Record(
        path=picture,
        dataset="dicom",
        site=dicom_header.text(dataset, "InstitutionName"),
        camera=dicom_header.camera(dataset),
        patient=dicom_header.patient(dataset),
        exam=dicom_header.exam(dataset),
    )
    told = {
        f"of the class {title}": title in dicom_header.IN_COLOR.values(),
        "whose header contradicts its stream about colour; the stream was believed": contradicted,
        "with encrypted attributes, so that the patient may be a made-up one": hidden,
        "with text burned into the picture": dicom_header.text(dataset, "BurnedInAnnotation").upper() == "YES",
        "without patient (PatientID)": not record.patient,
        "without study (StudyInstanceUID)": not record.exam,
        "without date": not day,
        "without camera (Manufacturer)": not record.camera,
        "without site (InstitutionName)": not record.site,
    }
    remarks = [remark for remark, holds in told.items() if holds] * frames
    found = []
    for index in range(frames):
        suffix = f"-{index + 1}" if frames > 1 else ""
        eye = dicom_header.eye(dataset, index)
        remarks += [] if eye else ["without one eye (ImageLaterality)"]
        parts = (
            f"DICOM {uid}".strip(),
            f"frame {index + 1} of {frames}" if frames > 1 else "",
            f"taken {day}" if day else "",
            "colours as its stream says, not its header" if contradicted else "",
        )
        provenance = ", ".join(part for part in parts if part)
        file = picture.with_name(f"{picture.name}{suffix}.png")
        found.append(replace(record, path=file, eye=eye, provenance=provenance))
    return Found(uid=uid, records=tuple(found), remarks=tuple(remarks))
