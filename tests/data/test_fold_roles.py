"""Folds, the shares of strata, and that no patient, exam or picture is ever separated: on drawn manifests."""

import hashlib
import math
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from semiretina.data.roles import given_test
from semiretina.data.split import Split, find_groups, kept_out, read_split, torn_groups
from semiretina.errors import Refused
from semiretina.records import Record
from semiretina.tasks import TASKS
from splits import make_split

DR = {"dr": TASKS["dr"]("icdr")}
SEVERITY = {"severity": TASKS["severity"]("icdr")}
SIDES = {"unlabeled": "train", "unlabeled-val": "val", "unlabeled-test": "test"}


def photograph(number: int, **values) -> Record:
    values |= {"scale": "icdr"} if values.get("grade") is not None else {}
    return Record(path=Path(f"/photographs/{number}.jpg"), **values)


def hashes(count: int) -> list[str]:
    return [f"{number:064x}" for number in range(count)]


def drawn_manifest(number: int) -> tuple[list[Record], list[str]]:
    """A manifest with patients, exams, clusters and identical pictures that overlap, over two data sets."""
    random = np.random.default_rng(number)
    count = int(random.integers(1, 40))

    def name(prefix: str, most: int, known: float) -> str:
        return f"{prefix}{random.integers(most)}" if random.random() < known else ""

    records, sha256 = [], []
    people, likeness, copies = random.integers(1, 20), random.choice([0, 0.1, 0.4]), random.choice([0.5, 1, 4])
    for row in range(count):
        records.append(
            photograph(
                row,
                dataset=str(random.choice(["", "other"])),
                site=str(random.choice(["a", "b", "c"])),
                patient=name("p", people, 0.8),
                exam=name("e", 2 * people, 0.3),
                cluster=name("c", count, likeness),
                grade=[None, 0, 0, 1, 2, 4][random.integers(6)],
                quality=str(random.choice(["", "", "", "ungradable"])),
            )
        )
        sha256.append(f"{random.integers(1 + int(count * copies)):064x}")
    return records, sha256


def assert_nothing_is_torn(split: Split, by: str) -> None:
    """By the columns alone: each value stands on one side."""
    columns = {"picture": split.sha256, "cluster": [r.cluster for r in split.records]}
    if by == "patient":
        columns["patient"] = [r.patient and f"{r.dataset}|{r.patient}" for r in split.records]
        columns["exam"] = [r.exam and f"{r.dataset}|{r.exam}" for r in split.records]
    for column, names in columns.items():
        sides = defaultdict(set)
        for name, role in zip(names, split.roles, strict=True):
            if name and role != "unused":
                sides[name].add(SIDES.get(role, role))
        assert all(len(found) == 1 for found in sides.values()), (column, dict(sides))


@pytest.mark.slow
def test_a_thousand_manifests_of_which_nothing_is_torn():
    tried = Counter()
    for number in range(1000):
        records, sha256 = drawn_manifest(number)
        by = ("patient", "photograph")[number % 2]
        known = {"seed": number, "split_seed": number // 3, "by": by, "split_unlabeled": number % 3 == 0}
        assert_nothing_is_torn(make_split(records, sha256, DR, **known), by)
        count = 2 + number % 2
        tested = Counter()
        for fold in range(count):
            split = make_split(records, sha256, DR, **known, folds=count, fold=fold)
            assert_nothing_is_torn(split, by)
            tested.update(split.rows("test").tolist())
        labelled = [row for row, r in enumerate(records) if r.grade is not None and r.quality != "ungradable"]
        assert tested == Counter(labelled)
        tried[len(set(split.groups)) < len(records)] += 1
    assert tried[True] > 900  # that groups were there to be torn


@pytest.mark.parametrize("column", ["patient", "exam", "cluster"])
def test_whatever_the_grouping_column_a_fold_never_separates_it(column):
    records = [photograph(n, site="ab"[n % 2], grade=n % 3, **{column: f"x{n // 4}"}) for n in range(80)]
    by = "photograph" if column == "cluster" else "patient"
    for fold in range(5):
        split = make_split(records, hashes(80), DR, seed=1, folds=5, fold=fold, by=by)
        assert_nothing_is_torn(split, by)
        assert Counter(n // 4 for n in split.rows("test")) == dict.fromkeys({n // 4 for n in split.rows("test")}, 4)
        assert split.counts["test"] == 16


def strata(records: list[Record], rows) -> Counter:
    return Counter((records[row].site, records[row].grade) for row in rows)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 0, 0, 1, 2, 3, 4])), min_size=1, max_size=150),
    st.integers(0, 1000),
    st.integers(2, 7),
)
@example([("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("c", 1)], 0, 3)
def test_strata_of_single_photographs_are_within_one_of_their_share_in_every_fold_and_role(pairs, seed, count):
    records = [photograph(n, site=site, grade=grade) for n, (site, grade) in enumerate(pairs)]
    everything, n = strata(records, range(len(records))), len(records)
    drawn = {"seed": seed, "split_seed": seed}
    whole = make_split(records, hashes(n), SEVERITY, **drawn)
    for role in ("train", "val", "test"):
        found = strata(records, whole.rows(role))
        for stratum, size in everything.items():
            assert abs(found[stratum] - size * whole.counts[role] / n) < 1, (role, stratum)
    for fold in range(count):
        split = make_split(records, hashes(n), SEVERITY, **drawn, folds=count, fold=fold)
        assert split.counts["test"] in (n // count, math.ceil(n / count))
        tested = strata(records, split.rows("test"))
        for stratum, size in everything.items():
            assert tested[stratum] in (size // count, math.ceil(size / count))


def test_pairs_of_eyes_fill_equal_folds():
    # Two hundred patients, of whom every second is ill in both eyes.
    records = [photograph(n, patient=str(n // 2), grade=2 * (n // 2 % 2), site="ab"[n // 4 % 2]) for n in range(400)]
    for fold in range(5):
        split = make_split(records, hashes(400), DR, seed=0, folds=5, fold=fold)
        assert split.counts == {"train": 240, "val": 80, "test": 80, "unlabeled": 0, "unused": 0}
        assert set(strata(records, split.rows("test")).values()) == {20}


def test_only_judged_photographs_are_tested_and_each_once():
    records = [photograph(n, dataset="one" if n % 3 else "two", grade=n % 2, patient=str(n)) for n in range(90)]
    splits = [
        make_split(records, hashes(90), DR, seed=0, folds=3, fold=fold, evaluate=["one"], labels=10)
        for fold in range(3)
    ]
    assert Counter(int(row) for split in splits for row in split.rows("test")) == Counter(n for n in range(90) if n % 3)
    for split in splits:
        assert {records[row].dataset for row in split.rows("val")} == {"one"}
        assert sum(records[row].dataset == "two" for row in split.rows("train")) == 30
        assert split.counts["train"] == 40


def test_given_roles_train_and_unlabeled_are_never_tested():
    records = [photograph(n, patient=str(n // 2), grade=n // 2 % 2) for n in range(100)]
    records = [replace(r, split="train" if n < 10 else "unlabeled" if n < 20 else "") for n, r in enumerate(records)]
    records[20] = replace(records[20], split="train")  # of a pair: the other follows
    tested = Counter()
    for fold in range(4):
        split = make_split(records, hashes(100), DR, seed=0, folds=4, fold=fold)
        assert split.roles[:10] == ["train"] * 10
        assert split.roles[10:20] == ["unlabeled"] * 10
        tested.update(split.rows("test").tolist())
    assert tested == Counter(range(22, 100))


def test_a_given_test_set_stays_out_of_the_folds_with_its_groups():
    # Of patient 0 one photograph is given to test; of patients 1 and 2 both, of whom 2 has no label, and 3 none.
    given = {0: "test", 2: "test", 3: "test", 4: "test", 5: "test"}
    records = [photograph(n, patient=str(n // 2), grade=None if n in (4, 5, 7) else n % 3) for n in range(60)]
    records = [replace(r, split=given.get(n, "")) for n, r in enumerate(records)]
    records[3] = replace(records[3], quality="ungradable")
    tested = Counter()
    for fold in range(5):
        split = make_split(records, hashes(60), DR, seed=0, folds=5, fold=fold, split_unlabeled=True)
        assert split.roles[:6] == ["unused"] * 6
        assert split.ungradable("test").tolist() == []  # that of the given test set is not this fold's
        tested.update(split.rows("test").tolist())
        said = (
            "5 photographs that the manifest gives the role test stay out of the folds, with 1 of the same patients, "
        )
        assert kept_out(split) == said + "exams or pictures"
    assert tested == Counter({6, *range(8, 60)})
    # They are what a run without folds tests.
    split = make_split(records, hashes(60), DR, seed=0)
    assert split.rows("test").tolist() == [0, 1, 2] == given_test(records, split.groups, DR)
    assert split.ungradable("test").tolist() == [3]
    one = [replace(records[0], patient="", split="test"), *(replace(r, split="") for r in records[6:])]
    split = make_split(one, hashes(55), DR, seed=0, folds=2)
    assert kept_out(split) == "1 photograph that the manifest gives the role test stays out of the folds"
    assert kept_out(make_split(one[1:], hashes(54), DR, seed=0, folds=2)) == ""


def test_what_a_given_test_set_tests_is_known_without_drawing():
    seen = 0
    for number in range(60):
        records, sha256 = drawn_manifest(number)
        groups = find_groups(records, sha256, "patient")
        chosen = set(groups[::3])
        records = [
            replace(r, split=("test", "", "unused")[(row + number) % 3] if group in chosen else "")
            for row, (r, group) in enumerate(zip(records, groups, strict=True))
        ]
        if not any(record.split == "test" for record in records):
            continue
        expected = make_split(records, sha256, DR, seed=number).rows("test").tolist()
        assert given_test(records, groups, DR) == expected
        fold = make_split(records, sha256, DR, seed=number, folds=2)
        assert not {*expected} & {*fold.rows("train", "val", "test", "unlabeled").tolist()}
        seen += len(expected) > 0
    assert seen > 30


def test_folds_depend_on_split_seed_alone_and_each_has_its_own_hash():
    records = [photograph(n, grade=n % 2, patient=str(n // 2)) for n in range(60)]

    def lists(**drawn) -> list[str]:
        return [make_split(records, hashes(60), DR, **drawn, folds=5, fold=fold).test_sha256 for fold in range(5)]

    first = lists(seed=0)
    assert len(set(first)) == 5
    assert lists(seed=1, val=0.1) == first
    assert not set(lists(seed=0, split_seed=1)) & set(first)


def test_unlabelled_photographs_of_a_tested_patient_are_unused_in_that_fold_only():
    records = [photograph(n, patient=str(n // 2), grade=n // 2 % 2 if n % 2 else None) for n in range(40)]
    for fold in range(4):
        split = make_split(records, hashes(40), DR, seed=0, folds=4, fold=fold)
        for row in range(0, 40, 2):
            held = split.roles[row + 1] in ("val", "test")
            assert split.roles[row] == ("unused" if held else "unlabeled")
        assert not torn_groups(split)


def test_a_fold_that_was_edited_is_refused(tmp_path):
    records = [photograph(n, patient=str(n // 2), cluster=f"c{n // 4}", grade=n // 2 % 2) for n in range(40)]
    split = make_split(records, hashes(40), DR, seed=0, folds=5, fold=2)
    split.write(tmp_path / "split.csv")
    assert read_split(tmp_path / "split.csv", "patient") == split
    row = int(split.rows("train")[0])
    moved = [
        replace(r, cluster=records[split.rows("test")[0]].cluster) if n == row else r for n, r in enumerate(records)
    ]
    replace(split, records=moved).write(tmp_path / "split.csv")
    with pytest.raises(Refused, match="test and train"):
        read_split(tmp_path / "split.csv")


def test_splits_without_folds_or_clusters_stay_what_they_were():
    """Hashes of the roles that version 0.1.0 drew, before folds and clusters: runs must go on with their own."""
    records = [
        Record(
            path=Path(f"/p/{n}.jpg"),
            dataset="one" if n % 5 else "two",
            site="abc"[n * n % 3],
            patient=str(n // 2) if n % 7 else "",
            exam=str(n // 9) if n % 11 == 0 else "",
            scale="icdr" if n % 4 else "",
            grade=n * n % 5 if n % 4 else None,
            quality="ungradable" if n % 29 == 0 else "",
        )
        for n in range(300)
    ]
    sha256 = [f"{n % 290:064x}" for n in range(300)]
    golden = {
        ("dr", 0): ["c7e77854065d", "59e9114ebee1", "2c25932013d6", "14a4f5ff4cf3"],
        ("dr", 1): ["0af36c1f61b8", "ee102ca07c41", "84b039f2af4c", "5e1ca775b5b3"],
        ("severity", 0): ["d98cb1a70075", "97724e5e140c", "d6cfc02dfde1", "92e4ce4f185b"],
        ("severity", 1): ["c7a0694635cc", "d34cfb38afe4", "ccc00be2e03d", "7957994a2186"],
    }
    several = [
        {},
        {"by": "photograph"},
        {"labels": 30, "evaluate": ["one"]},
        {"split_unlabeled": True, "test": 0.3, "val": 0.1},
    ]
    for (task, seed), wanted in golden.items():
        drawn = [
            make_split(records, sha256, {task: (DR | SEVERITY)[task]}, seed=seed, split_seed=3 * seed, **more)
            for more in several
        ]
        assert [hashlib.sha256(" ".join(split.roles).encode()).hexdigest()[:12] for split in drawn] == wanted
