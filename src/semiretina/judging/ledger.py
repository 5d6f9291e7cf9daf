"""The ledger of a test set: one file beside the manifest, a line for every look at a list of test photographs.

A test set tells the truth once. Who looks again, chooses and looks again, has begun to train on it; the ledger does not
forbid that, it counts. A line of `test-ledger.jsonl` is one look:

| key | meaning |
|---|---|
| `when` | the moment, in UTC |
| `kind` | `train`: at the end of a training; `evaluate`: later; `tracked`: at every epoch, the paper's protocol |
| `run` | the run folder, relative to the ledger where it is inside |
| `config` | the SHA-256 of the run's `config.toml` |
| `sha256`, `photographs` | hash of the test list (`data.split.list_sha256`) and its length |
| `thresholds` | of each output |
| `manifest` | name of the manifest that the list is from |
| `fold` | where the list is one fold of a cross-validation: which |
| `apart` | where it is all that a cross-validation tests: hash of the given test list, which stayed out of the folds |
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from semiretina.files import sha256_of
from semiretina.progress import say
from semiretina.run_folder import RunFolder

LEDGER = "test-ledger.jsonl"
PATIENCE = 60.0  # seconds that a look waits for others to write theirs down

Kind = Literal["train", "evaluate", "tracked"]


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
    fold: int | None = None
    apart: str | None = None

    @property
    def same(self) -> tuple[object, ...]:
        """Equal for looks that show the same result: a training that is resumed at its end looks at it again."""
        return self.kind, self.run, self.config, self.sha256, tuple(sorted(self.thresholds.items()))


@dataclass(frozen=True)
class Looks:
    """What the ledger tells of one test list."""

    count: int = 0
    tracked: int = 0  # of them, trainings that tracked it at every epoch
    runs: tuple[str, ...] = ()  # that looked, in the order of their first looks
    changed: Mapping[str, tuple[Mapping[str, float], ...]] = field(default_factory=dict)  # run -> its thresholds
    others: Mapping[str, int] = field(default_factory=dict)  # hash of another list of the same manifest -> looks at it
    first: str = ""  # when
    last: str = ""


def note_look(
    manifest: Path,
    kind: Kind,
    run: Path,
    *,
    sha256: str,
    photographs: int,
    thresholds: Mapping[str, float],
    fold: int | None = None,
    apart: str | None = None,
) -> None:
    """Appends a look to the ledger beside the manifest; one of a training only once for the same result.

    Where nothing can be written, that is said and nothing else happens: no training fails by it at its end.
    """
    ledger = ledger_of(manifest)
    if not ledger.parent.is_dir():
        say(f"{ledger}: its folder is gone; this look at the test set is not written down")
        return
    try:
        look = Look(
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            kind=kind,
            run=_place(run, ledger.parent),
            config=sha256_of(RunFolder(run).config),
            sha256=sha256,
            photographs=photographs,
            thresholds=dict(thresholds),
            manifest=manifest.name,
            fold=fold,
            apart=apart,
        )
        with FileLock(ledger.with_name(f".{LEDGER}.lock"), timeout=PATIENCE):
            if kind == "evaluate" or look.same not in {old.same for old in read_ledger(manifest)}:
                _append(ledger, look)
    except Timeout:
        say(f"{ledger}: another process holds it; this look at the test set is not written down")
    except OSError as error:
        say(f"{ledger}: cannot be written ({error.strerror}); this look at the test set is not written down")


def looks(manifest: Path, test_sha256: str) -> Looks:
    """How often, and by whom, the list of test photographs was looked at; nothing where there is no ledger.

    `changed`: of the runs that looked with different thresholds. `others` leaves out the folds of cross-validations,
    which are meant to differ, and does not hold a given test list against the folds that it stayed out of, nor these
    against it.
    """
    known = read_ledger(manifest)
    own = [look for look in known if look.sha256 == test_sha256]
    apart = {test_sha256, *(look.apart for look in own)}
    thresholds: dict[str, list[Mapping[str, float]]] = {}
    for look in own:
        seen = thresholds.setdefault(look.run, [])
        # What was tracked knew no threshold but the configuration's.
        if look.kind != "tracked" and look.thresholds not in seen:
            seen.append(look.thresholds)
    others: dict[str, int] = {}
    for look in known:
        known_apart = look.sha256 in apart or look.apart == test_sha256
        if not known_apart and look.manifest == manifest.name and look.fold is None:
            others[look.sha256] = others.get(look.sha256, 0) + 1
    return Looks(
        count=len(own),
        tracked=sum(look.kind == "tracked" for look in own),
        runs=tuple(thresholds),
        changed={run: tuple(seen) for run, seen in thresholds.items() if len(seen) > 1},
        others=others,
        first=min((look.when for look in own), default=""),
        last=max((look.when for look in own), default=""),
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


def _place(run: Path, base: Path) -> str:
    own = run.resolve()
    return own.relative_to(base).as_posix() if own.is_relative_to(base) else str(own)
