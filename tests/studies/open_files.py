"""Who holds a file, so that a test kills the right process."""

import os
from pathlib import Path


def holders(file):
    """The processes that have a file open."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(link) == str(file) for link in (entry / "fd").iterdir()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
