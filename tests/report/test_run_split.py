"""The split that a report reads: checked by what it was drawn by, as everywhere else."""

import pytest
from full_run import make_full_run

from semiretina.errors import Refused
from semiretina.report.contents import gather
from semiretina.report.data_card import counts_table
from semiretina.report.run_set import RunSet
from semiretina.report.runs import read_runs


def part_fellow_eyes(folder, by):
    """Takes one photograph of the first test patient into training, and no group with it."""
    make_full_run(folder, "idrid", stages=("supervised",), decoder=False)
    lines = (folder / "split.csv").read_text().splitlines()
    assert lines[1].endswith(",test")
    first = lines[1].removesuffix("gruppe0q,test") + "gruppe-alone,train"
    (folder / "split.csv").write_text("\n".join([lines[0], first, *lines[2:]]) + "\n")
    config = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(config.replace("size = 128", f'size = 128\nby = "{by}"'))
    return read_runs([folder])[0]


def test_a_split_by_photograph_may_part_a_patients_eyes(tmp_path):
    run = part_fellow_eyes(tmp_path / "run", "photograph")
    assert run.split().counts["train"] == 5
    table = counts_table(run.split(), run.label)
    assert [cell.text for cell in table.rows[0]] == ["all photographs", "5", "79", "84"]


@pytest.mark.parametrize("default", [False, True])
def test_a_split_by_patient_that_parts_a_patients_eyes_is_refused(tmp_path, default):
    run = part_fellow_eyes(tmp_path / "run", "patient")
    if default:
        run.config["data"].pop("by")
    with pytest.raises(Refused, match=r"split\.csv: .*group g0: test and train"):
        gather(RunSet([run], shared=True))


def test_a_group_of_the_file_stays_together_however_it_was_drawn(tmp_path):
    run = part_fellow_eyes(tmp_path / "run", "photograph")
    file = run.folder.split
    file.write_text(file.read_text().replace("gruppe-alone", "gruppe0q"))
    with pytest.raises(Refused, match="group gruppe0q: test and train"):
        run.split()


def test_a_folder_without_a_split_has_none(tmp_path):
    run = part_fellow_eyes(tmp_path / "run", "patient")
    run.folder.split.unlink()
    assert run.split() is None
