"""Checkpoints: what is written is read back, and what is damaged or unfinished does not count."""

import errno
import json
import os

import pytest
import torch

from semiretina import checkpoint
from semiretina.errors import BadData, MissingInput

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "half": torch.ones(2, dtype=torch.bfloat16)}


def same(left, right):
    return left.keys() == right.keys() and all(
        torch.equal(left[k], right[k]) and left[k].dtype == right[k].dtype for k in left
    )


def damage(file, place=-3):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def test_round_trip(tmp_path):
    shared = {**TENSORS, "a again": TENSORS["a"], "turned": TENSORS["a"].T}
    checkpoint.save(tmp_path / "here" / "x", shared, {"position": {"epoch": 2}})
    tensors, facts = checkpoint.load(tmp_path / "here" / "x")
    assert same(tensors, shared)
    assert facts["position"] == {"epoch": 2}
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["x.json", "x.safetensors"]


def test_a_flipped_bit_is_found(tmp_path):
    checkpoint.save(tmp_path / "x", TENSORS, {})
    damage(tmp_path / "x.safetensors")
    with pytest.raises(BadData, match=r"x\.safetensors: its checksum fails"):
        checkpoint.load(tmp_path / "x")


@pytest.mark.parametrize(("content", "error"), [(b"{", BadData), (b"{}", BadData), (b"\xff\xfe", BadData)])
def test_a_damaged_description_is_found(tmp_path, content, error):
    checkpoint.save(tmp_path / "x", TENSORS, {})
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(error, match="x"):
        checkpoint.load(tmp_path / "x")


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_half_a_checkpoint_is_missing(tmp_path, suffix):
    checkpoint.save(tmp_path / "x", TENSORS, {})
    (tmp_path / f"x{suffix}").unlink()
    with pytest.raises(MissingInput, match=f"x{suffix}: no such file"):
        checkpoint.load(tmp_path / "x")


def test_the_newest_two_are_kept_and_rubbish_goes(tmp_path):
    (tmp_path / ".epoch-000001.json.part").write_bytes(b"half")
    checkpoint.save(tmp_path / "best", TENSORS, {})
    for number in range(12):
        checkpoint.save_next(tmp_path, TENSORS, {"number": number})
    (tmp_path / "epoch-000003.safetensors").write_bytes(b"left by a kill")
    checkpoint.forget_old(tmp_path)
    assert [file.name for file in checkpoint.numbered(tmp_path)] == ["epoch-000012", "epoch-000011"]
    assert checkpoint.load(checkpoint.numbered(tmp_path)[0])[1]["number"] == 11
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{name}.{suffix}" for name in ("best", "epoch-000011", "epoch-000012") for suffix in ("json", "safetensors")
    ]


@pytest.mark.parametrize(("call", "after"), [("fsync", 0), ("fsync", 2), ("replace", 0)])
def test_a_full_disk_leaves_the_old_one_whole(tmp_path, monkeypatch, call, after):
    """`after`: how many calls succeed; after two the tensors are in place already, and the description fails."""
    checkpoint.save_next(tmp_path, TENSORS, {"number": 1})
    real, count = getattr(os, call), 0

    def full(*args):
        nonlocal count
        count += 1
        if count > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save_next(tmp_path, {"a": torch.zeros(2)}, {"number": 2})
    monkeypatch.undo()
    newest = checkpoint.numbered(tmp_path)[0]
    tensors, facts = checkpoint.load(newest)
    assert facts["number"] == 1
    assert same(tensors, TENSORS)
    assert not list(tmp_path.glob(".*"))
    checkpoint.save_next(tmp_path, TENSORS, {"number": 2})
    assert checkpoint.load(checkpoint.numbered(tmp_path)[0])[1]["number"] == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.Adam(p, lr=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
    ],
)
def test_an_optimizer_goes_on_with_the_same_bits(tmp_path, make):
    def steps(parameters, optimizer, numbers):
        for number in numbers:
            optimizer.zero_grad(set_to_none=True)
            # The second parameter has a gradient at every other step, the third never.
            loss = (parameters[0] * number).sin().sum() + (parameters[1].square().sum() if number % 2 else 0)
            loss.backward()
            optimizer.step()

    def fresh(values):
        parameters = [torch.nn.Parameter(value.clone()) for value in values]
        return parameters, make(parameters)

    start = [torch.rand(3), torch.rand(2), torch.rand(2)]
    straight, optimizer = fresh(start)
    steps(straight, optimizer, range(1, 8))
    stopped, optimizer = fresh(start)
    steps(stopped, optimizer, range(1, 4))
    checkpoint.save(tmp_path / "x", checkpoint.optimizer_tensors(optimizer), {})
    resumed, optimizer = fresh([p.detach() for p in stopped])
    checkpoint.load_optimizer(optimizer, checkpoint.load(tmp_path / "x")[0])
    steps(resumed, optimizer, range(4, 8))
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))


def test_the_description_is_plain_json(tmp_path):
    checkpoint.save(tmp_path / "x", TENSORS, {"best": 0.5})
    assert json.loads((tmp_path / "x.json").read_text())["best"] == 0.5
