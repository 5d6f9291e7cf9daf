"""Run folders as a report reads them: their files, checked, and a name for each that tells them apart."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from semiretina.data.split import By, Split, read_split
from semiretina.errors import BadData, MissingInput, summary
from semiretina.files import read_text
from semiretina.judging.predictions import Predictions, read_predictions
from semiretina.run_folder import RunFolder

SCHEMA = 1


@dataclass(frozen=True)
class Run:
    """A finished run. Runs of one experiment that differ in the seed alone share a `name`; a `label` is a run's own."""

    folder: RunFolder
    name: str
    label: str
    result: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """The seed that drew its training photographs and first weights."""
        return int(self.result["seed"])

    @property
    def test_list(self) -> str:
        """The hash of the list of test photographs; runs with different ones must not be compared."""
        return str(self.result["split_sha256"])

    @property
    def by(self) -> By:
        """What the split kept together, `data.by`; the patient where an early configuration does not say."""
        return "photograph" if self.config.get("data", {}).get("by") == "photograph" else "patient"

    def split(self) -> Split | None:
        """The photographs' roles; None where the folder has none. Raises BadData, and Refused for a torn group."""
        return read_split(self.folder.split, self.by) if self.folder.split.is_file() else None

    def epochs(self) -> list[dict[str, Any]]:
        """The log's rows of epochs, in their order."""
        return [row for row in self._log if row["kind"] == "epoch"]

    def steps(self) -> list[dict[str, Any]]:
        """The log's rows of steps, in their order: not of every step, but of those at which something was measured."""
        return [row for row in self._log if row["kind"] == "step"]

    @cached_property
    def _log(self) -> list[dict[str, Any]]:
        rows = []
        for number, line in enumerate(read_text(self.folder.log).splitlines(), start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise BadData(f"{self.folder.log}: line {number} is not JSON ({error}); train the run again") from None
        return rows

    def predictions(self) -> Predictions:
        """What the run answered to the test photographs, in the file's order."""
        return self._predictions

    @cached_property
    def _predictions(self) -> Predictions:
        return read_predictions(self.folder.predictions("test"))

    def samples(self) -> list[dict[str, Any]]:
        """Photographs shown: path, original, reconstruction (file names in `samples/`; None without a decoder)."""
        return list(_json(self.folder.sample_list))

    def mistakes(self) -> list[dict[str, Any]]:
        """The surest wrong answers with their pictures (`judging.mistakes.Mistake`); early runs have none."""
        return list(_json(self.folder.mistakes)) if self.folder.mistakes.is_file() else []

    def environment(self) -> dict[str, Any]:
        """Versions and hardware."""
        return dict(_json(self.folder.environment))


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """The runs of these folders, each once, in the given order. Reads result and configuration alone.

    Raises MissingInput that names every folder which is not a finished run, and BadData for a broken file.
    """
    if not paths:
        raise MissingInput("a report needs at least one run folder; name those to compare")
    unique = list({path.resolve(): path for path in paths}.values())
    _check_files(unique, lambda folder: [folder.config, folder.result])
    return _named([_read(path) for path in unique])


def check_complete(runs: Sequence[Run]) -> None:
    """Raises MissingInput that names every file which a report shows and a run lacks."""

    def needed(folder: RunFolder) -> list[Path]:
        tested = [folder.predictions("test")] if folder.read_result().get("test") else []
        named = []
        for index, kinds in (
            (folder.sample_list, ("original", "reconstruction")),
            (folder.mistakes, ("photograph", "heat_map")),
        ):
            entries = _json(index) if index.is_file() else []
            named += [folder.samples / entry[kind] for entry in entries for kind in kinds if entry[kind]]
        return [folder.log, folder.environment, folder.sample_list, *tested, *named]

    _check_files([run.folder.path for run in runs], needed)


def _check_files(paths: Sequence[Path], needed: Callable[[RunFolder], list[Path]]) -> None:
    defects = []
    for path in paths:
        if not path.is_dir():
            defects.append(f"{path} is no folder")
            continue
        lacking = [str(file.relative_to(path)) for file in needed(RunFolder(path)) if not file.is_file()]
        if lacking:
            defects.append(f"{path} has no {', '.join(lacking)}")
    if defects:
        raise MissingInput(summary("report", defects, "finish these runs with `semiretina train`, or leave them out"))


def _read(path: Path) -> Run:
    folder = RunFolder(path)
    result = _json(folder.result)
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        raise BadData(f"{folder.result}: not a result of schema {SCHEMA}; train the run again with this version")
    lacking = [key for key in ("seed", "split_sha256", "trained_on", "selected_epoch", "test") if key not in result]
    if lacking:
        raise BadData(f"{folder.result}: has no {', '.join(lacking)}; train the run again with this version")
    try:
        config = tomllib.loads(read_text(folder.config))
    except tomllib.TOMLDecodeError as error:
        raise BadData(f"{folder.config}: not valid TOML: {error}") from None
    name = str(result.get("name") or path.resolve().name)
    # "baseline-seed3" and "baseline-s3" are seed 3 of "baseline".
    name = re.sub(rf"[-_. ](seed|s)[-_]?{result['seed']}$", "", name)
    return Run(folder, name, name, result, config)


def _named(runs: Sequence[Run]) -> list[Run]:
    """Tells apart runs of one name: different experiments by their folder, seeds of one experiment by the seed."""
    settings: dict[str, set[str]] = {}
    for run in runs:
        settings.setdefault(run.name, set()).add(_experiment(run))
    runs = [
        replace(run, name=f"{run.folder.path.resolve().parent.name}/{run.name}") if len(settings[run.name]) > 1 else run
        for run in runs
    ]
    names = [run.name for run in runs]
    labels = [f"{run.name}, seed {run.seed}" if names.count(run.name) > 1 else run.name for run in runs]
    return [
        replace(run, label=str(run.folder.path) if labels.count(label) > 1 else label)
        for run, label in zip(runs, labels, strict=True)
    ]


def _experiment(run: Run) -> str:
    """The settings that make an experiment: all but the seed and where it was computed."""
    kept = {key: value for key, value in run.config.items() if key not in ("seed", "engine")}
    kept["data"] = {key: value for key, value in kept.get("data", {}).items() if key != "cache"}
    return json.dumps(kept, sort_keys=True, default=str)


def _json(file: Path) -> Any:
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise BadData(f"{file}: not valid JSON ({error}); train the run again") from None
