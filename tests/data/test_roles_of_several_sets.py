"""The split over several data sets: which are judged, and the unlabelled set's own held-out shares."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semiretina.data.split import read_split, torn_groups
from semiretina.errors import BadData
from semiretina.records import Record
from semiretina.tasks import make_tasks
from splits import make_split


def record(number, dataset="messidor", **known):
    return Record(path=Path(f"/p/{dataset}-{number}.jpg"), dataset=dataset, **known)


def graded(count, dataset="messidor", **known):
    return [record(n, dataset, scale="icdr", grade=2 * (n % 2), site=f"s{n % 3}", **known) for n in range(count)]


def split_of(records, **settings):
    return make_split(records, [str(r.path) for r in records], make_tasks(["dr"], records), **({"seed": 0} | settings))


def test_the_papers_numbers_of_both_sets():
    # 1187 labelled: 238 tested (20 % rounded up), 237 validated; 690 unlabelled: 414, 138 and 138 (readings, row 3).
    records = graded(1187) + [record(n, "messidor-extension", site="s2") for n in range(690)]
    assert split_of(records, by="photograph", split_unlabeled=True).counts == {
        **{"train": 712, "val": 237, "test": 238},
        **{"unlabeled": 414, "unlabeled-val": 138, "unlabeled-test": 138, "unused": 0},
    }
    assert split_of(records, by="photograph").counts["unlabeled"] == 690


def test_the_unlabeled_test_set_stays_when_the_seed_moves():
    records = graded(40) + [record(n, "more") for n in range(60)]
    first, second = (split_of(records, seed=seed, split_unlabeled=True) for seed in (0, 1))
    assert first.rows("unlabeled-test").tolist() == second.rows("unlabeled-test").tolist()
    assert first.rows("unlabeled-val").tolist() != second.rows("unlabeled-val").tolist()


@given(
    labeled=st.integers(10, 40),
    unlabeled=st.integers(0, 40),
    patients=st.integers(3, 30),
    seed=st.integers(0, 3),
    labels=st.sampled_from(["all", 4]),
)
def test_no_patient_is_on_two_sides(labeled, unlabeled, patients, seed, labels):
    records = graded(labeled) + [record(n, "messidor") for n in range(1000, 1000 + unlabeled)]
    records = [replace(r, patient=f"p{n % patients}") for n, r in enumerate(records)]
    split = split_of(records, seed=seed, split_unlabeled=True, labels="all")
    assert not torn_groups(split)
    assert sum(split.counts.values()) == len(records)
    known = [r.grade is not None for r in records]
    for role in ("train", "val", "test"):
        assert all(known[row] for row in split.rows(role))
    assert not any(known[row] for row in split.rows("unlabeled", "unlabeled-val", "unlabeled-test"))


def test_only_the_judged_sets_are_held_out_and_cut():
    records = graded(100, "eyepacs") + graded(50, "messidor")
    split = split_of(records, evaluate=["messidor"], labels=12)
    roles = Counter((r.dataset, role) for r, role in zip(split.records, split.roles, strict=True))
    assert roles["eyepacs", "train"] == 100
    assert roles["messidor", "test"] == 10
    assert roles["messidor", "train"] == 12
    assert roles["messidor", "unlabeled"] == 50 - 10 - 10 - 12
    assert not any(roles["eyepacs", role] for role in ("val", "test", "unlabeled"))


def test_a_picture_of_a_judged_patient_in_another_set_does_not_train():
    records = graded(20, "messidor")
    twins = [replace(r, path=Path(f"/q/{n}.jpg"), dataset="eyepacs") for n, r in enumerate(records)]
    same = [str(r.path) for r in records]  # the same bytes in both sets
    split = make_split(
        records + twins, same + same, make_tasks(["dr"], records), seed=0, by="photograph", evaluate=["messidor"]
    )
    role = dict(zip([r.path for r in split.records], split.roles, strict=True))
    for own, twin in zip(records, twins, strict=True):
        assert role[twin.path] == ("train" if role[own.path] == "train" else "unused")


def test_a_given_unlabeled_role_is_kept_and_written(tmp_path):
    records = graded(20) + [record(n, split="unlabeled-test") for n in range(30, 34)] + [record(40)]
    split = split_of(records, split_unlabeled=True)
    assert split.counts["unlabeled-test"] == 4
    split.write(tmp_path / "split.csv")
    assert read_split(tmp_path / "split.csv").roles == split.roles


def test_a_patient_in_a_given_unlabeled_test_set_does_not_train():
    records = [*graded(20), record(30, patient="p", split="unlabeled-test")]
    records.append(record(31, patient="p", scale="icdr", grade=2))
    assert split_of(records).roles[-1] == "unused"
    torn = [replace(r, split="train") if r.grade is not None and r.patient else r for r in records]
    with pytest.raises(BadData, match="torn apart"):
        split_of(torn)


def test_a_given_role_unlabeled_is_not_held_out():
    records = graded(20) + [record(n, split="unlabeled") for n in range(30, 50)]
    assert split_of(records, split_unlabeled=True).counts["unlabeled"] == 20


def test_ungradable_photographs_take_no_share_of_the_held_out_ones():
    good = graded(20) + [record(n) for n in range(30, 80)]
    bad = [record(n, quality="ungradable") for n in range(80, 130)]
    counts = split_of(good + bad, split_unlabeled=True).counts
    assert counts == split_of(good, split_unlabeled=True).counts | {"unused": 50}
    assert counts["unlabeled-test"] == 10
