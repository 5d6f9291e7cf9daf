"""What a source is: how a data set is read, and what one should know before using it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from semiretina.records import SCALES, Record


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set. `read(root, *, options)` yields its records; the keyword parameters are the options of an import."""

    read: Callable[..., list[Record]]
    title: str
    scale: str  # of the grades: a name of `records.SCALES`, or in words
    licence: str
    get: str  # where it is to be had, or what to give
    redistributable: bool = False  # that licence lets photographs be passed on; what is not stated is not allowed
    citation: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)  # what -> how many photographs are published
    grades: Mapping[int, int] = field(default_factory=dict)  # grade -> how many photographs are published with it

    def facts(self) -> dict[str, str]:
        """What one should know, in words; "" where there is nothing to know."""
        return {
            "photographs": ", ".join(f"{count} {what}" for what, count in self.counts.items()),
            "grades": ", ".join(f"{grade}: {count}" for grade, count in self.grades.items()),
            "grading scale": f"{self.scale}, 0 to {SCALES[self.scale]}" if self.scale in SCALES else self.scale,
            "licence": self.licence,
            "photographs may be passed on": "yes" if self.redistributable else "no, or not stated",
            "get it": self.get,
            "cite": self.citation,
        }
