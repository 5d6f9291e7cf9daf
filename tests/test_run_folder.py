"""The run folder: one configuration, one process at a time, and files that hold valid JSON."""

import json
import math

import pytest

from semiretina.config import load_config
from semiretina.errors import CannotWrite, MissingInput, Refused
from semiretina.files import write_json
from semiretina.run_folder import RunFolder


@pytest.fixture
def config(make_config, make_stage):
    return load_config(make_config(make_stage("supervised")))


def test_a_second_claim_is_refused_and_a_later_one_is_not(config, tmp_path):
    with RunFolder(tmp_path).claimed(config):
        again = RunFolder(tmp_path).claimed(config)
        with pytest.raises(Refused, match="another process is training in this run folder"), again:
            raise AssertionError("claimed twice")
        assert (tmp_path / "config.toml").exists()
    with RunFolder(tmp_path).claimed(config):
        pass


def test_the_folder_is_free_again_after_a_failure(config, tmp_path):
    with pytest.raises(RuntimeError), RunFolder(tmp_path).claimed(config):
        raise RuntimeError
    with RunFolder(tmp_path).claimed(config):
        pass


def test_another_configuration_is_refused_with_the_differing_keys(make_config, make_stage, tmp_path):
    stage = make_stage("supervised")
    run = RunFolder(tmp_path)
    with run.claimed(load_config(make_config(stage))):
        pass
    other = make_config(make_stage("supervised", optimizer={"lr": 0.25}), seed=3, data={"labels": 12})
    with pytest.raises(Refused) as refusal, run.claimed(load_config(other)):
        raise AssertionError("claimed")
    said = str(refusal.value)
    assert "seed = 0 there, 3 here" in said
    assert "data.labels = 'all' there, 12 here" in said
    assert "stages.0.optimizer.lr = 0.05 there, 0.25 here" in said
    assert "momentum" not in said
    assert "\n" not in said


def test_a_stage_more_is_another_configuration(make_config, make_stage, tmp_path):
    run = RunFolder(tmp_path)
    with run.claimed(load_config(make_config(make_stage("supervised")))):
        pass
    longer = load_config(make_config(make_stage("supervised"), make_stage("supervised")))
    with pytest.raises(Refused, match=r"stages\.1\."), run.claimed(longer):
        raise AssertionError("claimed")


def test_where_it_is_computed_may_change(make_config, make_stage, tmp_path):
    run, stage = RunFolder(tmp_path), make_stage("supervised")
    with run.claimed(load_config(make_config(stage))):
        pass
    moved = make_config(stage, engine={"device": "auto", "eval_batch": 4}, data={"cache": str(tmp_path / "elsewhere")})
    with run.claimed(load_config(moved)):
        pass


def test_a_start_that_came_to_nothing_leaves_nothing(config, make_config, make_stage, tmp_path):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), run.claimed(config):
        raise KeyboardInterrupt
    assert not (tmp_path / "run").exists()
    with run.claimed(load_config(make_config(make_stage("supervised"), seed=5))):
        assert run.read_config().seed == 5


def test_a_start_that_drew_its_split_stays(config, tmp_path):
    run = RunFolder(tmp_path)
    run.split.write_text("drawn")
    with pytest.raises(KeyboardInterrupt), run.claimed(config):
        raise KeyboardInterrupt
    assert run.read_config() == config


def test_a_file_in_the_way(config, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(CannotWrite, match="choose another --out"), RunFolder(place).claimed(config):
            raise AssertionError("claimed")


def test_rows_and_results_are_valid_json(tmp_path):
    run = RunFolder(tmp_path)
    run.append({"kind": "epoch", "val": {"auroc": math.nan}, "losses": [1.5, math.inf]})
    size = run.log_size()
    run.append({"kind": "epoch"})
    run.cut_log(size)
    assert json.loads(run.log.read_text()) == {"kind": "epoch", "val": {"auroc": None}, "losses": [1.5, None]}
    write_json(run.result, {"test": {"low": -math.inf}})
    assert run.read_result() == {"test": {"low": None}}


def test_what_is_not_there_is_named(tmp_path):
    run = RunFolder(tmp_path)
    assert run.log_size() == 0
    run.cut_log(0)
    with pytest.raises(MissingInput, match=r"no result\.json"):
        run.read_result()
    with pytest.raises(MissingInput, match=r"no config\.toml"):
        run.read_config()
