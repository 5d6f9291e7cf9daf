"""What a page folds away of a run: its configuration, its environment and its test list."""

import json

from semiretina.files import read_text
from semiretina.report.run_set import RunSet
from semiretina.report.runs import Run
from semiretina.report.section import Code, Facts, Section, section
from semiretina.report.share import public_config


def settings(runs: RunSet) -> Section | None:
    """The settings of every run, folded away."""
    return section("", *(settings_of(run, runs.shared) for run in runs.runs))


def settings_of(run: Run, shared: bool = False) -> Section:
    """`config.toml`, versions and hardware, and the hash of the test list; what is `shared` names no path."""
    config = read_text(run.folder.config)
    environment = [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in run.environment().items()
        if value is not None
    ]
    facts = Facts([*environment, ("test list (SHA-256)", run.test_list)], kind="environment")
    file = Section("config.toml", [Code(public_config(config) if shared else config)])
    return Section(run.label, [file, Section("Environment", [facts])], folded=True)
