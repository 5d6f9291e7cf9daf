"""Whole files: read as text, hashed, and written in one step, so that a reader sees the old content or the new."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semiretina.errors import BadData, MissingInput, writing


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark; an unreadable one is an error that says why."""
    try:
        return read_bytes(file).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise BadData(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8 and run again") from None


def read_bytes(file: Path) -> bytes:
    """The content of a file; MissingInput that says why where it cannot be read."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise MissingInput(f"{file}: no such file") from None
    except IsADirectoryError:
        raise MissingInput(f"{file}: is a folder, a file is needed") from None
    except PermissionError as error:
        raise MissingInput(f"{file}: cannot be read ({error.strerror}); check the path and its permissions") from None


def write_text(file: Path, text: str) -> None:
    """Writes a file in one step, as UTF-8 and with the line ends as they stand; see `write_bytes`."""
    write_bytes(file, text.encode())


def write_json(file: Path, value: Any) -> None:
    """Writes a JSON file in one step; NaN and infinities become null."""
    write_text(file, json.dumps(finite(value), indent=1) + "\n")


def finite(value: Any) -> Any:
    """The value with None in place of NaN and infinities, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_bytes(file: Path, content: bytes) -> None:
    """Writes a file in one step: a reader sees the old content or the new, never half of it, also after a power cut.

    Makes the folder. Raises CannotWrite where nothing can be written, and OSError that names the file (a full disk).
    A killed process leaves a hidden file behind whose name ends in `.part`.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
