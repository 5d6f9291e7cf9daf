"""One self-contained page, `report.html`, from run folders, and beside it the same as Markdown and as JSON."""

from collections.abc import Sequence
from pathlib import Path

from semiretina import __version__
from semiretina.files import write_text
from semiretina.report.runs import check_complete, read_runs
from semiretina.report.tables import NOT_ABOVE
from semiretina.report.template import render


def write_report(runs: Sequence[Path], out: Path, share: bool | None = None) -> Path:
    """Writes `out`/report.html, which compares these run folders, report.md and report.json; returns the page's path.

    Nothing in the page asks for another file or a network. Runs that were tested on different photographs are shown
    under a warning and in separate comparisons. With `share` no photograph, path, file name or patient is in any of the
    three files; None shares where a data set of the runs may not be passed on.

    Raises MissingInput that names the files which unfinished runs lack, BadData for a broken one, CannotWrite.
    """
    # What follows brings scipy along, which takes long to import; tables of results need none of it.
    from semiretina.report.contents import gather  # noqa: PLC0415
    from semiretina.report.json_text import to_json  # noqa: PLC0415
    from semiretina.report.markdown import to_markdown  # noqa: PLC0415
    from semiretina.report.share import decide  # noqa: PLC0415

    read = read_runs(runs)
    check_complete(read)
    contents = gather(read, decide("report", read, share))
    page = render("report.html", {**vars(contents), "not_above": NOT_ABOVE, "version": __version__})
    write_text(out / "report.md", to_markdown(contents))
    write_text(out / "report.json", to_json(contents))
    file = out / "report.html"
    write_text(file, page)
    return file
