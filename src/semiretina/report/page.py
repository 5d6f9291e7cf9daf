"""One self-contained page, `report.html`, from run folders, and beside it the same as Markdown and as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiretina import __version__
from semiretina.files import write_text
from semiretina.report.markdown import plain, section_markdown
from semiretina.report.runs import check_complete, read_runs
from semiretina.report.section import NOTICE
from semiretina.report.template import render
from semiretina.run_folder import finite

if TYPE_CHECKING:
    from semiretina.report.contents import Contents
    from semiretina.report.run_set import RunSet
    from semiretina.report.share import Hide

SCHEMA = 2  # of report.json


def write_report(runs: Sequence[Path], out: Path, share: bool | None = None) -> Path:
    """Writes `out`/report.html, which compares these run folders, report.md and report.json; returns the page's path.

    Nothing in the page asks for another file or a network. Runs that were tested on different photographs are shown
    under a warning and in separate comparisons. With `share` no photograph, path, file name or patient is in any of the
    three files; None shares where a data set of the runs may not be passed on.

    Raises MissingInput that names the files which unfinished runs lack, BadData for a broken one, CannotWrite.
    """
    # What follows brings scipy along, which takes long to import; tables of results need none of it.
    from semiretina.report.contents import gather  # noqa: PLC0415
    from semiretina.report.run_set import RunSet  # noqa: PLC0415
    from semiretina.report.share import decide, hiding, public  # noqa: PLC0415

    read = read_runs(runs)
    check_complete(read)
    shown = RunSet(read)
    if decide("report", read, share):
        named = public(read)
        shown = RunSet(named, shared=True, hide=hiding(read, named))
    contents = gather(shown)
    write_text(out / "report.md", to_markdown(contents))
    write_text(out / "report.json", to_json(shown, contents))
    file = out / "report.html"
    write_text(file, to_html(contents))
    return file


def to_html(contents: "Contents") -> str:
    """The page."""
    from semiretina.report.contents import CHAPTERS  # noqa: PLC0415

    short = {name: chapter.short for name, chapter in CHAPTERS.items()}
    return render("report.html", {"contents": contents, "short": short, "version": __version__})


def to_markdown(contents: "Contents") -> str:
    """The sentences, every table and the cautions."""
    chapters = [text for chapter in contents.chapters if (text := section_markdown(chapter))]
    made = f"Made by semiretina {__version__} from run folders alone.\n"
    return "\n".join([f"# {plain(contents.title)}\n\n{plain(contents.summary)}\n", *chapters, made])


def to_json(runs: "RunSet", contents: "Contents") -> str:
    """All that the page shows, but for photographs, and the result of every run: an object of schema `SCHEMA`."""
    from semiretina.report.json_text import section_json  # noqa: PLC0415

    report = {
        "schema": SCHEMA,
        "semiretina": __version__,
        "shared": runs.shared,
        "notice": NOTICE,
        "title": contents.title,
        "summary": contents.summary,
        "sections": [section_json(chapter) for chapter in contents.chapters],
        "runs": [
            {
                "label": run.label,
                "name": run.name,
                "seed": run.seed,
                "result": _hidden({**run.result, "name": run.name}, runs.hide),
                "epochs": [_epoch(row) for row in run.epochs()],
            }
            for run in runs.runs
        ],
    }
    return json.dumps(finite(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _hidden(value: Any, hide: "Hide") -> Any:
    if isinstance(value, Mapping):
        return {hide(str(key)): _hidden(inner, hide) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(inner, hide) for inner in value]
    return hide(value) if isinstance(value, str) else value


def _epoch(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("phase", "stage", "epoch", "train", "val", "test") if name in row}
