"""What every importer asks of a download: is it unpacked, is it whole, which file does a name mean."""

import re
from collections.abc import Iterable
from pathlib import Path

from semiretina.errors import MissingInput

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".001", ".z01")


def photographs_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The folder's files that are photographs by their name, sorted; the pattern "**/*" searches its subfolders too."""

    def wanted(file: Path) -> bool:
        # A Mac leaves "._name.jpg" beside name.jpg, and viewers keep their thumbnails in hidden folders.
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        return file.suffix.lower() in SUFFIXES and not hidden and file.is_file()

    return sorted(file for file in folder.glob(pattern) if wanted(file))


def find_entry(folder: Path, *names: str) -> Path | None:
    """The folder's file or folder that has one of these names in upper or lower case; the first name found wins."""
    entries = {entry.name.lower(): entry for entry in sorted(folder.iterdir())} if folder.is_dir() else {}
    return next((entries[name.lower()] for name in names if name.lower() in entries), None)


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive, or of one of the volumes that it was cut into."""
    suffix = Path(name).suffix.lower()
    return suffix in ARCHIVES or re.fullmatch(r"\.(\d{3}|z\d{2})", suffix) is not None


def check_folder(root: Path, what: str) -> None:
    """Raises MissingInput where `root` is no folder, or holds archives that nobody has unpacked instead of `what`."""
    if not root.is_dir():
        raise MissingInput(f"{root}: no such folder; give the one that holds {what}")
    packed = sorted(f.name for f in root.iterdir() if is_archive(f.name) and f.is_file())
    others = [f for f in root.iterdir() if f.name not in packed and not f.name.startswith(".")]
    if packed and not others:
        raise MissingInput(
            f"{root}: holds archives ({', '.join(packed[:4])}{', ...' if len(packed) > 4 else ''}) and not {what}; "
            "unpack them here"
        )


def shortfall(where: Path | str, found: int, expected: int, missing: Iterable[str], what: str = "files") -> str:
    """The message for a download that is not whole: "Base23: 97 of 100 images; missing a, b, c. Complete ..."."""
    told = shortage(where, found, expected, missing, what)
    return f"{told}. Complete the download, or import what you have with 'table'"


def shortage(where: Path | str, found: int, expected: int, missing: Iterable[str], what: str) -> str:
    """What `shortfall` says, without the advice."""
    names = sorted(missing)
    more = f", and {len(names) - 20} more" if len(names) > 20 else ""
    named = f"; missing {', '.join(names[:20])}{more}" if names else ""
    return f"{where}: {found} of {expected} {what}{named}"
