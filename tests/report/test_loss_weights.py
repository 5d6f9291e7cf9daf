"""The weights of the losses in the report: from the log's rows of steps to pictures."""

import json

import numpy as np
import pytest
from fake_runs import make_run

from semiretina.report import write_report
from semiretina.report.loss_weights import Trace, loss_weight_pictures, trace_picture
from semiretina.report.runs import read_runs


def with_steps(folder, rows, **settings):
    """A run whose log holds these rows of steps too, in the epochs of 55 steps that `make_run` writes."""
    make_run(folder, **{"stages": ("combined",), **settings})
    with (folder / "log.jsonl").open("a") as log:
        for row in rows:
            log.write(json.dumps({"kind": "step", "phase": "train", "stage": 0, "loss": 1.0, "lr": 0.1, **row}) + "\n")
    return folder


def step(epoch, number, ae, cl, **more):
    return {"epoch": epoch, "step": number, "grad_norm_ae": ae, "grad_norm_cl": cl, **more}


def pictures(*folders):
    return loss_weight_pictures(read_runs(folders))


def test_weights_and_both_norms_are_drawn_and_told(tmp_path):
    rows = [step(0, 3, 0.5, 2.0, mu=1.0), step(0, 40, 1.5, 3.0, mu=4.0), step(2, 11, 2.5, 2.5, mu=3.0)]
    [picture] = pictures(with_steps(tmp_path / "run", rows))
    assert picture.alt == (
        "run: weights and gradients: μ from 1 to 4, at last 3; "
        "autoencoder from 0.5 to 2.5, at last 2.5; classifier from 2 to 3, at last 2.5."
    )


def test_a_step_stands_at_its_part_of_its_epoch(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("semiretina.report.loss_weights.trace_picture", lambda title, parts: drawn.extend(parts))
    names = {"weight_ae": 1.5, "weight_dr": 0.5}
    pictures(with_steps(tmp_path / "run", [step(0, 0, 1, 2, **names), step(1, 11, 3, 4, **names)]))
    (weight, weights), (_, norms) = drawn
    assert weight == "weight"
    assert weights == [Trace("w ae", [0.0, 1.2], [1.5, 1.5]), Trace("w dr", [0.0, 1.2], [0.5, 0.5])]
    assert norms == [Trace("autoencoder", [0.0, 1.2], [1, 3]), Trace("classifier", [0.0, 1.2], [2, 4])]


def test_runs_without_norms_and_steps_of_other_phases_give_no_picture(tmp_path):
    other = [{**step(0, 1, 1, 1), "phase": "refit"}, {"epoch": 0, "step": 20}, step(99, 0, 1, 1)]
    assert pictures(make_run(tmp_path / "a"), with_steps(tmp_path / "b", other)) == []


def test_older_runs_that_logged_no_lambda_show_their_norms(tmp_path):
    [picture] = pictures(with_steps(tmp_path / "run", [step(0, 0, 1.0, 2.0)]))
    assert picture.alt.startswith("run: weights and gradients: autoencoder from 1 to 1")


def test_every_stage_that_combines_has_its_own_picture(tmp_path):
    rows = [step(0, 0, 1, 2, lambda_dr=3.0), {**step(0, 0, 1, 2, lambda_dr=5.0), "stage": 1}]
    drawn = pictures(with_steps(tmp_path / "run", rows, stages=("combined", "combined")))
    assert [picture.alt.split(":")[0] for picture in drawn] == ["run, stage 1", "run, stage 2"]


def test_many_steps_are_drawn_in_groups_and_zeros_are_no_obstacle():
    values = np.random.default_rng(0).random(5000)
    many = trace_picture("t", [("weight", [Trace("μ", np.arange(5000) / 100, values)])])
    few = trace_picture("t", [("weight", [Trace("μ", np.arange(300) / 100, values[:300])])])
    assert len(many.src) < 3 * len(few.src)
    assert f"from {values.min():.3g} to {values.max():.3g}" in many.alt
    assert "from 0 to 0" in trace_picture("t", [("weight", [Trace("μ", [0.0, 0.5], [0.0, 0.0])])]).alt


@pytest.mark.parametrize("logged", [True, False])
def test_the_page_has_the_section_where_norms_were_logged(logged, tmp_path):
    run = with_steps(tmp_path / "run", [step(0, 0, 1, 2, mu=2.0)] if logged else [])
    page = write_report([run], tmp_path).read_text("utf-8")
    assert ("<summary>Weights of the losses</summary>" in page) == logged
    assert ("run: weights and gradients: μ from 2 to 2" in page) == logged
