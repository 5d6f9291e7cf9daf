"""The run folder: everything a run knows about itself, in files that a person can read.

| file | content |
|---|---|
| `config.toml` | the resolved configuration |
| `split.csv`, `split.sha256` | manifest columns, sha256, group, role; the sum that shows whether it was edited |
| `log.jsonl` | a row a step now and then, a row an epoch |
| `checkpoints/` | where training stands: the newest two and the best by validation |
| `grader.safetensors`, `grader.json` | what is handed over: see `judging.grader` |
| `predictions-test.csv` | `path,patient,site,task,output,label,probability` |
| `predictions-val.csv` | the same; not after a refit, which trains on these photographs |
| `predictions-folds.csv`, `.json` | answers that the operating points are fixed on: see `judging.out_of_fold` |
| `samples/` | what a report shows: originals, reconstructions, the surest mistakes with heat maps |
| `survival.json` | which lesions survive reconstruction: see `judging.lesion_survival` |
| `result.json`, `environment.json` | the scores; versions and hardware |
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from semiretina.config import Config, dump_toml, load_config
from semiretina.errors import Busy, CannotWrite, MissingInput, Refused, writing
from semiretina.files import finite, read_text, write_text

# What may differ between two starts of one run: it changes where and how fast a run computes, not what.
FREE_KEYS = ("engine.device", "engine.eval_batch", "data.cache")


class RunFolder:
    """Paths of a run and the few ways in which they are written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.split = path / "config.toml", path / "split.csv"
        self.split_sum = path / "split.sha256"
        self.log, self.result, self.environment = path / "log.jsonl", path / "result.json", path / "environment.json"
        self.checkpoints, self.samples, self.grader = path / "checkpoints", path / "samples", path / "grader"
        self.sample_list, self.mistakes = self.samples / "samples.json", self.samples / "mistakes.json"
        self.survival = path / "survival.json"

    def predictions(self, role: str) -> Path:
        """The predictions of a role, `val` or `test`, or those of another cross-validation, `folds`."""
        return self.path / f"predictions-{role}.csv"

    @contextmanager
    def claimed(self, config: Config) -> Iterator[None]:
        """Holds the folder for this process and this configuration.

        Raises Busy when another process holds it, Refused when it belongs to another configuration (the differing keys
        are named), and CannotWrite when it cannot be made. A first start that fails before anything is drawn leaves
        nothing, so that a mended configuration may use the same folder.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise Busy(
                f"{self.path}: another process is training in this run folder; wait for it or choose another --out"
            ) from None
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise CannotWrite(
                f"{self.path}: cannot make the run folder ({error.strerror}); choose another --out"
            ) from None
        fresh = not self.config.exists()
        try:
            self._check_config(config)
            yield
        except BaseException:
            if fresh and not self.split.exists() and not any(self.path.glob("*/config.toml")):
                self._withdraw()
            raise
        finally:
            lock.release()

    def _withdraw(self) -> None:
        self.config.unlink(missing_ok=True)
        # Windows keeps a held lock, and a folder of other things stays.
        with suppress(OSError):
            (self.path / ".lock").unlink()
            self.path.rmdir()

    def _check_config(self, config: Config) -> None:
        if not self.config.exists():
            write_text(self.config, dump_toml(config))
            return
        if different := self.differences(config, FREE_KEYS):
            named = "; ".join(different[:8])
            raise Refused(
                f"{self.path}: this run was started with another configuration: {named}. Choose another --out"
            )

    def differences(self, config: Config, free: Sequence[str]) -> list[str]:
        """Each key in which `config` differs from the run's own, with both values; `free` keys and sections may."""
        ours, theirs = _flat(tomllib.loads(dump_toml(config))), _flat(tomllib.loads(read_text(self.config)))
        return [
            f"{key} = {theirs.get(key, '(unset)')!r} there, {ours.get(key, '(unset)')!r} here"
            for key in sorted({*ours, *theirs})
            if ours.get(key) != theirs.get(key) and not any(f"{key}.".startswith(f"{name}.") for name in free)
        ]

    def append(self, row: Mapping[str, Any]) -> None:
        """One row to the log."""
        with writing(self.log), self.log.open("a", encoding="utf-8") as out:
            out.write(json.dumps(finite(row)) + "\n")

    def log_size(self) -> int:
        """Bytes in the log, kept in each checkpoint, so that a resumed run repeats no row."""
        return self.log.stat().st_size if self.log.exists() else 0

    def cut_log(self, size: int) -> None:
        """Takes back the rows that were written after a checkpoint."""
        if self.log.exists():
            with self.log.open("r+b") as out:
                out.truncate(size)

    def read_result(self) -> dict[str, Any]:
        """The result of a finished run. Raises MissingInput when there is none."""
        if not self.result.exists():
            raise MissingInput(f"{self.path}: not a finished run (no result.json); train it first")
        result: dict[str, Any] = json.loads(read_text(self.result))
        return result

    def read_config(self) -> Config:
        """The run's configuration. Raises MissingInput where there is no run."""
        if not self.config.exists():
            raise MissingInput(f"{self.path}: not a run folder (no config.toml)")
        return load_config(self.config)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        items = {str(i): inner for i, inner in enumerate(value)}.items()
    else:
        return {path: value}
    return {k: v for name, inner in items for k, v in _flat(inner, f"{path}.{name}" if path else name).items()}
