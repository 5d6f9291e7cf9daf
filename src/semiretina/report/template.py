"""Pages from `templates/`: self-contained, everything that enters them is text unless it is marked as markup."""

from collections.abc import Mapping, Sequence
from typing import Any

from semiretina import __version__
from semiretina.report.section import Block, Section


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template filled in. A value that it lacks is an error of ours, never an empty text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  (slow to import)

    environment = Environment(
        loader=PackageLoader("semiretina.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def page_html(
    kind: str, title: str, summary: str, chapters: Sequence[Section], made_from: str, head: Sequence[Block] = ()
) -> str:
    """A page of chapters under a title, a summary and the blocks of its `head`; `kind` is what the page is."""
    top = Section("", head)
    values = {"kind": kind, "title": title, "summary": summary, "head": top, "chapters": chapters}
    return render("page.html", {**values, "made_from": made_from, "version": __version__})
