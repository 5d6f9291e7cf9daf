"""One self-contained page, `report.html`, from run folders, and beside it the same as Markdown and as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiretina import __version__
from semiretina.files import finite, write_text
from semiretina.report.json_text import section_json
from semiretina.report.markdown import plain, section_markdown
from semiretina.report.runs import check_complete, read_runs
from semiretina.report.section import NOTICE, Section
from semiretina.report.template import page_html

if TYPE_CHECKING:
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
    from semiretina.report.contents import gather, summary_of  # noqa: PLC0415
    from semiretina.report.run_set import RunSet  # noqa: PLC0415
    from semiretina.report.share import decide, hiding, public  # noqa: PLC0415

    read = read_runs(runs)
    check_complete(read)
    shown = RunSet(read)
    if decide("report", read, share):
        named = public(read)
        shown = RunSet(named, shared=True, hide=hiding(read, named))
    chapters, summary = gather(shown), summary_of(shown)
    title = ", ".join(dict.fromkeys(run.name for run in shown.runs))
    write_text(out / "report.md", _markdown(title, summary, chapters))
    write_text(out / "report.json", _json(title, summary, chapters, shown))
    file = out / "report.html"
    made_from = "run folders alone; report.md and report.json beside it hold the same numbers"
    write_text(file, page_html("report", title, summary, chapters, made_from))
    return file


def _markdown(title: str, summary: str, chapters: Sequence[Section]) -> str:
    texts = [text for chapter in chapters if (text := section_markdown(chapter))]
    made = f"Made by semiretina {__version__} from run folders alone.\n"
    return "\n".join([f"# {plain(title)}\n\n{plain(summary)}\n", *texts, made])


def _json(title: str, summary: str, chapters: Sequence[Section], runs: "RunSet") -> str:
    """What the page shows, but for photographs, and the result of every run: an object of schema `SCHEMA`."""
    report = {
        "schema": SCHEMA,
        "semiretina": __version__,
        "shared": runs.shared,
        "notice": NOTICE,
        "title": title,
        "summary": summary,
        "sections": [section_json(chapter) for chapter in chapters],
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
