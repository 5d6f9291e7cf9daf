"""What a configuration may name, read off the code itself: `semiretina list` and `semiretina data list`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from semiretina.data.sources import SOURCES
from semiretina.losses.reconstruction import RECONSTRUCTION_LOSSES
from semiretina.methods import METHODS
from semiretina.methods.balance import BALANCES
from semiretina.models import MODELS
from semiretina.models.key_maps import KEY_MAPS
from semiretina.records import SCALES
from semiretina.tasks import TASKS


def catalogue() -> str:
    """All names with their parameters and defaults, as text."""
    sections = {
        "tasks": dict.fromkeys(TASKS, ""),
        "scales": {name: f"grades 0 to {highest}" for name, highest in SCALES.items()},
        "sources (data import)": {name: _parameters(source.read) for name, source in SOURCES.items()},
        "models": {
            name: f"{model.about}; a side of at least {model.smallest} px, a multiple of {model.multiple}\n"
            + _shown(model.parameters)
            for name, model in MODELS.items()
        },
        "methods": {name: f"{_first_line(method)}\n{_parameters(method.__init__)}" for name, method in METHODS.items()},
        "balances (of the method balanced)": {
            name: f"{_first_line(kind)}\n{_parameters(kind.__init__)}" for name, kind in BALANCES.items()
        },
        "reconstruction losses": {name: _first_line(loss) for name, loss in RECONSTRUCTION_LOSSES.items()},
        "weights (weights convert --as)": dict.fromkeys(KEY_MAPS, ""),
    }
    lines = []
    for title, entries in sections.items():
        lines.append(f"{title}:")
        for name, text in entries.items():
            first, *more = text.strip().split("\n") if text.strip() else [""]
            lines.append(f"  {name}{': ' + first if first else ''}")
            lines += [f"      {line}" for line in more if line]
    return "\n".join(lines)


def sources() -> str:
    """The data sets that can be imported, with what one must know before using them."""
    lines = []
    for name, source in SOURCES.items():
        lines.append(f"{name}: {source.title}")
        lines += [f"    {fact}: {value}" for fact, value in source.facts().items() if value]
    return "\n".join(lines)


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]


def _parameters(function: Callable[..., Any]) -> str:
    parameters = inspect.signature(function).parameters.values()
    return _shown({p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY})


def _shown(parameters: Mapping[str, Any]) -> str:
    return ", ".join(
        name if value is inspect.Parameter.empty else f"{name} = {value!r}" for name, value in parameters.items()
    )
