"""Names in a configuration: models, methods and sources stand in visible dicts, and take keyword arguments.

So a configuration is checked against the code itself: what is unknown is refused with the nearest right name.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

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


def explain(problem: Any, raw: Mapping[str, Any], model: type[BaseModel]) -> str:
    """A defect that pydantic found in `raw`, in words: the key, and the nearest one where it is unknown."""
    path: list[str] = []
    place: Any = raw
    for part in problem["loc"]:
        if not isinstance(place, (Mapping, list)):
            break  # pydantic goes on with the branches of a union, which nobody wrote
        path.append(str(part))
        place = place.get(part) if isinstance(place, Mapping) else place[part] if part < len(place) else None
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, problem["loc"][:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        return f"{key}: unknown key; {f'did you mean {near[0]!r}?' if near else 'known are ' + ', '.join(known)}"
    if problem["type"] == "missing":
        return f"{key}: must be given"
    return f"{key}: {problem['msg']}, not {problem['input']!r}"


def _known_keys(section: Any, path: Sequence[Any]) -> list[str]:
    for part in path:
        if isinstance(part, int) or not (inspect.isclass(section) and issubclass(section, BaseModel)):
            continue
        if part not in section.model_fields:
            continue  # a key of a dict of sections, as in [data.regrade.messidor]
        annotation = section.model_fields[part].annotation
        inner = [a for a in getattr(annotation, "__args__", ()) if inspect.isclass(a) and issubclass(a, BaseModel)]
        section = inner[-1] if inner else annotation
    return list(section.model_fields) if inspect.isclass(section) and issubclass(section, BaseModel) else []
