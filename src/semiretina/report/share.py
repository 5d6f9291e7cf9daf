"""What a shared report leaves out: photographs, paths, file names, and whose they are.

A report is shared by default where one of its data sets may not be passed on (`Source.redistributable`). Sites,
cameras, counts and scores stay: they are what a paper states.
"""

import csv
import io
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import tomli_w

from semiretina.data.sources import SOURCES
from semiretina.data.sources.source import Source
from semiretina.files import read_text
from semiretina.progress import say
from semiretina.report.runs import Run

LEFT_OUT = "(left out)"
NAMES = ("path", "patient", "exam", "group", "sha256", "mask_MA", "mask_HE", "mask_EX", "mask_SE")
WEIGHTS = (".safetensors", ".pth")

Hide = Callable[[str], str]


def decide(verb: str, runs: Sequence[Run], share: bool | None) -> bool:
    """Whether a page of these runs is to be shared: as the caller says, else where a data set may not be passed on."""
    if share is not None:
        return share
    if kept := forbidding(runs):
        names = " and ".join(kept)
        say(f"{verb}: without photographs and names, since {names} may not be passed on; --no-share shows them")
    return bool(kept)


def source_of(dataset: str) -> Source | None:
    """The source of that data set's photographs, as far as it is one of ours."""
    return SOURCES.get(dataset.replace("-", "_"))


def forbidding(runs: Sequence[Run]) -> list[str]:
    """The data sets of these runs whose photographs may not be passed on."""
    names = dict.fromkeys(row.get("dataset", "") for run in runs for row in _split_rows(run))
    return [name for name in names if (source := source_of(name)) and not source.redistributable]


def public(runs: Sequence[Run]) -> list[Run]:
    """The same runs under names that tell nothing of folders; what is alike then is numbered."""
    names: dict[str, str] = {}
    for run in runs:
        if run.name not in names:
            names[run.name] = _numbered(PurePosixPath(run.name.replace("\\", "/")).name, list(names.values()))
    shown: list[Run] = []
    for run in runs:
        name = names[run.name]
        label = name + run.label.removeprefix(run.name) if run.label.startswith(run.name) else name
        shown.append(replace(run, name=name, label=_numbered(label, [other.label for other in shown])))
    return shown


def _numbered(name: str, others: Sequence[str]) -> str:
    number = 1
    while (numbered := f"{name} ({number})" if number > 1 else name) in others:
        number += 1
    return numbered


def hiding(runs: Sequence[Run], shown: Sequence[Run]) -> Hide:
    """What takes paths, file names, patients and groups of `runs` out of a sentence; `shown` are their public names.

    A name that is a plain word or a plain number ("left", the patient 12) is none where a sentence counts or tells,
    and stays: no sentence of a report names a patient.
    """
    public_names = {name for run in shown for name in (run.name, run.label)}
    hidden = {name for run in runs for name in private_names(run)} - public_names
    known = {n: LEFT_OUT for n in hidden if len(n) > 1 and not n.isdigit() and not (n.isalpha() and n.islower())}
    for old, new in zip(runs, shown, strict=True):
        known |= {a: b for a, b in ((old.label, new.label), (old.name, new.name)) if a != b}
    longest = sorted(known, key=lambda name: (-len(name), name))

    def hide(text: str) -> str:
        # Looked for one by one: an expression of all names would be slow to build, and sentences are few.
        for name in longest:
            if name in text:
                text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda _, to=known[name]: to, text)  # type: ignore[misc]
        return text

    return hide


def private_names(run: Run) -> set[str]:
    """Every path, file name, stem, patient, exam and group that the run's files name, and its own folder.

    Of pretrained weights the path alone: resnet18.safetensors is called as the network is.
    """
    names = {str(run.folder.path), str(run.folder.path.resolve())}
    names |= {row[name] for row in _split_rows(run) for name in NAMES if row.get(name)}
    if run.folder.predictions("test").is_file():
        answers = run.predictions()
        names |= {*answers.paths, *answers.patients, *answers.groups}
    names |= {str(sample["path"]) for sample in run.samples()}
    names |= {value for value in _texts(tomllib.loads(read_text(run.folder.config))) if _is_path(value)}
    for name in list(names):
        path = PurePosixPath(name.replace("\\", "/"))
        names |= {path.name, path.stem} if _is_path(name) and path.suffix not in WEIGHTS else set()
    # A run's own name is shown: it is what the report compares.
    return names - {"", run.folder.path.name, run.folder.path.resolve().name, run.name, run.label}


def public_config(text: str) -> str:
    """A config.toml whose paths are left out; every other setting stays as it is."""
    return tomli_w.dumps(_without_paths(tomllib.loads(text)))


def _without_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_paths(inner) for inner in value]
    return LEFT_OUT if isinstance(value, str) and _is_path(value) else value


def _is_path(value: str) -> bool:
    return "/" in value or "\\" in value or value.endswith((".csv", ".toml", *WEIGHTS))


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def _split_rows(run: Run) -> list[dict[str, str]]:
    file = run.folder.split
    return list(csv.DictReader(io.StringIO(read_text(file), newline=""))) if file.is_file() else []
