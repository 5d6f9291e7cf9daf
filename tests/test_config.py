import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semiretina.checks import check_claim
from semiretina.config import Claim, Config, dump_toml, load_config
from semiretina.errors import BadConfig, MissingInput, Refused
from semiretina.lookup import arguments, lookup
from semiretina.methods import METHODS
from semiretina.models import MODELS
from semiretina.overrides import parse_overrides
from semiretina.run_folder import RunFolder
from semiretina.tasks import make_task

TEXT = """\
tasks = ["dr", "lesions"]

[data]
manifest = "photographs/m.csv"
size = 64
labels = 40

[data.regrade.messidor]
to = "icdr"
grades = [0, 1, 2, 3]

[augment]
scale = [0.8, 1]

[model]
name = "aecl1-small"

[[stages]]
method = { name = "reconstruction" }
epochs = 60
optimizer = { lr = 1e-3 }

[[stages]]
method = { name = "supervised", alpha = 2.5 }
updates = 100
optimizer = { name = "sgd", lr = 5e-3, momentum = 0.9 }
"""


def raw() -> dict[str, Any]:
    return tomllib.loads(TEXT)


def written(folder: Path, text: str = TEXT) -> Path:
    file = folder / "c.toml"
    file.write_text(text)
    return file


def changed(key: str, value: Any) -> dict[str, Any]:
    """The configuration with one key set, past `-o`."""
    whole = raw()
    *path, last = key.split(".")
    place: Any = whole
    for part in path:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    place[last] = value
    return whole


def refusal(source: Path | Mapping[str, Any], *overrides: str) -> str:
    with pytest.raises(BadConfig) as error:
        load_config(source, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


# Reading


def test_a_file_is_read_with_its_defaults(tmp_path):
    config = load_config(written(tmp_path))
    assert config.tasks == ["dr", "lesions"]
    assert (config.data.size, config.data.labels, config.data.by) == (64, 40, "patient")
    assert (config.data.test, config.data.val) == (0.2, 0.2)
    assert config.data.regrade["messidor"].grades == [0, 1, 2, 3]
    assert config.augment.scale == (0.8, 1.0)
    assert config.augment.rotation == 15
    assert config.stages[0].epochs == 60
    assert config.stages[0].updates is None
    assert config.stages[1].method == {"name": "supervised", "alpha": 2.5}
    assert config.stages[1].optimizer.lr == 0.005
    assert config.stages[1].optimizer.betas == (0.9, 0.999)


def test_lists_become_tuples(tmp_path):
    config = load_config(written(tmp_path), ["stages.0.optimizer.betas=[0.5, 0.99]"])
    assert config.stages[0].optimizer.betas == (0.5, 0.99)


def test_a_toml_error_names_file_and_line(tmp_path):
    file = written(tmp_path, 'seed = 1\n[data]\nmanifest = "m.csv\nsize = 64\n')
    message = refusal(file)
    assert message.startswith(f"{file}: not valid TOML: ")
    assert "line 3" in message


def test_a_missing_file(tmp_path):
    with pytest.raises(MissingInput, match=r"none\.toml: no such file"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("sed", "seed"),
        ("augmnet", "augment"),
        ("data.manifets", "manifest"),
        ("data.regrade.messidor.grads", "grades"),
        ("augment.rotations", "rotation"),
        ("stages.1.epoch", "epochs"),
        ("stages.0.optimizer.weight_decey", "weight_decay"),
        ("engine.precison", "precision"),
    ],
)
def test_a_misspelt_key_names_the_nearest(key, right):
    assert f"{key}: unknown key; did you mean '{right}'?" in refusal(changed(key, 1))


def test_a_key_near_to_nothing_lists_the_known_ones():
    assert "engine.xyz: unknown key; known are device, precision," in refusal(changed("engine.xyz", 1))
    assert "data.regrade.messidor.xyz: unknown key; known are to, grades" in refusal(
        changed("data.regrade.messidor.xyz", 1)
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "1"),
        ("seed", 1.0),
        ("seed", True),
        ("data.size", "64"),
        ("data.size", 64.0),
        ("data.size", True),
        ("data.size", 0),
        ("data.test", "0.2"),
        ("data.test", 1.0),
        ("data.test", -0.1),
        ("data.manifest", 3),
        ("data.crop", "round"),
        ("data.by", "eye"),
        ("data.labels", 0),
        ("data.labels", "some"),
        ("data.labels", True),
        ("data.labels", 2.5),
        ("data.regrade.messidor.to", 4),
        ("augment.rotation", 181),
        ("augment.flip", 1),
        ("augment.flip", "true"),
        ("stages.0.optimizer.lr", "5e-3"),
        ("stages.0.optimizer.lr", True),
        ("stages.0.optimizer.lr", 0.0),
        ("stages.0.optimizer.lr", float("inf")),
        ("stages.0.optimizer.lr", float("nan")),
        ("stages.0.optimizer.name", "lbfgs"),
        ("stages.0.optimizer.momentum", 1.0),
        ("stages.0.epochs", 1.5),
        ("stages.0.batch", 0),
        ("stages.0.method", "supervised"),
        ("stages", []),
        ("tasks", []),
        ("tasks", "dr"),
        ("model", "aecl1"),
        ("engine.deterministic", "yes"),
        ("threshold", 0),
    ],
)
def test_a_wrong_value_is_named_with_its_key(key, value):
    message = refusal(changed(key, value))
    assert message.startswith(f"config: {key}: ")
    assert f"not {value!r}" in message


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("augment.scale", [0.9], "augment.scale.1"),
        ("augment.scale", [0.9, "a"], "augment.scale.1"),
        ("stages.0.optimizer.betas", [True, 0.9], "stages.0.optimizer.betas.0"),
        ("data.regrade.messidor.grades", [0, "1"], "data.regrade.messidor.grades.1"),
        ("tasks", ["dr", 3], "tasks.1"),
    ],
)
def test_a_wrong_entry_of_a_list_is_named_with_its_number(key, value, place):
    assert f"{place}: " in refusal(changed(key, value))


def test_all_wrong_keys_are_named_in_one_pass():
    whole = changed("data.size", "64")
    whole["sed"] = 1
    del whole["stages"][1]["optimizer"]["lr"]
    message = refusal(whole)
    assert "data.size: " in message
    assert "sed: unknown key" in message
    assert "stages.1.optimizer.lr: must be given" in message


@pytest.mark.parametrize("key", ["data", "model", "stages"])
def test_sections_that_must_be_there(key):
    whole = raw()
    del whole[key]
    assert f"{key}: must be given" in refusal(whole)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["stages.0.updates=3"], "stages.0: give one of epochs and updates"),
        (["stages.0.epochs=null"], "stages.0: give one of epochs and updates"),
        (["stages.1.method.name=null"], "stages.1.method: has no name"),
        (["model.name=null"], "model: has no name"),
        (["data.test=0.5", "data.val=0.5"], "data.test + data.val: nothing is left to train on"),
    ],
)
def test_combinations_that_cannot_run(tmp_path, overrides, problem):
    assert problem in refusal(written(tmp_path), *overrides)


def test_a_configuration_cannot_be_changed_afterwards():
    config = load_config(raw())
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


# Paths


@pytest.mark.parametrize("folder", [".", "deep/er"])
def test_relative_files_start_at_the_configurations_folder(tmp_path, monkeypatch, folder):
    home = tmp_path / folder
    home.mkdir(parents=True, exist_ok=True)
    file = written(home)
    monkeypatch.chdir(tmp_path)
    config = load_config(
        file.relative_to(tmp_path), ["data.cache='../pixels'", "model.weights='w/a.safetensors'", "seed=3"]
    )
    assert config.data.manifest == str(home / "photographs" / "m.csv")
    assert config.data.cache == str((home / ".." / "pixels").resolve())
    assert config.model["weights"] == str(home / "w" / "a.safetensors")


def test_absolute_files_and_names_of_weights_stay(tmp_path):
    config = load_config(written(tmp_path), ["data.manifest=/far/m.csv", "model.weights=imagenet"])
    assert config.data.manifest == "/far/m.csv"
    assert config.model["weights"] == "imagenet"
    assert config.data.cache == ""


def test_a_dicts_files_start_where_the_program_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(raw()).data.manifest == str(tmp_path / "photographs" / "m.csv")


# Overrides


def test_overrides_by_key_and_by_number(tmp_path):
    overrides = [
        "seed=7",
        "data.labels=all",
        "data.manifest=other files/m=1.csv",
        "augment.scale=[0.5, 0.75]",
        "stages.1.optimizer.lr=3e-3",
        "stages.-1.method.alpha=4",
        " engine.device = cpu",
        "data.regrade.messidor.grades.3=-1",
        "stages.0.method={name = 'combined', lambda_cl = 3.0}",
    ]
    config = load_config(written(tmp_path), overrides)
    assert config.seed == 7
    assert config.data.labels == "all"
    assert config.data.manifest == str(tmp_path / "other files" / "m=1.csv")
    assert config.augment.scale == (0.5, 0.75)
    assert config.stages[1].optimizer.lr == 0.003
    assert config.stages[1].method["alpha"] == 4
    assert config.engine.device == "cpu"
    assert config.data.regrade["messidor"].grades == [0, 1, 2, -1]
    assert config.stages[0].method == {"name": "combined", "lambda_cl": 3.0}


def test_null_takes_a_key_or_an_entry_away(tmp_path):
    overrides = ["stages.0.epochs=null", "stages.0.updates=5", "data.regrade=null", "stages.1=null"]
    config = load_config(written(tmp_path), overrides)
    assert (config.stages[0].epochs, config.stages[0].updates) == (None, 5)
    assert config.data.regrade == {}
    assert len(config.stages) == 1


@pytest.mark.parametrize("override", ["seed", "=3", "", " =3"])
def test_a_malformed_override(override):
    assert "not of the form a.b=value" in refusal(raw(), override)


@pytest.mark.parametrize(
    "override",
    [
        "stages.2.epochs=3",
        "stages.first.epochs=3",
        "stages.5=null",
        "seeed=null",
        "data.labels.x=3",
        "data.size.x.y=3",
        "tasks.0.x=3",
    ],
)
def test_an_override_of_nothing(override):
    message = refusal(raw(), override)
    assert message == f"-o {override}: there is no '{override.split('=')[0]}' in the configuration"


def test_an_override_with_a_misspelt_key_or_a_wrong_type():
    assert "did you mean 'lr'?" in refusal(raw(), "stages.0.optimizer.lrr=3")
    assert "stages.0.optimizer.lr: " in refusal(raw(), "stages.0.optimizer.lr=fast")
    assert "stages.0.optimizer.lr: " in refusal(raw(), "stages.0.optimizer.lr='5e-3'")


def test_overrides_do_not_touch_the_dict_that_was_given():
    source = raw()
    load_config(source, ["stages.0.epochs=3", "data.size=128", "tasks.0=dme"])
    assert source == raw()


def test_parse_overrides():
    assert parse_overrides(["a.b=3", "a.c=x y", "d=[1, 2]", "e=true", "f='4'"]) == {
        "a": {"b": 3, "c": "x y"},
        "d": [1, 2],
        "e": True,
        "f": "4",
    }


# Writing

finite = st.floats(1e-300, 1e300)
names = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
# No key is special, not even one that the file has in another place.
keys = names | st.sampled_from(["model", "method", "optimizer", "stages", "a.b", "a b", '"', "\n", "\x7f", "true", "1"])
plain = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | names
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)
parameters = st.dictionaries(keys.filter(lambda key: key not in ("name", "weights")), values, max_size=3)
stage = st.fixed_dictionaries(
    {
        "method": st.builds(lambda name, others: {"name": name, **others}, names, parameters),
        "optimizer": st.fixed_dictionaries(
            {"lr": finite},
            optional={"name": st.sampled_from(["sgd", "adamw"]), "clip": finite, "betas": st.just([0.1, 0.2])},
        ),
        "images": st.sampled_from(["all", "unlabeled"]),
    }
)
config_parts = st.fixed_dictionaries(
    {
        "seed": st.integers(-(2**63), 2**63 - 1),
        "tasks": st.lists(names, min_size=1, max_size=3),
        "stages": st.lists(
            stage.map(lambda s: {**s, "epochs": 3}) | stage.map(lambda s: {**s, "updates": 9}), min_size=1
        ),
        "model": st.builds(lambda name, others: {"name": name, **others}, names, parameters),
        "augment": st.fixed_dictionaries({}, optional={"scale": st.tuples(finite, finite).map(list)}),
    },
    optional={"track_test": st.booleans(), "engine": st.fixed_dictionaries({"device": names})},
)


@settings(max_examples=150, deadline=None)
@given(
    config_parts,
    st.one_of(st.just("all"), st.integers(1, 10**6)),
    st.dictionaries(
        keys,
        st.fixed_dictionaries({"to": names, "grades": st.lists(st.integers(-1, 4))}),
    ),
)
def test_round_trip(parts, labels, regrade):
    config = load_config({**parts, "data": {"manifest": "/p/m.csv", "size": 64, "labels": labels, "regrade": regrade}})
    again = load_config(tomllib.loads(dump_toml(config)))
    assert again == config
    assert type(again.model) is type(config.model)
    assert dump_toml(again) == dump_toml(config)


def test_the_resolved_file_means_the_same_elsewhere(tmp_path):
    config = load_config(written(tmp_path), ["data.cache=pixels"])
    (tmp_path / "run").mkdir()
    assert load_config(written(tmp_path / "run", dump_toml(config))) == config


def test_a_file_written_out_names_every_default(tmp_path):
    text = dump_toml(load_config(written(tmp_path)))
    table = tomllib.loads(text)
    unset = {name for name, field in Config.model_fields.items() if field.default is None}  # nothing to write
    assert set(table) == set(Config.model_fields) - unset
    assert table["data"]["split_seed"] == 0
    assert table["stages"][1]["optimizer"]["eps"] == 1e-8
    assert "updates" not in table["stages"][0]  # TOML has no null: what is absent is not set


# Parameters of functions


def built(outputs: int, *, width: int = 8, rate: float = 0.5, widths: tuple[int, ...] = (1, 2), tied: bool = False):
    return outputs, width, rate, widths, tied


def needs(*, root: str, scale: str = ""):
    return root, scale


def test_arguments_checks_and_converts():
    given = {"rate": 1, "widths": [3, 4], "tied": True}
    assert arguments(built, given, "model", skip=("outputs",)) == {"rate": 1.0, "widths": (3, 4), "tied": True}
    assert arguments(built, {}, "model", skip=("outputs",)) == {}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"withd": 3}, "model: unknown parameter 'withd'; did you mean 'width'?"),
        ({"xyz": 3}, "model: unknown parameter 'xyz'; known are width, rate, widths, tied"),
        ({"outputs": 3}, "model: unknown parameter 'outputs'; known are width, rate, widths, tied"),
        ({"width": "3"}, "model.width: .*, not '3'"),
        ({"width": True}, "model.width: .*, not True"),
        ({"width": 3.0}, "model.width: .*, not 3.0"),
        ({"rate": "5e-3"}, "model.rate: .*, not '5e-3'"),
        ({"widths": [1, "a"]}, r"model.widths: .*, not \[1, 'a'\]"),
        ({"tied": 1}, "model.tied: .*, not 1"),
    ],
)
def test_arguments_names_what_is_wrong(given, problem):
    with pytest.raises(BadConfig, match=f"^{problem}"):
        arguments(built, given, "model", skip=("outputs",))


def test_arguments_names_what_must_be_given():
    with pytest.raises(BadConfig, match="table: the parameter root must be given"):
        arguments(needs, {"scale": "icdr"}, "table")
    with pytest.raises(BadConfig, match="none: unknown parameter 'a'; known are none"):
        arguments(lambda: None, {"a": 1}, "none")


def test_lookup():
    table = {"aecl1": 1, "aeres18": 2}
    assert lookup(table, "aecl1", "model") == 1
    with pytest.raises(BadConfig) as error:
        lookup(table, "aecl", "model")
    assert str(error.value) == "model: unknown name 'aecl'; did you mean 'aecl1'? known are aecl1, aeres18"
    for name in ("zzz", 3, None, ["aecl1"]):
        with pytest.raises(BadConfig, match=r"known are aecl1, aeres18$"):
            lookup(table, name, "model")


@pytest.mark.parametrize("name", MODELS)
def test_every_models_parameters_can_be_checked(name):
    parameters = MODELS[name].parameters
    accepted = arguments(MODELS[name].build, parameters, "model", skip=("outputs", "size"))
    assert accepted == parameters
    with pytest.raises(BadConfig, match="unknown parameter 'hiden'; did you mean 'hidden'"):
        arguments(MODELS[name].build, {"hiden": 4}, "model", skip=("outputs", "size"))


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("supervised", "lambda", "lambda_cl"),
        ("combined", "lambda_c1", "lambda_cl"),
        ("combined", "reducton", "reduction"),
        ("reconstruction", "reductions", "reduction"),
        ("linear_probe", "c", None),
    ],
)
def test_a_methods_misspelt_parameter_names_the_nearest(name, wrong, right):
    method = METHODS[name]
    skip = ("network", "tasks", "class_weights", "weights")
    with pytest.raises(BadConfig) as error:
        arguments(method.__init__, {wrong: 1.0}, f"stages.0.method.{name}", skip=skip)
    assert f"unknown parameter '{wrong}'; " in str(error.value)
    assert (f"did you mean '{right}'?" if right else "known are ") in str(error.value)


# A claim


CLAIM = {"against": "baseline", "score": "auroc", "margin": 0.02}


def test_a_claim_is_read_and_written_back():
    config = load_config(changed("claim", CLAIM | {"task": "lesions.MA"}))
    assert config.claim is not None
    assert (config.claim.against, config.claim.task, config.claim.margin) == ("baseline", "lesions.MA", 0.02)
    assert tomllib.loads(dump_toml(config))["claim"] == CLAIM | {"task": "lesions.MA"}
    assert "claim" not in tomllib.loads(dump_toml(load_config(raw())))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("agianst", "baseline", "claim.agianst: unknown key; did you mean 'against'?"),
        ("margin", 2, "claim.margin: Input should be"),
        ("margin", 2.0, "claim.margin: Input should be less than 1"),
        ("margin", 0.0, "claim.margin: Input should be greater than 0"),
        ("score", "kappa", "claim.score: Input should be 'auroc', 'accuracy' or 'quadratic_kappa', not 'kappa'"),
        ("against", "", "claim.against: "),
    ],
)
def test_a_claim_is_checked(key, value, told):
    assert told in refusal(changed("claim", CLAIM | {key: value}))


def test_a_claim_without_a_margin_is_none():
    assert "claim.margin: must be given" in refusal(changed("claim", {"against": "baseline", "score": "auroc"}))


def tasks_of(*names):
    return {name: make_task(name, "icdr") for name in names}


@pytest.mark.parametrize(
    ("task", "score", "told"),
    [
        ("severity", "auroc", "claim.task: this experiment has no task 'severity', but dr, lesions, dme"),
        ("lesions", "auroc", "claim.task: 'lesions' is not one of the outputs that can be compared: 'lesions.MA',"),
        ("lesions.XX", "auroc", "claim.task: 'lesions.XX' is not one of the outputs that can be compared: "),
        ("dr.dr", "auroc", "claim.task: 'dr' has no outputs to choose from; write 'dr'"),
        ("", "quadratic_kappa", "claim.score: quadratic_kappa is of grades, and 'dr' is yes or no; take auroc or"),
    ],
)
def test_a_claim_names_what_the_experiment_has(task, score, told):
    with pytest.raises(BadConfig) as error:
        check_claim(Claim(against="baseline", task=task, score=score, margin=0.02), tasks_of("dr", "lesions", "dme"))
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    ("task", "score"), [("", "accuracy"), ("lesions.HE", "auroc"), ("severity:icdr", "quadratic_kappa")]
)
def test_a_claim_that_can_be_judged_passes(task, score):
    check_claim(
        Claim(against="baseline", task=task, score=score, margin=0.02), tasks_of("dr", "lesions", "severity:icdr")
    )


def test_a_run_that_began_keeps_to_its_claim(tmp_path):
    run = RunFolder(tmp_path / "run")
    with run.claimed(load_config(changed("claim", CLAIM))):
        pass
    for other in (changed("claim", CLAIM | {"margin": 0.01}), raw()):
        with pytest.raises(Refused, match=r"claim\.margin = 0\.02 there"), run.claimed(load_config(other)):
            pass
