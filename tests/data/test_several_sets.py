"""One picture in a labelled and an unlabelled data set: joined by `merge`, on one side of every split, and told."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from semiretina.config import Config
from semiretina.data.simulator.lookalike import write_lookalike
from semiretina.data.sources import import_source, merge
from semiretina.data.split import (
    Split,
    held_back,
    patients_in_several_sets,
    pictures_in_several_sets,
    read_split,
    torn_groups,
)
from semiretina.files import sha256_of
from semiretina.methods import METHODS
from semiretina.preparation import prepare
from semiretina.records import Record, read_manifest
from semiretina.run_folder import RunFolder
from semiretina.tasks import make_tasks
from semiretina.training.ranks import Place
from splits import make_split

PLANTED = 24


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """The manifest of a Messidor and an Extension that share 24 pictures, of every role."""
    root = tmp_path_factory.mktemp("shared")
    labeled, hidden = write_lookalike(root / "drawn", photographs=84, unlabeled=8, size=40)
    photographs = sorted(labeled.glob("Base[12]*/*.tif"))
    for number, file in enumerate(photographs[:: len(photographs) // PLANTED][:PLANTED]):
        shutil.copyfile(file, hidden / f"IM{900000 + number}.JPG")
    for source, folder in (("messidor", labeled), ("messidor_extension", hidden)):
        import_source(source, folder, root / f"{source}.csv")
    assert merge([root / "messidor.csv", root / "messidor_extension.csv"], root / "both.csv") == 71 + 8 + PLANTED
    return root / "both.csv"


@pytest.mark.parametrize("by", ["patient", "photograph"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_shared_picture_is_on_one_side(joined, seed, by):
    records = read_manifest(joined)
    digests = [sha256_of(record.path) for record in records]
    split = make_split(records, digests, make_tasks(["dr"], records), seed=seed, split_seed=seed, by=by)
    assert not torn_groups(split)
    role = {(r.dataset, digest): role for r, digest, role in zip(records, digests, split.roles, strict=True)}
    twins = {digest for dataset, digest in role if dataset == "messidor-extension"}
    pairs = Counter(
        (own, role["messidor-extension", d]) for (s, d), own in role.items() if s == "messidor" and d in twins
    )
    assert sum(pairs.values()) == PLANTED
    assert set(pairs) == {("train", "unlabeled"), ("val", "unused"), ("test", "unused")}
    told = pictures_in_several_sets(split)
    assert told.startswith(f"{PLANTED} pictures stand in more than one data set, never separated by the split: ")
    own = {name: pairs[name, "unlabeled" if name == "train" else "unused"] for name in ("test", "train", "val")}
    assert f"messidor {', '.join(f'{n} {name}' for name, n in own.items())}; " in told
    twin = {"unlabeled": own["train"], "unused": own["test"] + own["val"]}
    assert told.endswith("messidor-extension " + ", ".join(f"{n} {name}" for name, n in twin.items()))


def test_preparing_a_run_tells_how_many(joined, make_config, make_stage, tmp_path, capfd):
    config = make_config(make_stage("reconstruction", epochs=1), data={"manifest": str(joined)})
    run = RunFolder(tmp_path)
    prepare(Config(**config), run, METHODS, Place(0, 1, torch.device("cpu")))
    split = read_split(run.split)
    said = capfd.readouterr().err
    assert pictures_in_several_sets(split) in said
    assert f"split: {PLANTED} pictures stand in more than one data set" in said
    assert f"split: {held_back(split)}" in said
    tested = {split.sha256[row] for row in split.rows("test")}
    assert tested & {split.sha256[row] for row in split.rows("unused")}
    assert not tested & {split.sha256[row] for row in split.rows("unlabeled", "train", "val")}


def test_nothing_is_told_where_nothing_is_shared():
    records = [Record(path=Path(f"/{n}.jpg"), dataset="one" if n < 2 else "two") for n in range(4)]
    roles = ["train", "train", "unlabeled", "unlabeled"]
    assert not pictures_in_several_sets(Split(records, ["a", "a", "b", "b"], ["a", "a", "b", "b"], roles))
    told = pictures_in_several_sets(Split(records, ["a", "b", "b", "c"], ["a", "b", "b", "c"], roles))
    assert told == (
        "1 picture stands in more than one data set, never separated by the split: one 1 train; two 1 unlabeled"
    )


def test_patients_of_one_name_in_two_data_sets_are_told():
    names = [("one", "p1"), ("one", "p2"), ("two", "p1"), ("two", "p3"), ("two", ""), ("one", "")]
    records = [Record(path=Path(f"/{n}.jpg"), dataset=d, patient=p) for n, (d, p) in enumerate(names)]
    split = Split(records, list("abcdef"), list("abcdef"), ["train"] * 6)
    assert patients_in_several_sets(split) == (
        "1 name of a patient stands in more than one data set (one, two), taken for different people; if they are "
        "the same, give their photographs one `dataset` in the manifest"
    )
    apart = [0, 1, 3, 4, 5]
    assert not patients_in_several_sets(Split([records[n] for n in apart], list("abdef"), list("abdef"), ["train"] * 5))


def test_unlabeled_photographs_of_a_tested_patient_are_counted():
    """Of patient a, tested, one photograph is unused for that and one for its quality; that of c for its quality."""
    people, roles = "aaabbc", ["test", "unused", "unused", "train", "unlabeled", "unused"]
    records = [
        Record(path=Path(f"/{n}.jpg"), patient=who, quality="ungradable" if n in (2, 5) else "")
        for n, who in enumerate(people)
    ]
    told = "1 unused photograph shows a patient, exam or picture that is kept for validation or test"
    assert held_back(Split(records, list("123456"), list(people), roles)) == told
    roles[0] = "unlabeled-val"
    assert held_back(Split(records, list("123456"), list(people), roles)) == told
    roles[0] = "train"
    assert not held_back(Split(records, list("123456"), list(people), roles))
