"""Pages from `templates/`: self-contained, everything that enters them is text unless it is marked as markup."""

from collections.abc import Mapping
from typing import Any


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template filled in. A value that it lacks is an error of ours, never an empty place."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  (slow to import)

    environment = Environment(
        loader=PackageLoader("semiretina.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)
