"""One experiment as data: read from a TOML file, and checked whole before anything starts.

Hyper-parameters live here and nowhere else; the command line sets one with `-o stages.1.optimizer.lr=3e-3`. What
stands under a model's or a method's name is checked against its function: see `lookup`.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from semiretina.errors import BadConfig
from semiretina.files import read_text
from semiretina.lookup import explain
from semiretina.overrides import Override, apply

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Prevalence = Annotated[float, Field(gt=0.0, lt=1.0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Regrade(_Section):
    """How the grades of one scale are read on another: `grades[old]` is the new grade, -1 where there is none."""

    to: str
    grades: list[int]


class Data(_Section):
    """Which photographs, how large, and how they are split."""

    manifest: str
    size: Positive
    crop: Literal["field-of-view", "none"] = "field-of-view"
    cache: str = ""  # the pixel cache's folder; "" = $SEMIRETINA_CACHE or the user's cache folder
    labels: Positive | Literal["all"] = "all"  # budget of training labels; validation labels in proportion
    test: Share = 0.2
    val: Share = 0.2
    by: Literal["patient", "photograph"] = "patient"  # "photograph" is the paper's split, which separates fellow eyes
    evaluate: list[str] = []  # the data sets that val and test are drawn from; [] = all
    split_unlabeled: bool = False  # hold out `test` and `val` shares of the unlabelled photographs too (section 4.6)
    split_seed: int = 0  # draws the test set; the run's seed draws train and val
    # Cross-validation: test 1 / folds, not the share `test`; what the manifest gives the role test stays out.
    folds: Annotated[int, Field(ge=2, le=20)] | None = None
    fold: Annotated[int, Field(ge=0)] | None = None  # the fold that is tested, from 0; unset = all, one after another
    shuffle_labels: bool = False  # a control: training on permuted labels must end at chance
    regrade: dict[str, Regrade] = {}


class Augment(_Section):
    """Section 4.5: one random affine map and a flip for each photograph."""

    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0  # degrees, uniform in +-rotation
    scale: Annotated[tuple[float, float], Field(strict=False)] = (0.9, 1.0)  # visible share of the side: 0.9 enlarges
    flip: bool = True  # horizontal, with probability 1/2


class Optimizer(_Section):
    """torch's optimiser of that name and its arguments, a schedule of its rate, and what is done to gradients."""

    name: Literal["sgd", "adam", "adamw"] = "adam"
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0  # sgd
    nesterov: bool = False  # sgd
    betas: Annotated[tuple[Share, Share], Field(strict=False)] = (0.9, 0.999)  # adam, adamw
    eps: Annotated[float, Field(gt=0)] = 1e-8  # adam, adamw
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup: Share = 0.0  # share of the stage over which the rate rises linearly from zero
    clip: Annotated[float, Field(ge=0)] = 0.0  # largest norm of the gradient; 0 = no limit
    accumulate: Positive = 1  # batches whose gradients are added up before one update


class Stage(_Section):
    """One method, for a length, over some of the images, with an optimiser."""

    method: dict[str, Any]  # {name = "combined", lambda_cl = 400.0}
    epochs: Positive | None = None
    updates: Positive | None = None  # length in updates that saw labels (reconstruction: in updates)
    images: Literal["all", "unlabeled"] = "all"  # which photographs are used without their labels
    datasets: list[str] = []  # only these data sets' photographs, of either side; [] = all
    batch: Positive = 16
    unlabeled_batch: Positive | None = None  # of a method whose steps have both sides; unset = as many as `batch`
    optimizer: Optimizer


class Engine(_Section):
    """How it is computed; no choice here changes what is computed beyond rounding."""

    device: str = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    deterministic: bool = True  # bit-exact repetition at equal device and process count
    eval_batch: Positive = 32


class Claim(_Section):
    """The one comparison that the experiment is made for, declared before it is run; a run keeps to it."""

    against: Annotated[str, Field(min_length=1)]  # the name of the run, or of the experiment whose seeds are runs
    task: str = ""  # "lesions.MA" for one of several outputs; "" = the first task
    score: Literal["auroc", "accuracy", "quadratic_kappa"]
    margin: Annotated[float, Field(gt=0, lt=1)]  # the least gain that matters, in units of the score: 0.02 is 2 points


class Operating(_Section):
    """What is fixed on validation, or on out-of-fold answers, and frozen into the grader before test is opened."""

    calibrate: bool = True  # divide logits by a temperature, each output by its own
    sensitivity: Annotated[float, Field(gt=0, lt=1)] | None = None  # choose each threshold so that it is reached
    specificity: Annotated[float, Field(gt=0, lt=1)] | None = None  # or this one; neither: `threshold` stays
    folds: str | None = None  # a finished cross-validation's folder, whose answers count instead of validation's


class Config(_Section):
    """One experiment."""

    seed: int = 0
    tasks: Annotated[list[str], Field(min_length=1)] = ["dr"]
    refit: Literal["none", "train+val"] = "none"  # "train+val": choose the epochs on val, then train afresh on both
    select: Literal["auroc", "accuracy"] = "auroc"  # what chooses the epoch on val; the headline of what is reported
    track_test: bool = False  # the paper's protocol: test scores every epoch, never used to select
    open_test: bool = True  # false: the test set is never looked at, as in a grid search
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5  # of the probability, for sensitivity, specificity, accuracy
    prevalence: dict[str, Prevalence] = {}  # of a task or task.output, for PPV and NPV; or else the sample's
    data: Data
    augment: Augment = Augment()
    model: dict[str, Any]  # {name = "aecl1", tied = false}
    stages: Annotated[list[Stage], Field(min_length=1)]
    engine: Engine = Engine()
    operating: Operating | None = None
    claim: Claim | None = None


def load_config(source: Config | Path | str | Mapping[str, Any], overrides: Sequence[Override] = ()) -> Config:
    """The configuration of a TOML file (or a dict) with overrides, such as "stages.1.optimizer.lr=3e-3".

    One that is loaded already is returned as it is, and takes no overrides.

    A relative manifest, cache, weights file or folder of folds starts at the configuration's folder.

    Raises BadConfig that names the file, the line of a TOML error, every wrong key and the nearest right one.
    """
    if isinstance(source, Config):
        assert not overrides, "overrides are read into a file or a dict"
        return source
    source = Path(source) if isinstance(source, str) else source
    where = "config" if isinstance(source, Mapping) else str(source)
    if isinstance(source, Mapping):
        raw = _without_none(source)
    else:
        try:
            raw = tomllib.loads(read_text(source))
        except tomllib.TOMLDecodeError as error:
            raise BadConfig(f"{source}: not valid TOML: {error}") from None
    for override in overrides:
        apply(raw, override)
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise BadConfig(f"{where}: {'; '.join(explain(problem, raw, Config) for problem in error.errors())}") from None
    _check_combinations(config, where)
    base = Path.cwd() if isinstance(source, Mapping) else source.resolve().parent

    def placed(path: str) -> str:
        return str((base / Path(path).expanduser()).resolve())

    data, model, operating = config.data, dict(config.model), config.operating
    data = data.model_copy(update={"manifest": placed(data.manifest), "cache": data.cache and placed(data.cache)})
    weights = model.get("weights")
    if isinstance(weights, str) and weights.endswith((".safetensors", ".pth")):
        model["weights"] = placed(weights)
    if operating and operating.folds is not None:
        operating = operating.model_copy(update={"folds": placed(operating.folds)})
    return config.model_copy(update={"data": data, "model": model, "operating": operating})


def dump_toml(config: Config) -> str:
    """The resolved configuration as TOML; `load_config` reads it back to the same value."""
    return tomli_w.dumps(_without_none(config.model_dump(mode="json")))


def _check_combinations(config: Config, where: str) -> None:
    for number, stage in enumerate(config.stages):
        if (stage.epochs is None) == (stage.updates is None):
            raise BadConfig(f"{where}: stages.{number}: give one of epochs and updates, not both or neither")
        if stage.optimizer.nesterov and not stage.optimizer.momentum:
            raise BadConfig(f"{where}: stages.{number}.optimizer.nesterov: needs momentum above 0, such as 0.9")
        if "name" not in stage.method:
            raise BadConfig(f'{where}: stages.{number}.method: has no name; write method = {{ name = "supervised" }}')
    if "name" not in config.model:
        raise BadConfig(f'{where}: model: has no name; write name = "aecl1-small" under [model]')
    if config.refit != "none" and not config.open_test:
        raise BadConfig(f"{where}: refit: trains on val too, so with open_test = false nothing is left to look at")
    if config.track_test and not config.open_test:
        raise BadConfig(f"{where}: track_test: cannot go with open_test = false, which leaves the test set unseen")
    if config.operating:
        _check_operating(config, config.operating, where)
    _check_shares(config.data, where)


def _check_shares(data: Data, where: str) -> None:
    if data.folds:
        if data.fold is not None and data.fold >= data.folds:
            raise BadConfig(f"{where}: data.fold: {data.fold} of {data.folds} folds; they are counted from 0")
        if 1 / data.folds + data.val >= 1:
            raise BadConfig(f"{where}: data.val: nothing is left to train on beside a fold of {data.folds}; lower it")
        return
    if data.fold is not None:
        raise BadConfig(f"{where}: data.fold: there are no folds; set data.folds = 5, or take data.fold out")
    if data.test + data.val >= 1:
        raise BadConfig(f"{where}: data.test + data.val: nothing is left to train on; their sum must stay below 1")


def _check_operating(config: Config, operating: Operating, where: str) -> None:
    aims = (operating.sensitivity, operating.specificity)
    if None not in aims:
        raise BadConfig(f"{where}: operating: one threshold cannot aim at both; give sensitivity or specificity")
    if aims == (None, None) and not operating.calibrate:
        raise BadConfig(f"{where}: operating: fixes nothing; set sensitivity or specificity, or calibrate = true")
    if config.data.shuffle_labels:
        raise BadConfig(
            f"{where}: operating: cannot go with data.shuffle_labels = true: a control has no operating point"
        )


def _without_none(value: Any) -> Any:
    """A copy without the keys that are not set: TOML has no null."""
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, (list, tuple)) else value
