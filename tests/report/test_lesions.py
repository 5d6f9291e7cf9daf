"""The table of surviving lesions on the page."""

import json

import pytest
from fake_runs import make_run

from semiretina.errors import BadData
from semiretina.report import write_report
from semiretina.report.lesions import survival_tables
from semiretina.report.runs import read_runs


def estimate(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def measured(run, reconstruction, size=128):
    """`survival.json` as the engine writes it: five microaneurysms, one not measurable, and one unmeasurable SE."""
    row = {
        "type": "MA",
        "sizes": "1-9",
        "lesions": 5,
        "measurable": 4,
        "reconstruction": estimate(reconstruction, 0.1, 0.9),
        "chance": estimate(reconstruction / 5, 0.0, 0.6),
        "original": estimate(1.0, 0.5, 1.0),
        "blurred": estimate(0.25, 0.05, 0.7),
    }
    none = {picture: estimate(None) for picture in ("reconstruction", "chance", "blurred", "original")}
    content = {
        "role": "test",
        "schema": 1,
        "size": size,
        "blur": 2.0,
        "photographs": 3,
        "left_out": [],
        "table": [row, {**row, "sizes": "all"}, {"type": "SE", "sizes": "100+", "lesions": 1, "measurable": 0, **none}],
    }
    (run / "survival.json").write_text(json.dumps(content))
    return run


def test_runs_measured_on_the_same_lesions_share_a_table(tmp_path):
    first = measured(make_run(tmp_path / "mse"), 0.5)
    second = measured(make_run(tmp_path / "ssim"), 0.75)
    other = measured(make_run(tmp_path / "large"), 0.6, size=256)
    without = make_run(tmp_path / "none")
    tables = survival_tables(read_runs([first, second, other, without]))
    assert [table.columns[4:-2] for table in tables] == [
        ["mse", "by chance", "ssim", "by chance"],
        ["large", "by chance"],
    ]
    (microaneurysms, lines), (soft, unknown) = tables[0].groups
    assert (microaneurysms.text, soft.text) == ("MA", "SE")
    assert [str(cell) for cell in lines[0]] == [
        *("1–9", "5", "1", "50.0 [10.0, 90.0]", "10.0", "75.0 [10.0, 90.0]", "15.0", "25.0 [5.0, 70.0]", "100.0")
    ]
    assert [str(cell) for cell in unknown[0]] == ["100+", "1", "1", *[""] * 6]
    assert tables[0].note.endswith("3 photographs (test) at 128 pixels; blurred by a Gaussian of 2 pixels.")


def test_the_page_shows_it_only_where_measured(tmp_path):
    run = measured(make_run(tmp_path / "mse", stages=("reconstruction", "supervised")), 0.5)
    page = write_report([run], tmp_path / "with").read_text()
    assert "Lesions that survive reconstruction" in page
    assert '50.0 <span class="interval">[10.0, 90.0]</span>' in page
    (run / "survival.json").unlink()
    assert "Lesions that survive" not in write_report([run], tmp_path / "without").read_text()


def test_a_broken_file_is_named(tmp_path):
    run = make_run(tmp_path / "mse")
    for text, complaint in (("{", "not valid JSON"), ('{"schema": 9}', "not of schema 1"), ("[]", "not of schema 1")):
        (run / "survival.json").write_text(text)
        with pytest.raises(BadData, match=complaint):
            survival_tables(read_runs([run]))
