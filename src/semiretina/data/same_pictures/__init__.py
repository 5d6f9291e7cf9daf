"""Photographs that show the same picture or the same eye, found by looking.

`duplicates` finds copies, mirrored and turned ones too, among photographs of any collection as the pixel cache holds
them; `thumbnails` finds copies and other photographs of one eye among the files of one collection, all framed alike.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """Two photographs, by their positions in a list, first < second, that show the same picture or the same eye.

    `kind` is "identical" (the same pixels), "copy" (resized, recompressed or toned), "rotated", "mirrored" (along
    either axis or both, rotated or not), or "eye" (another photograph of the same eye). `score` is the correlation of
    their detail, 1 for the same pixels.
    """

    first: int
    second: int
    kind: str
    score: float
