"""The same or nearly the same picture in two rows, labels that differ between them, and splits that tear them apart."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

from semiretina.audit.finding import Place, Sighting
from semiretina.audit.names import fellow_key
from semiretina.audit.pictures import Pictures
from semiretina.data.same_pictures import Pair
from semiretina.data.same_pictures.duplicates import find_duplicates
from semiretina.data.split import find_groups
from semiretina.grouping import equal_pairs, first_joined
from semiretina.records import LESIONS, Reading, Record

# How the kinds of `Pair` are called among the findings; "bytes" is ours.
KINDS = {"bytes": "copy-bytes", "identical": "copy-pixels", "copy": "copy-near"}


def find_copies(pictures: Pictures) -> list[Pair]:
    """Every pair of records whose files ("bytes") or pictures agree; those of one file with the first of them alone."""
    pairs = []
    first: dict[str, int] = {}
    different = []
    for number, entry in enumerate(pictures.entries):
        if entry.row is None:
            continue
        before = first.setdefault(entry.sha256, number)
        if before != number:
            pairs.append(Pair(before, number, "bytes", 1.0))
        else:
            different.append(number)
    pixels = pictures.small if len(different) == len(pictures.small) else pictures.small[different]
    for pair in find_duplicates(pixels):
        pairs.append(Pair(different[pair.first], different[pair.second], pair.kind, pair.score))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def clusters_of(copies: Sequence[Pair], records: Sequence[Record]) -> list[str]:
    """A name for each record: equal for those joined by copies or by a cluster that is given, "" for the others."""
    joined = chain(((copy.first, copy.second) for copy in copies), equal_pairs(record.cluster for record in records))
    lowest = first_joined(joined, len(records)).tolist()
    sizes = Counter(lowest)
    return [f"c{number}" if sizes[number] > 1 else "" for number in lowest]


def copy_findings(reading: Reading, copies: Sequence[Pair]) -> Iterator[Sighting]:
    """The copies, those whose labels differ marked, and those that the given split tears apart."""
    sides = [_side(record.split) for record in reading.records]
    for copy in copies:
        pair = (copy.first, copy.second)
        one, other = (reading.records[number] for number in pair)
        rows = tuple(reading.rows[number] for number in pair)
        files = (str(one.path), str(other.path))
        names = f"{one.path.name} and {other.path.name}"
        kind = KINDS.get(copy.kind, "copy-near")
        detail = f"{names}: {copy.kind}, likeness {copy.score:.3f}" if kind == "copy-near" else names
        yield kind, Place(rows, "path", files, detail)
        differing = differing_labels(one, other)
        if differing:
            yield "conflict", Place(rows, differing[0].split()[0], files, f"{names}: {'; '.join(differing)}")
        apart = sides[copy.first] and sides[copy.second] and sides[copy.first] != sides[copy.second]
        if apart and copy.kind != "bytes":
            yield "torn-copies", Place(rows, "split", files, f"{names}: {one.split} and {other.split}")


def differing_labels(one: Record, other: Record) -> list[str]:
    """What two records of one picture say differently, where both say something: "grade 1 and 2"."""
    columns = ["dme", "quality", *LESIONS]
    if one.scale == other.scale:
        columns = ["grade", *columns]
    pairs = [(name, getattr(one, name), getattr(other, name)) for name in columns]
    return [f"{name} {a} and {b}" for name, a, b in pairs if a not in (None, "") and b not in (None, "") and a != b]


def torn_findings(reading: Reading, sha256: Sequence[str]) -> Iterator[Sighting]:
    """Groups that training would refuse because given roles tear them, and fellow eyes by their names alone."""
    sides = [_side(record.split) for record in reading.records]
    if not any(sides):
        return
    groups = find_groups(reading.records, sha256, "patient")
    torn = set()
    for group, members in _members(groups).items():
        if len({sides[number] for number in members} - {""}) > 1:
            torn.add(group)
            yield "torn", _place(reading, [number for number in members if sides[number]])
    fellows = [fellow_key(record) if not record.patient else "" for record in reading.records]
    for key, members in _members(fellows).items():
        apart = len({sides[number] for number in members} - {""}) > 1
        if key and apart and not any(groups[number] in torn for number in members):
            yield "torn-eyes", _place(reading, [number for number in members if sides[number]])


def _place(reading: Reading, members: Sequence[int]) -> Place:
    records = [reading.records[number] for number in members]
    files = ", ".join(f"{record.path.name} {record.split}" for record in records[:4])
    whose = f"patient '{records[0].patient}': " if records[0].patient else ""
    rows = tuple(reading.rows[number] for number in members)
    return Place(
        rows, "split", tuple(str(r.path) for r in records), whose + files + (", ..." if len(records) > 4 else "")
    )


def _members(names: Sequence[str]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(names):
        members[name].append(number)
    return members


def _side(role: str) -> str:
    """The side of the border that a given role stands on; "" where it stands on none."""
    if role in ("", "unused"):
        return ""
    return "train" if role == "unlabeled" else role.removeprefix("unlabeled-")
