"""What can go wrong by the user's hand, each with the exit status that the command line ends with.

A message is one line that names what is wrong, where, and what to do. Failures of our own invariants are `assert`s.
Exit statuses follow BSD's sysexits.h where it has a fitting one.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)


class UserError(ValueError):
    """Something the user can mend. `exit_code` is the status that the command line ends with."""

    exit_code = 2


class BadData(UserError):
    """A manifest, photograph or label that cannot be used as it is."""

    exit_code = 65


class MissingInput(UserError):
    """A file, folder or library that is needed is not there."""

    exit_code = 66


class NonFiniteLoss(UserError):
    """The loss became infinite or NaN; training stopped at that step."""

    exit_code = 70


class CannotWrite(UserError):
    """An output cannot be created."""

    exit_code = 73


class Interrupted(UserError):
    """A run was stopped from outside and goes on when the same command is given again."""

    exit_code = 75


class Refused(UserError):
    """Doing what was asked would mix or overwrite results that must stay apart."""

    exit_code = 77


class Busy(Refused):
    """Another process holds the run folder and is training in it."""


class BadConfig(UserError):
    """A configuration that names an unknown key, a value of the wrong type, or a combination that cannot run."""

    exit_code = 78


def summary(where: str, defects: Sequence[str], advice: str, most: int = 20) -> str:
    """One message for many defects: all counted, the first `most` named."""
    more = f"; and {len(defects) - most} more" if len(defects) > most else ""
    count = "1 defect" if len(defects) == 1 else f"{len(defects)} defects"
    return f"{where}: {count}: {'; '.join(defects[:most])}{more}. What to do: {advice}"


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Around the writing of `file`: raises CannotWrite where nothing can be written there.

    Any other OSError is raised again with the file's name, since that of a full disk does not tell it.
    """
    try:
        yield
    except OSError as error:
        if error.errno in UNWRITABLE:
            raise CannotWrite(f"{file}: cannot be written ({error.strerror}); choose another place") from None
        raise OSError(error.errno, error.strerror or str(error), str(file)) from None
