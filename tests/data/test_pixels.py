"""The pixel cache: what it keeps, what it reads again, and what it survives."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from semiretina.data import pixel_appender
from semiretina.data import pixel_cache as module
from semiretina.data.image import read_photograph
from semiretina.data.pixel_cache import PixelCache, default_cache
from semiretina.data.pixel_store import Entry
from semiretina.errors import CannotWrite

SIZE = 16
ROW = SIZE * SIZE * 3
FILES = ("pixels.u8", "index.jsonl", "files.jsonl")


@pytest.fixture
def photographs(tmp_path):
    """Six different photographs."""
    return [photograph(tmp_path / f"{number}.png", number) for number in range(6)]


@pytest.fixture
def decoded(monkeypatch):
    """The sha256 of every content that was decoded."""
    calls = []

    def counted(content, size, crop):
        calls.append(hashlib.sha256(content).hexdigest())
        return read_photograph(content, size, crop)

    monkeypatch.setattr(module, "read_photograph", counted)
    return calls


def photograph(file, seed):
    file.write_bytes(b"")  # a new time of change even where the clock is coarse
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 30, 3)).astype(np.uint8)).save(file)
    return file


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def contents(cache):
    return [(cache.folder / name).read_bytes() for name in FILES]


def check(cache, files):
    """Every file's row and box are those of reading it alone."""
    entries = cache.add(files)
    for file, entry in zip(files, entries, strict=True):
        expected, box = read_photograph(file, cache.size, cache.crop)
        assert (entry.sha256, entry.box, entry.error) == (sha256(file), box, None)
        np.testing.assert_array_equal(cache.rows()[entry.row], expected)
        np.testing.assert_array_equal(cache.read([0, entry.row])[1], expected)
    assert (cache.folder / "pixels.u8").stat().st_size == len(cache.rows()) * ROW
    return entries


def run(code, *arguments, **options):
    """Python in another process; `PixelCache`, `Path`, `sys`, `SIZE` are there."""
    head = f"import sys, time\nfrom pathlib import Path\nSIZE = {SIZE}\n"
    head += (
        "from semiretina.data import pixel_appender, pixel_cache\nfrom semiretina.data.pixel_cache import PixelCache\n"
    )
    return subprocess.Popen([sys.executable, "-c", head + code, *map(str, arguments)], text=True, **options)


def test_second_start_decodes_nothing(tmp_path, photographs, decoded):
    first = check(PixelCache(tmp_path / "cache", SIZE), photographs)
    assert sorted(decoded) == sorted(map(sha256, photographs))
    assert [entry.row for entry in first] == list(range(6))
    decoded.clear()
    again = PixelCache(tmp_path / "cache", SIZE)
    before = contents(again)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
        assert again.add(photographs[::-1]) == first[::-1]
    assert decoded == []
    assert contents(again) == before
    np.testing.assert_array_equal(again.rows()[3], read_photograph(photographs[3], SIZE)[0])


def test_new_files_only(tmp_path, photographs, decoded):
    PixelCache(tmp_path / "cache", SIZE).add(photographs[:4])
    decoded.clear()
    check(PixelCache(tmp_path / "cache", SIZE), photographs)
    assert sorted(decoded) == sorted(map(sha256, photographs[4:]))


def test_sizes_and_crops_lie_apart(tmp_path, photographs):
    caches = [PixelCache(tmp_path / "cache", size, crop) for size in (8, 16) for crop in ("field-of-view", "none")]
    assert len({cache.folder for cache in caches}) == 4
    assert caches[0].folder.name == "8-field-of-view-lanczos-v1"
    for cache in caches:
        check_size = cache.add(photographs)[0]
        assert cache.rows().shape == (6, cache.size, cache.size, 3)
        np.testing.assert_array_equal(
            cache.rows()[check_size.row], read_photograph(photographs[0], cache.size, cache.crop)[0]
        )


def test_no_files_and_no_cache_yet(tmp_path):
    cache = PixelCache(tmp_path / "cache", SIZE)
    assert cache.add([]) == []
    assert cache.rows().shape == (0, SIZE, SIZE, 3)


def test_same_picture_is_stored_once(tmp_path, photographs, monkeypatch):
    twin = tmp_path / "twin.png"
    twin.write_bytes(photographs[0].read_bytes())
    cache = PixelCache(tmp_path / "cache", SIZE)
    monkeypatch.chdir(tmp_path)
    files = [photographs[0], twin, photographs[1], twin, Path("0.png"), tmp_path / "cache" / ".." / "0.png"]
    entries = cache.add(files)
    assert [entry.row for entry in entries] == [0, 0, 1, 0, 0, 0]
    assert len(cache.rows()) == 2
    assert (cache.folder / "pixels.u8").stat().st_size == 2 * ROW
    assert len((cache.folder / "files.jsonl").read_text().splitlines()) == 3


def test_changed_file_is_read_again(tmp_path, photographs):
    cache = PixelCache(tmp_path / "cache", SIZE)
    old = cache.add(photographs)[2]
    kept = np.array(cache.rows()[old.row])
    photograph(photographs[2], 77)
    assert check(cache, photographs)[2].row == 6
    check(PixelCache(tmp_path / "cache", SIZE), photographs)
    np.testing.assert_array_equal(cache.rows()[old.row], kept)


def test_verify_finds_what_size_and_time_hide(tmp_path, decoded):
    file = tmp_path / "a.tif"
    pictures = np.random.default_rng(0).integers(0, 255, (2, 24, 30, 3)).astype(np.uint8)
    Image.fromarray(pictures[0]).save(file)
    status = file.stat()
    cache = PixelCache(tmp_path / "cache", SIZE)
    old = cache.add([file])
    Image.fromarray(pictures[1]).save(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    assert cache.add([file]) == old
    new = cache.add([file], verify=True)
    assert new[0].sha256 == sha256(file) != old[0].sha256
    np.testing.assert_array_equal(cache.rows()[new[0].row], read_photograph(file, SIZE)[0])
    before, count = contents(cache), len(decoded)
    assert PixelCache(tmp_path / "cache", SIZE).add([file], verify=True) == new
    assert contents(cache) == before
    assert len(decoded) == count


def test_missing_file_is_not_remembered(tmp_path, photographs):
    cache = PixelCache(tmp_path / "cache", SIZE)
    late, folder = tmp_path / "late.png", tmp_path / "folder.png"
    folder.mkdir()
    entries = cache.add([late, photographs[0], folder, Path("a\0b")])
    assert entries[0] == Entry("", None, None, "no such file")
    assert (entries[2].row, entries[2].error) == (None, "a folder, not a file")
    assert entries[3].error == "no such file"
    assert "late" not in (cache.folder / "files.jsonl").read_text()
    photograph(late, 9)
    assert check(cache, [late])[0].row == 1


def test_unreadable_file_is_remembered_with_its_reason(tmp_path, photographs, decoded):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photographs[0].read_bytes()[:300])
    (tmp_path / "empty.png").write_bytes(b"")
    files = [photographs[0], broken, tmp_path / "empty.png", photographs[1]]
    first = PixelCache(tmp_path / "cache", SIZE).add(files)
    assert [entry.row for entry in first] == [0, None, None, 1]
    assert first[1].error.startswith("damaged or truncated")
    assert (first[2].error, first[2].box, first[2].sha256) == ("the file is empty", None, sha256(files[2]))
    decoded.clear()
    again = PixelCache(tmp_path / "cache", SIZE)
    assert again.add(files) == first
    assert decoded == []
    photograph(broken, 5)
    assert again.add(files)[1].row == 2


def test_rows_are_a_read_only_map_that_grows(tmp_path, photographs):
    cache, other = PixelCache(tmp_path / "cache", SIZE), PixelCache(tmp_path / "cache", SIZE)
    cache.add(photographs[:2])
    early = cache.rows()
    assert isinstance(early.base, np.memmap)
    assert early is cache.rows()
    with pytest.raises(ValueError, match="read-only"):
        early[0] = 0
    kept = early.copy()
    other.add(photographs)  # appends behind the back of `cache`
    assert [entry.row for entry in cache.add(photographs)] == list(range(6))
    assert cache.rows().shape == (6, SIZE, SIZE, 3)
    np.testing.assert_array_equal(cache.rows()[:2], kept)
    np.testing.assert_array_equal(early, kept)


def test_index_and_journal_hold_what_the_docs_say(tmp_path, photographs):
    cache = PixelCache(tmp_path / "cache", SIZE)
    cache.add(photographs[:1])
    status, digest = photographs[0].stat(), sha256(photographs[0])
    assert (cache.folder / "index.jsonl").read_text() == f'{{"sha256": "{digest}", "row": 0, "box": [0, -3, 30, 27]}}\n'
    known = {"path": str(photographs[0]), "size": status.st_size, "changed": status.st_mtime_ns, "sha256": digest}
    assert json.loads((cache.folder / "files.jsonl").read_text()) == known


# What it survives

SLOWLY = """
pixel_appender.SECONDS_BETWEEN_COMMITS = 0.05
real = pixel_cache.read_photograph
def slowly(*arguments):
    time.sleep(0.02)
    return real(*arguments)
pixel_cache.read_photograph = slowly
"""
ADD = "print(len(PixelCache(Path(sys.argv[1]), SIZE).add([Path(file) for file in sys.argv[2:]])))"


def test_killed_and_gone_on(tmp_path):
    files = [photograph(tmp_path / f"{number}.png", number % 70) for number in range(80)]
    straight = PixelCache(tmp_path / "straight", SIZE)
    straight.add(files)
    index = tmp_path / "killed" / straight.folder.name / "index.jsonl"
    lines = 0
    for _ in range(2):
        process = run(SLOWLY + ADD, tmp_path / "killed", *files, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (index.exists() and index.read_bytes().count(b"\n") > lines + 10):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        lines = index.read_bytes().count(b"\n")
        assert lines < 70
    cache = PixelCache(tmp_path / "killed", SIZE)
    check(cache, files)
    assert contents(cache) == contents(straight)


@pytest.mark.parametrize(
    "damage", ["torn index", "torn journal", "surplus pixels", "part of a row", "row without line"]
)
def test_what_a_killed_process_leaves_is_dropped(tmp_path, photographs, damage):
    straight = PixelCache(tmp_path / "straight", SIZE)
    straight.add(photographs)
    cache = PixelCache(tmp_path / "cache", SIZE)
    cache.add(photographs[:4])
    pixels, index, journal = (cache.folder / name for name in FILES)
    if damage == "torn index":
        index.write_bytes(index.read_bytes() + b'{"sha256": "abc", "row": 4, "bo')
    elif damage == "torn journal":
        journal.write_bytes(journal.read_bytes()[:-7])
    elif damage == "surplus pixels":
        pixels.write_bytes(pixels.read_bytes() + bytes(3 * ROW + 5))
    elif damage == "part of a row":
        pixels.write_bytes(pixels.read_bytes() + bytes(5))
    else:
        index.write_bytes(b"".join(index.read_bytes().splitlines(keepends=True)[:3]))
    again = PixelCache(tmp_path / "cache", SIZE)
    check(again, photographs)
    assert contents(again) == contents(straight)


@pytest.mark.parametrize(
    "line",
    [
        b"\0\0\0\0\n",
        b"5\n",
        b"[]\n",
        b"{}\n",
        b'{"sha256": "a", "row": 7, "box": null}\n',
        b'{"sha256": "a", "row": 0}\n',
        b"\xff\n",
        b'"sha256"\n',
    ],
)
@pytest.mark.parametrize("name", ["index.jsonl", "files.jsonl"])
def test_damaged_line_and_what_follows_it_are_read_again(tmp_path, photographs, name, line, decoded):
    cache = PixelCache(tmp_path / "cache", SIZE)
    cache.add(photographs)
    lines = (cache.folder / name).read_bytes().splitlines(keepends=True)
    (cache.folder / name).write_bytes(b"".join([*lines[:2], line, *lines[3:]]))
    decoded.clear()
    check(PixelCache(tmp_path / "cache", SIZE), photographs)
    assert len(decoded) == (4 if name == "index.jsonl" else 0)
    check(PixelCache(tmp_path / "cache", SIZE), photographs)


def test_lost_pixels_are_decoded_again(tmp_path, photographs):
    """A power cut can leave lines whose rows never reached the disk."""
    cache = PixelCache(tmp_path / "cache", SIZE)
    cache.add(photographs)
    os.truncate(cache.folder / "pixels.u8", 3 * ROW + 10)
    check(PixelCache(tmp_path / "cache", SIZE), photographs)


def test_folder_emptied_while_open(tmp_path, photographs):
    cache = PixelCache(tmp_path / "cache", SIZE)
    cache.add(photographs[:3])
    for name in FILES:
        (cache.folder / name).unlink()
    check(cache, photographs)


def test_two_processes_at_once(tmp_path):
    files = [photograph(tmp_path / f"{number}.png", number) for number in range(40)]
    both = [
        run(SLOWLY + ADD, tmp_path / "cache", *some, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for some in (files[:30], files[:9:-1])
    ]
    said = []
    for process in both:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "30\n"), err
        said.append(err)
    cache = PixelCache(tmp_path / "cache", SIZE)
    assert len(cache.rows()) == 40
    check(cache, files)
    assert len((cache.folder / "index.jsonl").read_text().splitlines()) == 40


def test_waiting_for_another_process_is_said(tmp_path, photographs, capsys):
    cache = PixelCache(tmp_path / "cache", SIZE)
    held = Event()

    def hold():
        with FileLock(cache.folder / "lock"):
            held.set()
            time.sleep(2.3)

    holder = Thread(target=hold)
    holder.start()
    assert held.wait(10)
    check(cache, photographs)
    holder.join()
    assert "Waiting for another process that reads photographs" in capsys.readouterr().err


def test_full_disk(tmp_path, photographs, monkeypatch):
    """No space when data are to reach the disk: the error goes up; what stands is whole, and goes on."""
    cache = PixelCache(tmp_path / "cache", SIZE)
    first = cache.add(photographs[:2])

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        cache.add(photographs)
    monkeypatch.undo()
    assert PixelCache(tmp_path / "cache", SIZE).add(photographs[:2]) == first
    assert cache.add(photographs[:2]) == first
    check(cache, photographs)


LIMITED = """
import resource
pixel_appender.SECONDS_BETWEEN_COMMITS = -1
cache = PixelCache(Path(sys.argv[1]), int(sys.argv[3]))
files = [Path(file) for file in sys.argv[4:]]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    cache.add(files)
except OSError as error:
    print(type(error).__name__, len(cache.rows()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert [entry.error for entry in cache.add(files)] == [None] * len(files)
print(len(cache.rows()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize(("size", "rows"), [(SIZE, 3), (4, 1)])
def test_a_write_that_ends_halfway(tmp_path, photographs, size, rows):
    """Files may grow up to a limit that cuts the fourth row of pixels, or (rows being small) the second line."""
    straight = PixelCache(tmp_path / "straight", size)
    straight.add(photographs)
    line = len(contents(straight)[2].splitlines()[0])
    limit = 3 * ROW + 100 if rows == 3 else line + 60
    process = run(LIMITED, tmp_path / "cache", limit, size, *photographs, stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.splitlines() == [f"OSError {rows}", "6"]
    cache = PixelCache(tmp_path / "cache", size)
    assert cache.add(photographs) == straight.add(photographs)
    assert contents(cache) == contents(straight)


def test_interrupted(tmp_path, photographs, monkeypatch):
    cache, straight = PixelCache(tmp_path / "cache", SIZE), PixelCache(tmp_path / "straight", SIZE)
    straight.add(photographs)

    def interrupt(content, size, crop):
        if hashlib.sha256(content).hexdigest() == sha256(photographs[3]):
            raise KeyboardInterrupt
        return read_photograph(content, size, crop)

    monkeypatch.setattr(module, "read_photograph", interrupt)
    monkeypatch.setattr(pixel_appender, "SECONDS_BETWEEN_COMMITS", -1)
    with pytest.raises(KeyboardInterrupt):
        cache.add(photographs)
    assert len(cache.rows()) == 3
    monkeypatch.undo()
    check(cache, photographs)
    assert contents(cache) == contents(straight)


@pytest.mark.parametrize("where", ["file/cache", "file"])
def test_folder_that_cannot_be_made(tmp_path, where):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="cannot make this folder") as error:
        PixelCache(tmp_path / where, SIZE)
    assert str(tmp_path / where) in str(error.value)
    assert "\n" not in str(error.value)


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SEMIRETINA_CACHE", str(tmp_path / "x"))
    assert default_cache() == tmp_path / "x"
    monkeypatch.setenv("SEMIRETINA_CACHE", "~/y")
    assert default_cache() == Path.home() / "y"
    monkeypatch.delenv("SEMIRETINA_CACHE")
    for platform, variable, expected in (
        ("linux", "XDG_CACHE_HOME", tmp_path / "semiretina"),
        ("darwin", None, Path.home() / "Library" / "Caches" / "semiretina"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        if variable:
            monkeypatch.setenv(variable, str(tmp_path))
        assert default_cache() == expected
