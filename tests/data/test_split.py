import math
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semiretina.config import Regrade
from semiretina.data.regrade import regrade
from semiretina.data.split import Split, find_groups, read_split, torn_groups
from semiretina.errors import BadConfig, BadData, MissingInput, Refused
from semiretina.records import ROLES, Record
from semiretina.tasks import TASKS
from splits import make_split

DR = {"dr": TASKS["dr"]("icdr")}
SEVERITY = {"severity": TASKS["severity"]("icdr")}


def photograph(number: int, **values) -> Record:
    if values.get("grade") is not None:
        values.setdefault("scale", "icdr")
    return Record(path=Path(f"/photographs/{number}.jpg"), **values)


def hashes(count: int) -> list[str]:
    return [f"{number:064x}" for number in range(count)]


def single(grades: list[int | None], sites: int = 1, **values) -> list[Record]:
    """Photographs that are each a group of their own."""
    return [
        photograph(n, grade=grade, site=f"site {n % sites}", patient=str(n), **values) for n, grade in enumerate(grades)
    ]


def clusters(records: list[Record], sha256: list[str], by: str) -> list[frozenset[int]]:
    """Groups as sets of rows, by growing each until nothing more touches it."""

    def touch(a: int, b: int) -> bool:
        one, two = records[a], records[b]
        if (sha256[a] and sha256[a] == sha256[b]) or (one.cluster and one.cluster == two.cluster):
            return True
        same = [getattr(one, key) and getattr(one, key) == getattr(two, key) for key in ("patient", "exam")]
        return by == "patient" and one.dataset == two.dataset and any(same)

    left = set(range(len(records)))
    found = []
    while left:
        group = {left.pop()}
        grown = True
        while grown:
            more = {b for b in left if any(touch(a, b) for a in group)}
            grown = bool(more)
            group |= more
            left -= more
        found.append(frozenset(group))
    return found


@st.composite
def manifests(draw, *, roles: bool = False, most: int = 24) -> tuple[list[Record], list[str]]:
    """Small manifests with patients, exams, identical pictures, sites, unlabelled and ungradable photographs."""
    count = draw(st.integers(1, most))
    records, sha256 = [], []
    for number in range(count):
        records.append(
            photograph(
                number,
                dataset=draw(st.sampled_from(["", "other"])),
                site=draw(st.sampled_from(["a", "b", "c"])),
                patient=draw(st.sampled_from(["", "1", "2", "3", "4", "5", "6"])),
                exam=draw(st.sampled_from(["", "", "x", "y"])),
                cluster=draw(st.sampled_from(["", "", "", "", "k", "l"])),
                grade=draw(st.sampled_from([None, 0, 0, 1, 2, 4])),
                quality=draw(st.sampled_from(["", "gradable", "gradable", "ungradable"])),
            )
        )
        picture = draw(st.integers(0, 2 * count))
        sha256.append("" if picture == 0 else f"{picture:064x}")
    if roles:
        for group in clusters(records, sha256, "patient"):
            side = draw(st.sampled_from(["", "train", "val", "test"]))
            for row in group:
                own = [side, "", "unused"] + (["unlabeled"] if side == "train" else [])
                records[row] = replace(records[row], split=draw(st.sampled_from(own)))
    return records, sha256


settled = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 5),
        "split_seed": st.integers(0, 5),
        "test": st.sampled_from([0.0, 0.2, 0.5]),
        "val": st.sampled_from([0.0, 0.2, 0.4]),
        "by": st.sampled_from(["patient", "photograph"]),
    }
)


def has_label(record: Record) -> bool:
    return record.grade is not None and record.quality != "ungradable"


# What holds for every manifest


@settings(max_examples=100, deadline=None)
@given(manifests(), settled)
def test_no_group_is_torn_and_every_row_has_its_role(made, given_settings):
    records, sha256 = made
    split = make_split(records, sha256, DR, **given_settings)
    assert len(split.roles) == len(records)
    sides = {"train": "train", "unlabeled": "train", "val": "val", "test": "test"}
    for group in clusters(records, sha256, given_settings["by"]):
        assert len({sides[split.roles[row]] for row in group if split.roles[row] != "unused"}) <= 1
        assert len({split.groups[row] for row in group}) == 1
        held = any(split.roles[row] in ("val", "test") for row in group)
        for row in group:
            record, role = records[row], split.roles[row]
            if has_label(record):
                assert role in ("train", "val", "test")
            elif record.quality == "ungradable" or held:
                assert role == "unused"
            else:
                assert role == "unlabeled"
    assert len(set(split.groups)) == len(clusters(records, sha256, given_settings["by"]))
    shown = [role for role in ROLES if not role.startswith("unlabeled-")]  # nothing unlabelled was to be held out
    assert split.counts == {role: split.roles.count(role) for role in shown}
    assert sum(split.counts.values()) == len(records)
    labelled = sum(map(has_label, records))
    assert split.counts["test"] <= math.ceil(given_settings["test"] * labelled)
    assert split.counts["val"] <= round(given_settings["val"] * labelled)
    assert torn_groups(split) == []


@settings(max_examples=50, deadline=None)
@given(manifests(roles=True), settled)
def test_given_roles_are_kept(made, given_settings):
    records, sha256 = made
    given_settings["by"] = "patient"
    split = make_split(records, sha256, DR, **given_settings)
    given = [record.split for record in records]
    for group in clusters(records, sha256, "patient"):
        side = {given[row] for row in group} - {"", "unused"}
        side = {"train"} if side & {"train", "unlabeled"} else side
        for row in group:
            record, role = records[row], split.roles[row]
            if record.quality == "ungradable" or given[row] == "unused":
                assert role == "unused"
            elif given[row] == "unlabeled":
                assert role == "unlabeled"
            elif has_label(record):
                assert role == given[row] or not given[row]
                if side:  # the others of a group follow
                    assert {role} == side
            else:
                assert role in ("unlabeled", "unused")
            if not side and role in ("val", "test"):
                assert role not in given  # nothing is drawn beside a given set
    assert torn_groups(split) == []


@settings(max_examples=30, deadline=None)
@given(manifests(), settled, st.integers(0, 1000))
def test_the_same_arguments_give_the_same_split_and_the_test_set_depends_on_split_seed_only(made, given_settings, seed):
    records, sha256 = made
    split = make_split(records, sha256, DR, **given_settings)
    assert make_split(list(records), list(sha256), dict(DR), **given_settings) == split
    other = make_split(records, sha256, DR, **{**given_settings, "seed": seed, "val": 0.3})
    assert other.rows("test").tolist() == split.rows("test").tolist()
    assert other.test_sha256 == split.test_sha256


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(manifests(roles=True), settled)
def test_write_and_read(tmp_path, made, given_settings):
    records, sha256 = made
    given_settings["by"] = "patient"
    split = make_split(records, sha256, DR, **given_settings)
    split.write(tmp_path / "run" / "split.csv")
    again = read_split(tmp_path / "run" / "split.csv")
    assert again == split
    assert again.test_sha256 == split.test_sha256


@settings(max_examples=40, deadline=None)
@given(manifests(most=30), st.integers(0, 3), st.data())
def test_a_budget_is_exact_and_its_labels_are_among_a_larger_ones(made, seed, data):
    records, sha256 = made
    whole = make_split(records, sha256, DR, seed=seed)
    train, val = whole.counts["train"], whole.counts["val"]
    if not train:
        with pytest.raises(BadConfig):
            make_split(records, sha256, DR, seed=seed, labels=1)
        return
    more = data.draw(st.integers(1, train))
    fewer = data.draw(st.integers(1, more))
    large, small = (make_split(records, sha256, DR, seed=seed, labels=budget) for budget in (more, fewer))
    for split, budget in ((large, more), (small, fewer)):
        assert split.counts["train"] == budget
        assert split.counts["val"] == round(budget * val / train)
        assert split.counts["unlabeled"] == whole.counts["unlabeled"] + train - budget
        assert split.counts["unused"] == whole.counts["unused"] + val - split.counts["val"]
        assert split.rows("test").tolist() == whole.rows("test").tolist()
        for before, after in zip(whole.roles, split.roles, strict=True):
            assert after == before or (before, after) in (("train", "unlabeled"), ("val", "unused"))
    for role in ("train", "val"):
        assert set(small.rows(role)) <= set(large.rows(role)) <= set(whole.rows(role))


# Counts and strata


@pytest.mark.parametrize(
    ("count", "train", "val", "test"),
    [
        (1187, 712, 237, 238),
        (1200, 720, 240, 240),
        (690, 414, 138, 138),
        (1, 0, 0, 1),
        (2, 1, 0, 1),
        (3, 1, 1, 1),
        (5, 3, 1, 1),
    ],
)
@pytest.mark.parametrize("by", ["patient", "photograph"])
def test_the_papers_counts(count, train, val, test, by):
    records = single([n % 4 for n in range(count)], sites=3)
    split = make_split(records, hashes(count), DR, seed=1, by=by)
    assert split.counts == {"train": train, "val": val, "test": test, "unlabeled": 0, "unused": 0}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 2, 4]), min_size=1, max_size=150),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from([DR, SEVERITY]),
)
def test_strata_are_within_one_photograph_of_their_share(grades, sites, seed, tasks):
    records = single(grades, sites)
    count = len(records)
    split = make_split(records, hashes(count), tasks, seed=seed, split_seed=seed)
    assert split.counts["test"] == math.ceil(count / 5)
    assert split.counts["val"] == round(count / 5)

    def sizes(*roles: str) -> Counter:
        label = (lambda grade: grade > 0) if tasks is DR else (lambda grade: grade)
        return Counter((records[row].site, label(records[row].grade)) for row in split.rows(*roles))

    everything, free = sizes("train", "val", "test"), sizes("train", "val")
    for stratum, size in everything.items():
        assert abs(sizes("test")[stratum] - size * split.counts["test"] / count) < 1
    for stratum, size in free.items():
        assert abs(sizes("val")[stratum] - size * split.counts["val"] / sum(free.values())) < 1


def test_rounding_goes_to_the_largest_remainder():
    # Of 18, 1 and 1 photographs 3.6, 0.2 and 0.2 are tested.
    records = [photograph(n, patient=str(n), grade=0, site="z" if n < 18 else str(n)) for n in range(20)]
    for split_seed in range(5):
        split = make_split(records, hashes(20), DR, seed=0, split_seed=split_seed)
        assert {records[row].site for row in split.rows("test")} == {"z"}


def test_a_budget_keeps_the_strata():
    records = single([0] * 300 + [2] * 150 + [4] * 50, sites=1)
    split = make_split(records, hashes(500), SEVERITY, seed=0, labels=40)
    # Training: 300 of 500, so 180 / 90 / 30; of 40 labels 24 / 12 / 4. Validation: a third of that, 13.
    assert Counter(records[row].grade for row in split.rows("train")) == {0: 24, 2: 12, 4: 4}
    assert split.counts["val"] == 13
    assert Counter(records[row].grade for row in split.rows("val"))[0] == 8


def test_pairs_of_eyes_fill_the_shares_and_keep_the_strata():
    records = [photograph(n, patient=str(n // 2), grade=(0, 0, 2, 3)[n % 4], site="ab"[n // 4 % 2]) for n in range(400)]
    split = make_split(records, hashes(400), DR, seed=3)
    assert split.counts == {"train": 240, "val": 80, "test": 80, "unlabeled": 0, "unused": 0}
    for role, each in (("test", 20), ("val", 20), ("train", 60)):
        strata = Counter((records[row].site, records[row].grade > 0) for row in split.rows(role))
        assert set(strata.values()) == {each}
        assert len(strata) == 4


def test_patients_with_several_photographs_are_tested_no_more_than_others():
    # Forty patients with two photographs and 120 with one: pairs are 40 % of the photographs, in whatever role.
    records = [photograph(n, patient=str(n // 2 if n < 80 else n), grade=n // 2 % 2) for n in range(200)]
    shares = []
    for seed in range(30):
        split = make_split(records, hashes(200), DR, seed=seed, split_seed=seed)
        assert split.counts == {"train": 120, "val": 40, "test": 40, "unlabeled": 0, "unused": 0}
        shares.append([np.mean(split.rows(role) < 80) for role in ("train", "val", "test")])
    assert np.mean(shares, axis=0) == pytest.approx([0.4, 0.4, 0.4], abs=0.04)


def test_shares_of_zero_draw_nothing():
    split = make_split(single([0, 1] * 10), hashes(20), DR, seed=0, val=0.0)
    assert split.counts == {"train": 16, "val": 0, "test": 4, "unlabeled": 0, "unused": 0}
    split = make_split(single([0, 1] * 10), hashes(20), DR, seed=0, val=0.0, test=0.0, labels=7)
    assert split.counts == {"train": 7, "val": 0, "test": 0, "unlabeled": 13, "unused": 0}


def test_all_photographs_of_one_patient_train():
    records = [photograph(n, patient="1", grade=n % 2) for n in range(10)]
    assert make_split(records, hashes(10), DR, seed=0).counts["train"] == 10


def test_no_labels_at_all():
    split = make_split(single([None] * 6), hashes(6), DR, seed=0)
    assert split.counts == {"train": 0, "val": 0, "test": 0, "unlabeled": 6, "unused": 0}
    assert make_split([], [], DR, seed=0).roles == []


# Seeds


def test_train_and_val_are_drawn_by_seed_and_test_by_split_seed():
    records, sha256 = single([0, 1] * 50, sites=2), hashes(100)
    first = make_split(records, sha256, DR, seed=0)
    second = make_split(records, sha256, DR, seed=1)
    third = make_split(records, sha256, DR, seed=0, split_seed=1)
    assert first.rows("test").tolist() == second.rows("test").tolist()
    assert first.test_sha256 == second.test_sha256
    assert first.rows("val").tolist() != second.rows("val").tolist()
    assert first.rows("train").tolist() != second.rows("train").tolist()
    assert first.rows("test").tolist() != third.rows("test").tolist()
    assert first.test_sha256 != third.test_sha256


def test_labels_are_drawn_by_seed_and_do_not_move_the_test_set():
    records, sha256 = single([0, 1] * 100), hashes(200)
    splits = [make_split(records, sha256, DR, seed=seed, labels=20) for seed in (0, 1)]
    assert splits[0].rows("train").tolist() != splits[1].rows("train").tolist()
    assert splits[0].test_sha256 == splits[1].test_sha256


def test_every_photograph_is_tested_at_some_time():
    records, sha256 = single([0, 1] * 10), hashes(20)
    times = Counter(
        row for seed in range(100) for row in make_split(records, sha256, DR, seed=0, split_seed=seed).rows("test")
    )
    # 4 of 20 in each of 100 draws: binomial, mean 20, standard deviation 4.
    assert sum(times.values()) == 400
    assert min(times[row] for row in range(20)) >= 4
    assert max(times.values()) <= 36


# Groups


def test_groups_join_where_patients_exams_and_pictures_overlap():
    records = [
        photograph(0, patient="1", exam="x"),
        photograph(1, patient="2", exam="x"),
        photograph(2, patient="2"),
        photograph(3),
        photograph(4, patient="1", dataset="other"),
        photograph(5),
        photograph(6),
    ]
    sha256 = ["a", "b", "c", "c", "d", "", ""]
    assert find_groups(records, sha256, "patient") == ["g0", "g0", "g0", "g0", "g4", "g5", "g6"]
    assert find_groups(records, sha256, "photograph") == ["g0", "g1", "g2", "g2", "g4", "g5", "g6"]
    # Nearly the same picture, also in another data set and whatever the split is by.
    records[0], records[4] = (replace(records[row], cluster="c") for row in (0, 4))
    assert find_groups(records, sha256, "patient") == ["g0", "g0", "g0", "g0", "g0", "g5", "g6"]
    assert find_groups(records, sha256, "photograph") == ["g0", "g1", "g2", "g2", "g0", "g5", "g6"]


@pytest.mark.parametrize("by", ["patient", "photograph"])
def test_the_papers_split_separates_fellow_eyes_but_never_identical_pictures(by):
    records = [photograph(n, patient=str(n // 2), grade=n % 2) for n in range(200)]
    sha256 = [f"{n // 4 if n % 4 in (0, 2) else n + 1000:064x}" for n in range(200)]  # rows 0 and 2 of every four
    split = make_split(records, sha256, DR, seed=0, by=by)
    apart: dict[str, int] = {}
    for name, keys in (("patient", [r.patient for r in records]), ("picture", sha256)):
        roles = defaultdict(set)
        for key, role in zip(keys, split.roles, strict=True):
            roles[key].add(role)
        apart[name] = sum(len(found) > 1 for found in roles.values())
    assert apart["picture"] == 0
    assert (apart["patient"] > 20) if by == "photograph" else (apart["patient"] == 0)


def test_an_unlabelled_photograph_of_a_held_out_patient_is_unused_and_counted():
    records = [photograph(n, patient=str(n // 2), grade=(n // 2) % 2 if n % 2 else None) for n in range(100)]
    split = make_split(records, hashes(100), DR, seed=0)
    assert split.counts == {"train": 30, "val": 10, "test": 10, "unlabeled": 30, "unused": 20}
    for row in split.rows("unused"):
        assert split.roles[row + 1] in ("val", "test")
    # The paper's split knows no patients.
    split = make_split(records, hashes(100), DR, seed=0, by="photograph")
    assert split.counts == {"train": 30, "val": 10, "test": 10, "unlabeled": 50, "unused": 0}


def test_ungradable_photographs_are_unused():
    records = single([0, 1] * 10) + [photograph(20 + n, quality="ungradable", grade=n) for n in range(4)]
    records.append(photograph(24, quality="ungradable", split="train", grade=1))
    split = make_split(records, hashes(25), DR, seed=0)
    assert split.rows("unused").tolist() == [20, 21, 22, 23, 24]
    assert split.counts["test"] == 4


def test_a_row_is_labelled_when_any_task_knows_it():
    records = [photograph(n, patient=str(n), **({"grade": 1} if n % 2 else {"dme": 2})) for n in range(20)]
    tasks = {**DR, "dme": TASKS["dme"]("icdr")}
    assert make_split(records, hashes(20), tasks, seed=0).counts["unlabeled"] == 0
    assert make_split(records, hashes(20), DR, seed=0).counts["unlabeled"] == 10


# Given roles


def test_given_test_rows_are_the_test_set_and_the_rest_is_drawn():
    records = single([0, 1] * 50)
    records = [replace(r, split="test") if n < 10 else r for n, r in enumerate(records)]
    split = make_split(records, hashes(100), DR, seed=0)
    assert split.rows("test").tolist() == list(range(10))
    assert split.counts["val"] == 20
    assert split.counts["train"] == 70


def test_everything_given():
    given = ["train", "val", "test", "unlabeled", "unused"] * 4
    records = [replace(r, split=role) for r, role in zip(single([0, 1] * 10), given, strict=True)]
    split = make_split(records, hashes(20), DR, seed=0)
    assert list(split.roles) == given
    everyone_trains = [replace(r, split="train") for r in records]
    assert make_split(everyone_trains, hashes(20), DR, seed=0).counts["train"] == 20


def test_the_fellow_eye_of_a_given_role_follows_it():
    records = [photograph(n, patient=str(n // 2), grade=1, split="train" if n in (0, 2, 4) else "") for n in range(20)]
    for split_seed in range(10):
        split = make_split(records, hashes(20), DR, seed=0, split_seed=split_seed, test=0.5)
        assert list(split.roles[:6]) == ["train"] * 6
    records = [replace(r, split="test" if n in (0, 2) else "") for n, r in enumerate(records)]
    assert make_split(records, hashes(20), DR, seed=0).rows("test").tolist() == [0, 1, 2, 3]


def test_labels_that_the_manifest_hides_stay_hidden():
    records = [replace(r, split="unlabeled" if n < 50 else "") for n, r in enumerate(single([0, 1] * 50))]
    split = make_split(records, hashes(100), DR, seed=0)
    assert split.rows("unlabeled").tolist() == list(range(50))
    assert (split.counts["test"], split.counts["val"]) == (10, 10)  # of the 50 whose labels count


@pytest.mark.parametrize(("one", "other"), [("train", "test"), ("unlabeled", "val"), ("val", "test")])
def test_given_roles_that_tear_a_group_apart(one, other):
    records = [photograph(0, patient="1", split=one), photograph(1, patient="1", split=other), photograph(2)]
    with pytest.raises(BadData, match=r"^column split: 1 groups .*0\.jpg, 1\.jpg; give .* one role"):
        make_split(records, hashes(3), DR, seed=0)
    assert make_split(records, hashes(3), DR, seed=0, by="photograph").groups == ["g0", "g1", "g2"]
    with pytest.raises(BadData, match="identical pictures"):
        make_split(records, ["a", "a", "b"], DR, seed=0, by="photograph")


def test_train_and_unlabeled_are_one_side():
    records = [photograph(0, patient="1", split="train", grade=1), photograph(1, patient="1", split="unlabeled")]
    assert list(make_split(records, hashes(2), DR, seed=0).roles) == ["train", "unlabeled"]


# Budgets


def test_budgets_for_one_seed_are_nested():
    records = single([0, 0, 1, 2, 4] * 60, sites=3)
    splits = {n: make_split(records, hashes(300), SEVERITY, seed=4, labels=n) for n in (5, 10, 20, 40, 80, 180)}
    for small, large in ((5, 10), (10, 20), (20, 40), (40, 80), (80, 180)):
        assert set(splits[small].rows("train")) < set(splits[large].rows("train"))
        assert set(splits[small].rows("val")) <= set(splits[large].rows("val"))
    assert splits[20].counts == {"train": 20, "val": 7, "test": 60, "unlabeled": 160, "unused": 53}
    assert splits[180].roles == make_split(records, hashes(300), SEVERITY, seed=4).roles


def test_budgets_are_nested_where_largest_remainders_are_not():
    # Strata of 1, 3 and 3: largest remainders give 1, 1, 1 of three labels but 0, 2, 2 of four.
    records = single([4, 0, 0, 0, 2, 2, 2])
    for seed in range(5):
        kept = [
            set(make_split(records, hashes(7), SEVERITY, seed=seed, test=0, val=0, labels=n).rows("train"))
            for n in range(1, 8)
        ]
        assert all(small < large for small, large in pairwise(kept))


def test_more_labels_than_there_are():
    with pytest.raises(BadConfig, match=r"data\.labels: 13 training labels were asked for, but there are 12"):
        make_split(single([0, 1] * 10), hashes(20), DR, seed=0, labels=13)
    with pytest.raises(BadConfig, match="but there are 0"):
        make_split(single([None] * 20), hashes(20), DR, seed=0, labels=1)


# The file


@pytest.fixture
def written(tmp_path) -> Path:
    records = [photograph(n, patient=str(n // 2), grade=n % 2) for n in range(20)]
    split = make_split(records, hashes(20), DR, seed=0)
    split.write(tmp_path / "split.csv")
    return tmp_path / "split.csv"


def rewrite(file: Path, split: Split, row: int, role: str) -> None:
    replace(split, roles=[role if n == row else old for n, old in enumerate(split.roles)]).write(file)


def test_a_torn_group_in_the_file_is_refused(written):
    split = read_split(written)
    row = int(split.rows("test")[0])
    rewrite(written, split, row, "train")
    with pytest.raises(Refused, match=rf"{written}: 1 defect: group {split.groups[row]}: test and train"):
        read_split(written)
    rewrite(written, split, row, "unlabeled")
    with pytest.raises(Refused, match="test and train"):
        read_split(written)
    rewrite(written, split, row, "unused")
    assert read_split(written).counts["unused"] == 1


@pytest.mark.parametrize("column", ["patient", "exam", "cluster", "sha256"])
def test_a_group_that_an_edited_column_tears_is_refused(written, column):
    split = read_split(written, "patient")
    rows = [int(split.rows(role)[0]) for role in ("train", "test")]
    if column == "sha256":
        edited = replace(split, sha256=["a" * 64 if n in rows else sha for n, sha in enumerate(split.sha256)])
    else:
        edited = replace(
            split, records=[replace(r, **{column: "same"}) if n in rows else r for n, r in enumerate(split.records)]
        )
    edited.write(written)
    with pytest.raises(Refused, match=r"group g\d+: test and train"):
        read_split(written, "patient")
    if column in ("patient", "exam"):  # which the paper's split knows nothing of
        assert read_split(written, "photograph").roles == split.roles
    else:
        with pytest.raises(Refused, match="test and train"):
            read_split(written, "photograph")


@pytest.mark.parametrize("role", ["tset", "", "Train"])
def test_an_unknown_role_in_the_file_is_named(written, role):
    rewrite(written, read_split(written), 3, role)
    with pytest.raises(BadData, match=f"row 5, column role: '{role}'.*restore the file"):
        read_split(written)


def test_a_wrong_cell_in_the_file_is_named(written):
    written.write_text(written.read_text().replace("icdr,1", "icdr,9", 1))
    with pytest.raises(BadData, match="row 3, column grade: '9' is not a whole number from 0 to 4"):
        read_split(written)


@pytest.mark.parametrize(
    "text", ["", "path,grade\na.jpg,1\n", "path,sha256,group,role\n", "sha256,group,role\n1,1,test\n"]
)
def test_files_that_are_no_split(tmp_path, text):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(BadData, match="not a split"):
        read_split(tmp_path / "split.csv")


def test_a_missing_split(tmp_path):
    with pytest.raises(MissingInput, match="no such file"):
        read_split(tmp_path / "split.csv")


def test_the_hash_of_the_test_list():
    records, sha256 = single([0, 1, 2, 3]), ["b" * 64, "a" * 64, "c" * 64, "d" * 64]
    split = Split(records, sha256, ["g0", "g1", "g2", "g3"], ["test", "test", "train", "val"])
    # printf '%s\n%s' aaaa... bbbb... | sha256sum
    assert split.test_sha256 == "5e9ae866add9a85d69c3481d059bb9f158a39e5670ba11f95112fc409630894e"
    turned = Split(records[::-1], sha256[::-1], ["g3", "g2", "g1", "g0"], ["val", "train", "test", "test"])
    assert turned.test_sha256 == split.test_sha256
    assert replace(split, roles=["test", "test", "unlabeled", "unused"]).test_sha256 == split.test_sha256
    assert replace(split, roles=["test", "train", "train", "val"]).test_sha256 != split.test_sha256
    assert replace(split, sha256=["e" * 64, *sha256[1:]]).test_sha256 != split.test_sha256


def test_rows_are_ascending_numbers():
    split = Split(single([0, 1, 2]), hashes(3), ["g0", "g1", "g2"], ["val", "train", "val"])
    assert split.rows("val").tolist() == [0, 2]
    assert split.rows("train", "val").tolist() == [0, 1, 2]
    assert split.rows("test").dtype == np.int64
    assert split.rows("test").shape == (0,)


# Regrading


def test_regrade():
    records = [
        photograph(0, scale="messidor", grade=3, provenance="errata"),
        photograph(1, scale="messidor", grade=0, dme=2),
        photograph(2, scale="messidor", grade=2),
        photograph(3, scale="messidor"),
        photograph(4, scale="icdr", grade=3),
        photograph(5),
    ]
    changed = regrade(records, {"messidor": Regrade(to="icdr", grades=[0, 1, -1, 4])})
    assert changed == [
        photograph(0, scale="icdr", grade=4, provenance="errata; grade 3 on messidor"),
        photograph(1, scale="icdr", grade=0, dme=2, provenance="grade 0 on messidor"),
        photograph(2, scale="messidor", grade=None, provenance="grade 2 on messidor"),
        *records[3:],
    ]
    assert regrade(records, {}) == records


def test_regrade_maps_two_scales_at_once_and_each_grade_once():
    records = [photograph(0, scale="messidor", grade=1), photograph(1, scale="icdr", grade=1)]
    maps = {
        "messidor": Regrade(to="icdr", grades=[0, 2, 3, 4]),
        "icdr": Regrade(to="binary", grades=[0, 1, 1, 1, 1]),
    }
    assert [(r.scale, r.grade) for r in regrade(records, maps)] == [("icdr", 2), ("binary", 1)]


@pytest.mark.parametrize(
    ("scale", "to", "grades", "problem"),
    [
        ("mesidor", "icdr", [0, 1, 2, 3], "'mesidor' to 'icdr' cannot be mapped"),
        ("messidor", "idcr", [0, 1, 2, 3], "'messidor' to 'idcr' cannot be mapped"),
        ("messidor", "icdr", [0, 1, 2], "grades needs 4 entries, each from 0 to 4, or -1"),
        ("messidor", "icdr", [0, 1, 2, 3, 4], "grades needs 4 entries"),
        ("messidor", "icdr", [0, 1, 2, 5], "grades needs 4 entries, each from 0 to 4"),
        ("messidor", "icdr", [0, 1, 2, -2], "grades needs 4 entries"),
        ("icdr", "binary", [0, 1, 1, 1, 2], "grades needs 5 entries, each from 0 to 1"),
    ],
)
def test_regrade_refuses(scale, to, grades, problem):
    with pytest.raises(BadConfig, match=f"^data.regrade.{scale}: .*{problem}"):
        regrade([photograph(0, scale="messidor", grade=1)], {scale: Regrade(to=to, grades=grades)})
