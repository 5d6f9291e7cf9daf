"""How often a list of test photographs was looked at, from the ledger beside its manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semiretina.judging.ledger import Looks, looks
from semiretina.report.runs import Run


@dataclass(frozen=True)
class Told:
    """A sentence about the looks; `marked` where it weakens what the scores say."""

    text: str
    marked: bool


def told(runs: Sequence[Run], share: bool) -> list[Told]:
    """The looks at the runs' test list, manifest by manifest; nothing where there is no ledger."""
    manifests = dict.fromkeys(Path(run.config["data"]["manifest"]) for run in runs)
    return [sentence for manifest in manifests for sentence in _sentences(looks(manifest, runs[0].test_list), share)]


def _sentences(found: Looks, share: bool) -> list[Told]:
    sentences = []
    if found.count:
        when = f"on {found.first[:10]}" if found.first[:10] == found.last[:10] else _between(found)
        by = f"by {_counted(len(found.runs), 'run')}"
        sentences.append(Told(f"The test list was looked at {_counted(found.count, 'time')} {by}, {when}.", False))
    if found.tracked:
        text = "looked at it after every epoch, as the paper did: that counts as one look, and selects on the test set"
        sentences.append(Told(f"{_counted(found.tracked, 'training')} {text}.", True))
    for run, seen in found.changed.items():
        name = "One run" if share else run
        points = " and then ".join(map(_said, seen))
        sentences.append(Told(f"{name} looked with {len(seen)} thresholds: {points}.", True))
    if found.others:
        count = sum(found.others.values())
        lists = _counted(len(found.others), "other test list")
        text = f"{lists} of the same manifest {'was' if len(found.others) == 1 else 'were'} looked at"
        sentences.append(Told(f"{text}, {_counted(count, 'time')}: the list was edited, or drawn anew.", True))
    return sentences


def _between(found: Looks) -> str:
    return f"between {found.first[:10]} and {found.last[:10]}"


def _said(thresholds: Mapping[str, float]) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in thresholds.items())


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
