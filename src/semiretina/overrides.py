"""Single values of a configuration, set by hand: `-o stages.1.optimizer.lr=3e-3`."""

import tomllib
from collections.abc import Sequence
from typing import Any

from semiretina.errors import BadConfig

# "a.b=value", or the dotted key and its value. A text is read as TOML, and as plain text where it is not TOML;
# "a.b=null" takes the key away.
Override = str | tuple[str, Any]


def parse_overrides(overrides: Sequence[Override]) -> dict[str, Any]:
    """The overrides as a nested dict."""
    raw: dict[str, Any] = {}
    for override in overrides:
        apply(raw, override)
    return raw


def apply(raw: dict[str, Any], override: Override) -> None:
    """Sets one value in nested dicts and lists. Raises BadConfig where there is no such key."""
    key, value = _parse(override) if isinstance(override, str) else override
    *path, last = key.strip().split(".")
    place: Any = raw
    try:
        for name in path:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        index: Any = int(last) if isinstance(place, list) else last
        if value is None:
            del place[index]
        else:
            place[index] = value
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BadConfig(f"-o {_shown(override)}: there is no '{key}' in the configuration") from None


def _parse(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise BadConfig(f"-o {override}: not of the form a.b=value")
    if text.strip() == "null":
        return key, None
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text.strip()


def _shown(override: Override) -> str:
    return override if isinstance(override, str) else f"{override[0]}={override[1]}"
