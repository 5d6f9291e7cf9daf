"""A configuration written as TOML, for the run's folder; the standard library reads TOML and does not write it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from semiretina.config import Config


def dump_toml(config: Config) -> str:
    """The resolved configuration as TOML; `config.load_config` reads it back to the same value."""
    return "\n".join(_table(config.model_dump(mode="json"), ())).strip() + "\n"


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines, tables = [], []
    for key, value in values.items():
        if value is None:
            continue
        if isinstance(value, Mapping) and key not in ("method", "model"):
            tables += ["", f"[{'.'.join((*path, key))}]", *_table(value, (*path, key))] if value else []
        elif key == "model":
            tables += ["", "[model]", *_table(value, (*path, key))]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for inner in value:
                scalars = {k: v for k, v in inner.items() if k != "optimizer"}
                tables += ["", f"[[{key}]]", *_table(scalars, (key,))]
                tables += [f"optimizer = {toml_value(inner['optimizer'])}"]
        else:
            lines.append(f"{_key(key)} = {toml_value(value)}")
    return lines + tables


def toml_value(value: Any) -> str:
    """A value as it stands behind `=` in TOML, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {toml_value(v)}" for k, v in value.items() if v is not None) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are TOML's
    return repr(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
