"""The ledger of a test set: one file beside the manifest, a line for every look at a list of test photographs.

A test set tells the truth once. Who looks again, chooses and looks again, has begun to train on it; the ledger does not
forbid that, it counts. A line of `test-ledger.jsonl` is one look:

| key | meaning |
|---|---|
| `when` | the moment, in UTC |
| `kind` | `train`: at the end of a training; `evaluate`: later; `tracked`: at every epoch, the paper's protocol |
| `run` | the run folder, relative to the ledger where it is inside |
| `config` | the SHA-256 of the run's `config.toml` |
| `grader` | the SHA-256 of its weights, or of all folds'; a `tracked` look begins before there are any |
| `sha256`, `photographs` | hash of the test list (`data.split.list_sha256`) and its length |
| `thresholds` | of each output |
| `manifest` | name of the manifest that the list is from |
| `fold` | where the list is one fold of a cross-validation: which |
| `apart` | where it is all that a cross-validation tests: hash of the given test list, which stayed out of the folds |
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from filelock import FileLock, Timeout

from semiretina.config import Data
from semiretina.data.split import Split
from semiretina.files import sha256_of
from semiretina.progress import say
from semiretina.run_folder import RunFolder

LEDGER = "test-ledger.jsonl"
PATIENCE = 60.0  # seconds that a look waits for others to write theirs down

Kind = Literal["train", "evaluate", "tracked"]


@dataclass(frozen=True)
class TestList:
    """The photographs of a manifest that are looked at: their hash and number; `fold` and `apart` as above."""

    manifest: Path
    sha256: str
    photographs: int
    fold: int | None = None
    apart: str | None = None

    @classmethod
    def of(cls, data: Data, split: Split) -> Self:
        """The test photographs of a split."""
        return cls(Path(data.manifest), split.test_sha256, len(split.rows("test")), fold=data.fold)


@dataclass(frozen=True, kw_only=True)
class Look:
    """One line of the ledger, as the module says."""

    when: str
    kind: str
    run: str
    config: str
    sha256: str
    photographs: int
    thresholds: Mapping[str, float]
    manifest: str
    grader: str | None = None  # None also in lines of before
    fold: int | None = None
    apart: str | None = None

    @property
    def same(self) -> tuple[object, ...]:
        """Equal for looks that show the same result: a training that is resumed at its end looks at it again."""
        return self.kind, self.run, self.config, self.grader, self.sha256, tuple(sorted(self.thresholds.items()))


@dataclass(frozen=True)
class Looks:
    """What the ledger says of one test list."""

    count: int = 0
    tracked: int = 0  # of them, trainings that tracked it at every epoch
    runs: tuple[str, ...] = ()  # that looked, in the order of their first looks
    changed: Mapping[str, tuple[Mapping[str, float], ...]] = field(default_factory=dict)  # run -> its thresholds
    others: Mapping[str, int] = field(default_factory=dict)  # hash of another list of the same manifest -> looks at it
    first: str = ""  # when
    last: str = ""


def note_look(run: Path, kind: Kind, tested: TestList, thresholds: Mapping[str, float]) -> None:
    """Appends a look to the ledger beside the manifest; that at the end of a training only once for the same network.

    Where nothing can be written, that is said and nothing else happens: no training fails by it at its end.
    """
    ledger = ledger_of(tested.manifest)
    if not ledger.parent.is_dir():
        say(f"{ledger}: its folder is gone; this look at the test set is not written down")
        return
    try:
        look = Look(
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            kind=kind,
            run=_path_of(run, ledger.parent),
            config=sha256_of(RunFolder(run).config),
            grader=None if kind == "tracked" else _weights_of(run),
            sha256=tested.sha256,
            photographs=tested.photographs,
            thresholds=dict(thresholds),
            manifest=tested.manifest.name,
            fold=tested.fold,
            apart=tested.apart,
        )
        with FileLock(ledger.with_name(f".{LEDGER}.lock"), timeout=PATIENCE):
            if kind != "train" or look.same not in {old.same for old in read_ledger(tested.manifest)}:
                _append(ledger, look)
    except Timeout:
        say(f"{ledger}: another process holds it; this look at the test set is not written down")
    except OSError as error:
        say(f"{ledger}: cannot be written ({error.strerror}); this look at the test set is not written down")


def looks(manifest: Path, test_sha256: str) -> Looks:
    """How often, and by whom, the list of test photographs was looked at; nothing where there is no ledger.

    `changed`: of the runs whose network looked with different thresholds. `others` leaves out the folds of
    cross-validations, which are meant to differ, and does not hold a given test list against the folds that it stayed
    out of, nor these against it.
    """
    known = read_ledger(manifest)
    at_it = [look for look in known if look.sha256 == test_sha256]
    apart = {test_sha256, *(look.apart for look in at_it)}
    by_run: dict[str, list[Look]] = {}
    for look in at_it:
        by_run.setdefault(look.run, []).append(look)
    others: dict[str, int] = {}
    for look in known:
        known_apart = look.sha256 in apart or look.apart == test_sha256
        if not known_apart and look.manifest == manifest.name and look.fold is None:
            others[look.sha256] = others.get(look.sha256, 0) + 1
    return Looks(
        count=len(at_it),
        tracked=sum(look.kind == "tracked" for look in at_it),
        runs=tuple(by_run),
        changed={run: several for run, those in by_run.items() if (several := _changed(those))},
        others=others,
        first=min((look.when for look in at_it), default=""),
        last=max((look.when for look in at_it), default=""),
    )


def read_ledger(manifest: Path) -> list[Look]:
    """All looks that stand in the ledger beside the manifest; a line that was only half written is left out."""
    try:
        lines = ledger_of(manifest).read_bytes().split(b"\n")
    except OSError:
        return []
    return [look for line in lines if (look := _parse(line)) is not None]


def ledger_of(manifest: Path) -> Path:
    """The ledger beside a manifest."""
    return manifest.resolve().parent / LEDGER


def _changed(looks_of_run: Sequence[Look]) -> tuple[Mapping[str, float], ...]:
    """The thresholds with which one network of this run looked, where they are several."""
    graders = {look.grader for look in looks_of_run} - {None}
    only = next(iter(graders)) if len(graders) == 1 else None
    thresholds: dict[str | None, list[Mapping[str, float]]] = {}
    for look in looks_of_run:
        # A line that names no network is of the only one that others name.
        seen = thresholds.setdefault(look.grader or only, [])
        # What was tracked knew no threshold but the configuration's.
        if look.kind != "tracked" and look.thresholds not in seen:
            seen.append(look.thresholds)
    return next((tuple(seen) for seen in thresholds.values() if len(seen) > 1), ())


def _weights_of(run: Path) -> str | None:
    """The hash of a run's network, or of those of its folds; None where it has none."""
    alone = run / "grader.safetensors"
    files = [alone] if alone.exists() else sorted(run.glob("fold-*/grader.safetensors"))
    if len(files) == 1:
        return sha256_of(files[0])
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest() if files else None


def _parse(line: bytes) -> Look | None:
    try:
        row: Any = json.loads(line)
        look = Look(**{key.name: row[key.name] for key in fields(Look) if key.name in row})
    except (ValueError, TypeError):
        return None
    return look if isinstance(look.thresholds, dict) else None


def _append(ledger: Path, look: Look) -> None:
    row = {name: value for name, value in asdict(look).items() if value is not None}
    with ledger.open("ab+") as out:
        if out.tell():
            out.seek(-1, 2)
            # A line that a power cut left half written ends here, and spoils no other.
            ends = out.read(1) == b"\n"
        else:
            ends = True
        out.write((b"" if ends else b"\n") + json.dumps(row).encode() + b"\n")


def _path_of(run: Path, base: Path) -> str:
    whole = run.resolve()
    return whole.relative_to(base).as_posix() if whole.is_relative_to(base) else str(whole)
