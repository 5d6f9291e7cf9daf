"""Names in a configuration: models, methods and sources stand in visible dicts, and take keyword arguments.

So a configuration is checked against the code itself: what is unknown is refused with the nearest right name.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from semiretina.errors import BadConfig

T = TypeVar("T")


def arguments(
    function: Callable[..., Any], given: Mapping[str, Any], where: str, skip: Sequence[str] = ()
) -> dict[str, Any]:
    """`given` checked against the function's keyword parameters: names (the nearest right one is named) and types.

    `skip` names parameters that the program itself supplies. Raises BadConfig.
    """
    parameters = {
        n: p for n, p in inspect.signature(function, eval_str=True).parameters.items() if n not in (*skip, "self")
    }
    checked = {}
    for name, value in given.items():
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(parameters) or 'none'}"
            raise BadConfig(f"{where}: unknown parameter '{name}'; {hint}")
        try:
            kind = parameters[name].annotation
            adapter = TypeAdapter(
                Any if kind is inspect.Parameter.empty else kind,
                config=ConfigDict(strict=True, arbitrary_types_allowed=True),
            )
            checked[name] = adapter.validate_python(tuple(value) if isinstance(value, list) else value)
        except ValidationError as error:
            raise BadConfig(f"{where}.{name}: {error.errors()[0]['msg']}, not {value!r}") from None
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in checked]
    if missing:
        raise BadConfig(f"{where}: the parameter {', '.join(missing)} must be given")
    return checked


def lookup(table: Mapping[str, T], name: object, where: str) -> T:
    """The entry of a visible dict; an unknown name lists the known ones."""
    if not isinstance(name, str) or name not in table:
        near = difflib.get_close_matches(str(name), table, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise BadConfig(f"{where}: unknown name '{name}'; {hint}known are {', '.join(table)}")
    return table[name]
