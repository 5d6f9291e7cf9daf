import inspect

import pytest

from semiretina.catalogue import catalogue, sources
from semiretina.data.sources import SOURCES
from semiretina.losses.reconstruction import RECONSTRUCTION_LOSSES
from semiretina.methods import METHODS
from semiretina.methods.balance import BALANCES
from semiretina.models import MODELS
from semiretina.models.weights import KEY_MAPS
from semiretina.records import SCALES
from semiretina.tasks import TASKS


def sections() -> dict[str, dict[str, str]]:
    """title -> name -> all that is said of it."""
    found: dict[str, dict[str, str]] = {}
    for line in catalogue().splitlines():
        if not line.startswith(" "):
            entries = found.setdefault(line.removesuffix(":"), {})
        elif not line.startswith("   "):
            name = line.strip().split(":")[0]
            entries[name] = line.strip().partition(":")[2]
        else:
            entries[name] += "\n" + line.strip()
    return found


def options(function, skip=()):
    return {
        p.name: p.default
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name not in skip
    }


def test_every_name_stands_in_its_section_and_no_other():
    found = sections()
    expected = {
        "tasks": TASKS,
        "scales": SCALES,
        "sources (data import)": SOURCES,
        "models": MODELS,
        "methods": METHODS,
        "balances (of the method balanced)": BALANCES,
        "reconstruction losses": RECONSTRUCTION_LOSSES,
        "weights (weights convert --as)": KEY_MAPS,
    }
    assert {title: list(entries) for title, entries in found.items()} == {t: list(e) for t, e in expected.items()}


@pytest.mark.parametrize("name", SOURCES)
def test_a_sources_options_and_defaults_are_shown(name):
    text = sections()["sources (data import)"][name]
    for option, default in options(SOURCES[name].read).items():
        assert f"{option} = {default!r}" in text


@pytest.mark.parametrize(
    ("title", "name", "kind"),
    [
        *(("methods", name, kind) for name, kind in METHODS.items()),
        *(("balances (of the method balanced)", name, kind) for name, kind in BALANCES.items()),
    ],
)
def test_the_parameters_and_the_objective_of_a_method_or_a_balance_are_shown(title, name, kind):
    text = sections()[title][name]
    assert inspect.getdoc(kind).splitlines()[0] in text
    shown = text.splitlines()[-1].split(", ")
    for parameter, default in options(kind.__init__).items():
        required = default is inspect.Parameter.empty
        assert (parameter if required else f"{parameter} = {default!r}") in shown


@pytest.mark.parametrize("name", MODELS)
def test_a_models_parameters_and_sizes_are_shown(name):
    model = MODELS[name]
    text = sections()["models"][name]
    assert f"at least {model.smallest} px, a multiple of {model.multiple}" in text
    assert model.about in text
    for parameter, default in options(model.build).items():
        assert f"{parameter} = {model.defaults.get(parameter, default)!r}" in text


def test_scales_show_their_highest_grade():
    assert sections()["scales"] == {
        "icdr": " grades 0 to 4",
        "messidor": " grades 0 to 3",
        "binary": " grades 0 to 1",
    }


def test_sources_tell_what_one_must_know():
    text = sources()
    for name, source in SOURCES.items():
        assert f"{name}: {source.title}" in text
        assert f"licence: {source.licence}" in text
        assert f"get it: {source.get}" in text
        assert f"grading scale: {source.scale}" in text
    assert "doi:10.3390/data3030025" in text
    assert not any(line.endswith(": ") for line in text.splitlines())  # what is unknown is left out
