"""How often a list of test photographs was looked at, from the ledger beside its manifest."""

from collections.abc import Mapping
from pathlib import Path

from semiretina.judging.ledger import Looks
from semiretina.judging.ledger import looks as looks_at
from semiretina.report.run_set import RunSet
from semiretina.report.section import Bullets, Item, Section, section
from semiretina.wording import counted


def looks(runs: RunSet) -> Section | None:
    """The looks at the runs' test list, manifest by manifest; nothing where there is no ledger."""
    manifests = dict.fromkeys(Path(run.config["data"]["manifest"]) for run in runs.runs)
    test_list = runs.runs[0].test_list
    items = [item for manifest in manifests for item in _items(looks_at(manifest, test_list), runs.shared)]
    return section("Looks at the test set", Bullets(items))


def _items(seen: Looks, shared: bool) -> list[Item]:
    """Sentences; those are marked that weaken what the scores say."""
    items = []
    if seen.count:
        first, last = seen.first[:10], seen.last[:10]
        when = f"on {first}" if first == last else f"between {first} and {last}"
        by = f"{counted(seen.count, 'time')} by {counted(len(seen.runs), 'run')}"
        items.append(Item(f"The test list was looked at {by}, {when}."))
    if seen.tracked:
        text = "looked at it after every epoch, as the paper did: that counts as one look, and selects on the test set"
        items.append(Item(f"{counted(seen.tracked, 'training')} {text}.", marked=True))
    for run, thresholds in seen.changed.items():
        name = "One run" if shared else run
        points = " and then ".join(map(_said, thresholds))
        items.append(Item(f"{name} looked with {len(thresholds)} thresholds: {points}.", marked=True))
    if seen.others:
        lists = counted(len(seen.others), "other test list")
        text = f"{lists} of the same manifest {'was' if len(seen.others) == 1 else 'were'} looked at"
        times = counted(sum(seen.others.values()), "time")
        items.append(Item(f"{text}, {times}: the list was edited, or drawn anew.", marked=True))
    return items


def _said(thresholds: Mapping[str, float]) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in thresholds.items())
