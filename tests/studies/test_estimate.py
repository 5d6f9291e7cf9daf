"""How long trainings are said to take: what is trained once counts once."""

from pathlib import Path

import pytest

from semiretina.config import load_config
from semiretina.records import read_manifest
from semiretina.studies.estimate import Clock
from semiretina.studies.grid import configs_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clock(monkeypatch):
    """Every step, and every batch of scoring, takes a second."""
    monkeypatch.setattr(Clock, "_measured", lambda self, key, prepare: 1.0)
    return Clock()


@pytest.fixture
def config(make_config, make_stage):
    """18 labelled and 8 validation photographs, 26 of the former and of unlabelled ones: 4 and 3 steps of 8, 1 look."""
    stages = [make_stage("reconstruction", epochs=60), make_stage("supervised", epochs=10)]
    return load_config(make_config(*stages, data={"val": 0.25}))


def test_a_training_takes_its_steps_and_looks(clock, config, photographs):
    assert clock.seconds(config, read_manifest(photographs)) == 60 * (4 + 1) + 10 * (3 + 1)


def test_the_papers_grid_counts_its_first_stage_once(clock, config, photographs):
    points = configs_of(config, ROOT / "configs" / "paper" / "grid.toml")
    assert len(points) == 96
    assert clock.together(points, read_manifest(photographs)) == 60 * (4 + 1) + 96 * 10 * (3 + 1)


def test_different_first_stages_and_a_refit_count_each(clock, config, photographs, tmp_path):
    (tmp_path / "grid.toml").write_text("stages.0.batch = [8, 26]\nstages.1.optimizer.lr = [0.1, 0.2, 0.3]\n")
    points = configs_of(config, tmp_path / "grid.toml")
    expected = 60 * (4 + 1) + 60 * (1 + 1) + 6 * 10 * (3 + 1)
    assert clock.together(points, read_manifest(photographs)) == expected
    again = points[0].model_copy(update={"refit": "train+val", "open_test": True})
    # A refit on 18 + 8 labelled photographs and all 34: 4 and 5 steps, without a look.
    expected = 60 * (4 + 1) + 10 * (3 + 1) + 60 * 5 + 10 * 4
    assert clock.seconds(again, read_manifest(photographs)) == expected
