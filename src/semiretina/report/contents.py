"""All that a report shows, section by section in the order of the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from semiretina.report.cautions import cautions
from semiretina.report.confusions import confusions
from semiretina.report.curves import curves
from semiretina.report.data_card import photographs, sources
from semiretina.report.epoch_curves import validation_curves
from semiretina.report.eyes_and_patients import eyes_and_patients
from semiretina.report.findings import findings
from semiretina.report.lesions import lesions
from semiretina.report.looks import looks
from semiretina.report.loss_weights import loss_weights
from semiretina.report.minibatch_schedule import minibatch_schedule
from semiretina.report.mistakes import mistakes
from semiretina.report.operating_point import operating_point
from semiretina.report.paper_protocol import paper_protocol
from semiretina.report.reconstructions import reconstructions
from semiretina.report.referral import referral
from semiretina.report.results import results
from semiretina.report.run_set import RunSet
from semiretina.report.section import Block, Section
from semiretina.report.settings import settings
from semiretina.report.subgroups import subgroups


class Chapter(NamedTuple):
    """Sections under one heading of the page, and what its list of contents calls them.

    With `apart` the sections are made of the runs of each test list by themselves: only these may be compared.
    """

    title: str
    short: str
    sections: Sequence[Callable[[RunSet], Section | None]]
    apart: bool = False


# By the anchor on the page. A section is a function of the runs, and None where they have nothing of it.
CHAPTERS: Mapping[str, Chapter] = {
    "findings": Chapter("Findings", "Findings", [findings]),
    "results": Chapter(
        "Results on the test photographs",
        "Results",
        [
            results,
            curves,
            confusions,
            subgroups,
            eyes_and_patients,
            operating_point,
            referral,
            paper_protocol,
        ],
        apart=True,
    ),
    "training": Chapter("Training", "Training", [validation_curves, minibatch_schedule, loss_weights], apart=True),
    "reconstructions": Chapter("Originals and reconstructions", "Reconstructions", [reconstructions]),
    "lesions": Chapter("Lesions that survive reconstruction", "Lesions", [lesions]),
    "mistakes": Chapter("Worst mistakes", "Worst mistakes", [mistakes]),
    "data": Chapter("Data card", "Data", [photographs, sources, looks], apart=True),
    "cautions": Chapter("Cautions", "Cautions", [cautions]),
    "settings": Chapter("Settings and environment", "Settings", [settings]),
}


def gather(runs: RunSet) -> list[Section]:
    """The chapters of which these runs have something. Raises BadData for a broken file."""
    chapters = [_chapter(name, chapter, runs) for name, chapter in CHAPTERS.items()]
    return [chapter for chapter in chapters if chapter.blocks]


def _chapter(name: str, chapter: Chapter, runs: RunSet) -> Section:
    if not chapter.apart:
        return Section(chapter.title, _blocks(chapter, runs), name, chapter.short)
    lists = []
    for part in runs.test_lists():
        if blocks := _blocks(chapter, part):
            lists.append(Section(part.title, blocks, part.runs[0].test_list[:12], kind="list"))
    return Section(chapter.title, lists, name, chapter.short)


def _blocks(chapter: Chapter, runs: RunSet) -> list[Block]:
    """What a chapter's sections hold; one without a title gives its blocks to the chapter."""
    blocks: list[Block] = []
    for write in chapter.sections:
        if section := write(runs):
            blocks += [replace(section, name=write.__name__)] if section.title else section.blocks
    return blocks


def summary_of(runs: RunSet) -> str:
    """How many runs were tested on what, in a sentence."""
    count, lists = len(runs.runs), len(runs.test_lists())
    if lists > 1:
        return f"{count} runs, tested on {lists} different lists of photographs."
    # The paper's protocol looks at the test photographs after every epoch.
    tracked = any(run.result.get("paper_protocol") for run in runs.runs)
    if count > 1:
        chosen = "" if tracked else " or selected"
        tested = f" compared on the same {runs.rows[0].n} test photographs, which no run was trained{chosen} on"
        return f"{count} runs{tested if runs.rows else ''}."
    unseen = "not trained" if tracked else "neither trained nor selected"
    return f"One run{f', tested on photographs that it was {unseen} on' if runs.rows else ''}."
