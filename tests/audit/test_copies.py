"""Copies among photographs, their labels, and splits that tear them apart."""

from pathlib import Path

from semiretina.audit.copies import clusters_of, copy_findings, differing_labels, torn_findings
from semiretina.data.same_pictures import Pair
from semiretina.records import Reading, Record


def reading(*rows: dict) -> Reading:
    records = [Record(**{"path": Path(f"/p/{n}.jpg"), **row}) for n, row in enumerate(rows)]
    return Reading(records, list(range(2, 2 + len(rows))), [record.path.name for record in records])


def found(rows, copies=(), sha256=None):
    own = reading(*rows)
    return [*copy_findings(own, copies), *torn_findings(own, sha256 or [""] * len(rows))]


def test_clusters_join_chains_and_leave_the_rest_unnamed():
    copies = [Pair(4, 5, "copy", 0.9), Pair(1, 3, "bytes", 1.0), Pair(3, 4, "identical", 1.0)]
    plain = [Record(path=Path(str(number))) for number in range(7)]
    assert clusters_of(copies, plain) == ["", "c1", "", "c1", "c1", "c1", ""]
    assert clusters_of([], plain) == [""] * 7
    # Clusters that the manifest gives are kept, and joined where a copy joins them.
    given = [
        Record(path=Path(str(n)), cluster=name) for n, name in enumerate(["", "", "mine", "mine", "", "", "alone"])
    ]
    assert clusters_of(copies, given) == ["", "c1", "c1", "c1", "c1", "c1", ""]


def test_conflicting_labels_are_those_that_both_state():
    one = Record(path=Path("a"), scale="icdr", grade=1, dme=0, MA=1)
    assert differing_labels(one, Record(path=Path("b"), scale="icdr", grade=2, dme=0, MA=0)) == [
        "grade 1 and 2",
        "MA 1 and 0",
    ]
    assert differing_labels(one, Record(path=Path("b"), scale="messidor", grade=2)) == []
    assert differing_labels(one, Record(path=Path("b"))) == []


def test_a_copy_is_named_with_its_rows_and_a_conflict_marked():
    rows = [{"scale": "icdr", "grade": 0}, {}, {"scale": "icdr", "grade": 3}]
    kinds = found(rows, [Pair(0, 2, "copy", 0.97), Pair(0, 1, "bytes", 1.0)])
    assert [(kind, place.rows, place.column) for kind, place in kinds] == [
        ("copy-near", (2, 4), "path"),
        ("conflict", (2, 4), "grade"),
        ("copy-bytes", (2, 3), "path"),
    ]
    assert kinds[0][1].detail == "0.jpg and 2.jpg: copy, likeness 0.970"
    assert kinds[1][1].detail == "0.jpg and 2.jpg: grade 0 and 3"


def test_copies_and_groups_that_the_given_split_tears():
    rows = [{"split": "train"}, {"split": "test"}, {"split": "unlabeled"}, {"split": "unused"}, {"split": "val"}]
    copies = [Pair(0, 1, "copy", 0.9), Pair(0, 2, "copy", 0.9), Pair(0, 3, "copy", 0.9), Pair(0, 4, "bytes", 1.0)]
    kinds = found(rows, copies, ["same", "b", "c", "d", "same"])
    assert [(kind, place.rows) for kind, place in kinds if kind.startswith("torn")] == [
        ("torn-copies", (2, 3)),
        ("torn", (2, 6)),  # the same file; training refuses it
    ]


def test_fellow_eyes_by_their_names():
    rows = [
        {"path": Path("/p/12_left.jpg"), "split": "train"},
        {"path": Path("/p/12_right.jpg"), "split": "test"},
        {"path": Path("/p/13_left.jpg"), "split": "train"},
        {"path": Path("/p/14_right.jpg"), "split": "test"},
        {"path": Path("/p/15_left.jpg"), "split": "train", "patient": "a"},
        {"path": Path("/p/15_right.jpg"), "split": "test", "patient": "b"},
        {"path": Path("/p/20161025_OD.jpg"), "split": "val"},
        {"path": Path("/p/20161025_OS.jpg"), "split": "unlabeled"},
        {"path": Path("/p/model.jpg"), "split": "val"},
        {"path": Path("/p/mode.jpg"), "split": "train"},
    ]
    assert [(kind, place.rows) for kind, place in found(rows)] == [("torn-eyes", (2, 3)), ("torn-eyes", (8, 9))]


def test_no_given_split_tears_nothing():
    assert found([{"patient": "a"}, {"patient": "a"}]) == []
