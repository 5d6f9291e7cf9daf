"""What a page folds away of a run: its configuration, its environment and its test list."""

import json
from dataclasses import dataclass

from semiretina.files import read_text
from semiretina.report.runs import Run
from semiretina.report.share import public_config


@dataclass(frozen=True)
class Settings:
    """Of one run: `config.toml`, versions and hardware in pairs of name and value, the hash of the test list."""

    run: str
    config: str
    environment: list[tuple[str, str]]
    test_list: str


def settings(run: Run, share: bool = False) -> Settings:
    """The run's settings; with `share` without paths."""
    config = read_text(run.folder.config)
    return Settings(
        run=run.label,
        config=public_config(config) if share else config,
        environment=[
            (name, value if isinstance(value, str) else json.dumps(value))
            for name, value in run.environment().items()
            if value is not None
        ],
        test_list=run.test_list,
    )
