"""The verbs, as a user meets them: what they print, what they leave behind, and the status they end with."""

import csv
import hashlib
import json
import os
import resource
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock

import semiretina
from semiretina import cli, run_folder
from semiretina.config import dump_toml, load_config
from semiretina.errors import UserError
from semiretina.training import epoch

STAGES = [
    {"method": {"name": "reconstruction"}, "epochs": 1, "batch": 8, "optimizer": {"name": "sgd", "lr": 0.05}},
    {"method": {"name": "supervised"}, "epochs": 2, "batch": 8, "optimizer": {"name": "adam", "lr": 1e-3}},
]


@pytest.fixture(autouse=True)
def _own_handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def call(monkeypatch, capsys):
    """`call("train", path, ...)`: status, stdout, stderr of one command."""

    def run(*words):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["semiretina", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def config(make_config, tmp_path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(dump_toml(load_config(make_config(*STAGES))))
    return file


@pytest.fixture(scope="module")
def trained(photographs, pixel_cache, tmp_path_factory) -> Path:
    """The run that `config` describes, finished."""
    run = tmp_path_factory.mktemp("trained") / "run"
    data = {"manifest": str(photographs), "size": 32, "crop": "none", "cache": str(pixel_cache)}
    model = {"name": "aecl1", "widths": [4, 6, 8]}
    semiretina.train(
        {"data": data, "model": model, "stages": STAGES, "engine": {"device": "cpu", "eval_batch": 8}}, run
    )
    return run


def sum_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_help_imports_nothing_heavy():
    code = (
        "import sys, semiretina, semiretina.cli\n"
        "print([m for m in ('torch', 'numpy', 'pandas', 'PIL', 'sklearn', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "words",
    [
        *[(), ("quickstart",), ("train",), ("evaluate",), ("predict",), ("report",), ("list",)],
        *[("data",), ("data", "list"), ("data", "import"), ("data", "merge"), ("data", "audit")],
        ("data", "hold-out"),
        *[("weights",), ("weights", "convert")],
    ],
)
def test_every_verb_explains_itself(call, words):
    status, out, err = call(*words, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(" ".join(["Usage: semiretina", *words]))


def test_version(call):
    assert call("--version") == (0, f"{semiretina.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["data", "frobnicate"], "No such command 'frobnicate'"),
        (["train"], "Missing argument"),
        (["train", "a.toml", "--lr", "3"], "No such option: --lr"),
        (["predict", "run", "a.jpg"], "Missing option '--out'"),
        (["data", "import", "table"], "Missing option '--root'"),
        (["data", "import", "table", "--root", ".", "--no-errata"], "only messidor has errata"),
        (["evaluate", "run", "--split", "train"], "'train' is not one of 'val', 'test'"),
        (["evaluate", "run", "--split", "val", "--manifest", "m.csv"], "give one of --split and --manifest"),
    ],
)
def test_wrong_usage_ends_with_2(call, words, told):
    status, out, err = call(*words)
    assert (status, out) == (2, "")
    assert told in err.replace("\n", " ")


def test_no_verb_at_all_shows_the_help(call):
    status, out, err = call()
    assert status == 2
    assert "Usage: semiretina" in out + err


def test_train_prints_the_result_and_a_second_time_prints_it_again(call, config, tmp_path, trained, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = call("train", "mine.toml")
    assert status == 0
    assert "run folder: runs/mine" in out
    assert "split: " in err
    assert "split" not in out
    run = tmp_path / "runs" / "mine"
    assert sum_of(run / "grader.safetensors") == sum_of(trained / "grader.safetensors")
    log = (run / "log.jsonl").read_bytes()
    again = call("train", "mine.toml")
    assert again[:2] == (0, out)
    assert "this run is finished; here is its result" in again[2]
    assert (run / "log.jsonl").read_bytes() == log


def test_overrides_reach_the_configuration(call, config, tmp_path):
    run = tmp_path / "run"
    assert call("train", config, "--out", run, "-o", "seed=5", "-o", "stages.1.optimizer.lr=3e-3")[0] == 0
    kept = load_config(run / "config.toml")
    assert (kept.seed, kept.stages[0].optimizer.lr, kept.stages[1].optimizer.lr) == (5, 0.05, 3e-3)
    assert json.loads((run / "result.json").read_text())["seed"] == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_ends_with_75_and_the_same_command_goes_on(
    call, config, tmp_path, trained, monkeypatch, request, number
):
    save, calls = epoch.checkpoint.save_next, []
    # A shell that runs the tests in the background has them ignore SIGINT, which the program would keep to.
    before = signal.signal(number, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(number, before))

    def stop_after(*arguments):
        save(*arguments)
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(epoch.checkpoint, "save_next", stop_after)
    run = tmp_path / "run"
    status, out, err = call("train", config, "--out", run)
    assert (status, out) == (75, "")
    assert err.endswith("semiretina: stopped; the same command goes on where this one ended\n")
    assert not (run / "result.json").exists()
    monkeypatch.undo()
    status, _, err = call("train", config, "--out", run)
    assert status == 0
    assert "train: reconstruction" not in err
    for name in ("grader.safetensors", "predictions-test.csv"):
        assert sum_of(run / name) == sum_of(trained / name)


def test_a_second_process_is_refused(call, config, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with FileLock(run / ".lock"):
        status, _, err = call("train", config, "--out", run)
    assert status == 77
    assert f"{run}: another process is training in this run folder; wait for it or choose another --out" in err
    assert os.listdir(run) == [".lock"] or os.listdir(run) == []


def test_a_full_disk_ends_with_74_and_leaves_whole_files(call, config, tmp_path, trained):
    run = tmp_path / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (15_000, hard)
    )  # less than a checkpoint with Adam's averages, more than all else
    try:
        status, out, err = call("train", config, "--out", run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (status, out) == (74, "")
    assert "checkpoints/epoch-000002.safetensors: File too large; nothing half-written is kept: make room" in err
    assert sorted(os.listdir(run / "checkpoints")) == ["epoch-000001.json", "epoch-000001.safetensors"]
    status, _, err = call("train", config, "--out", run)
    assert status == 0
    assert "train: reconstruction" not in err
    assert sum_of(run / "grader.safetensors") == sum_of(trained / "grader.safetensors")


def test_a_full_disk_leaves_the_old_file(call, trained, tmp_path, monkeypatch):
    out = tmp_path / "merged.csv"
    (tmp_path / "a.csv").write_text("path\na.jpg\n")
    out.write_text("old")

    def no_room(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    status, _, err = call("data", "merge", tmp_path / "a.csv", "--out", out)
    assert (status, err) == (
        74,
        f"semiretina: {out}: No space left on device; nothing half-written is kept: make room and run again\n",
    )
    assert out.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "merged.csv"]


def test_a_loss_that_is_not_finite_ends_with_70_and_names_the_photographs(call, config, tmp_path):
    run = tmp_path / "run"
    status, _, err = call("train", config, "--out", run, "-o", "stages.1.optimizer.lr=1e30")
    assert status == 70
    assert "phase train, stage 1, epoch 1" in err
    names = err.split(", on ")[1].split(";")[0].split(", ")
    assert all(name.endswith(("-left.jpg", "-right.jpg")) for name in names)
    assert len(names) == 8
    assert "lower optimizer.lr" in err
    assert [file.name for file in (run / "checkpoints").glob("*.json")] == ["epoch-000001.json"]


def test_every_user_error_has_its_own_status():
    statuses = {kind.__name__: kind.exit_code for kind in UserError.__subclasses__()}
    assert statuses == {
        **{"BadData": 65, "MissingInput": 66, "NonFiniteLoss": 70, "CannotWrite": 73},
        **{"Interrupted": 75, "Refused": 77, "BadConfig": 78},
    }


def test_a_message_of_several_lines_becomes_one(call, monkeypatch):
    def fail():
        raise UserError("first\n  second")

    monkeypatch.setattr("semiretina.catalogue.catalogue", fail)
    assert call("list") == (2, "", "semiretina: first second\n")


@pytest.mark.parametrize(("number", "status"), [(13, 73), (21, 73), (28, 74), (5, 74)])
def test_errors_of_the_system_are_one_line_too(call, monkeypatch, number, status):
    def fail():
        raise OSError(number, os.strerror(number), "here")

    monkeypatch.setattr("semiretina.catalogue.catalogue", fail)
    found, _, err = call("list")
    assert found == status
    assert err.startswith(f"semiretina: here: {os.strerror(number)}; ")
    assert err.count("\n") == 1


def test_evaluate_agrees_with_the_result(call, trained):
    result = json.loads((trained / "result.json").read_text())
    for split in ("test", "val"):
        status, out, _ = call("evaluate", trained, "--split", split, "--json")
        assert status == 0
        scored = json.loads(out)
        assert scored["scores"] == result[split]
        counts = (scored["data"], scored["photographs"], scored["unreadable"], scored["seen"])
        assert counts == (split, result["counts"][split], 0, 0)
    plain = call("evaluate", trained)[1]
    auroc = result["test"]["dr"]["auroc"]
    assert f"auroc: {auroc['value']:.3f} [{auroc['low']:.3f}, {auroc['high']:.3f}]" in plain


def test_evaluate_counts_the_photographs_that_were_seen_by_content(call, trained, photographs, tmp_path, pixel_cache):
    result = json.loads((trained / "result.json").read_text())
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(photographs.parent, elsewhere)
    (elsewhere / "00-left.jpg").write_bytes(b"")
    (elsewhere / "00-right.jpg").unlink()
    status, out, err = call("evaluate", trained, "--manifest", elsewhere / "manifest.csv", "--json")
    assert status == 0
    scored = json.loads(out)
    with (trained / "split.csv").open() as lines:
        roles = {Path(row["path"]).name: row["role"] for row in csv.DictReader(lines)}
    gone = ("00-left.jpg", "00-right.jpg")
    seen = sum(role in ("train", "val", "unlabeled") and name not in gone for name, role in roles.items())
    assert (scored["photographs"], scored["unreadable"], scored["seen"]) == (40, 2, seen)
    assert scored["scores"]["dr"]["n"] == 32 - 2
    assert f"{elsewhere}/00-left.jpg: the file is empty; not scored" in err
    assert f"{elsewhere}/00-right.jpg: no such file; not scored" in err
    assert result["counts"]["test"] + seen >= 38 - 8


def test_scores_that_are_undefined_are_null(call, trained, photographs, tmp_path):
    manifest = tmp_path / "one-class.csv"
    healthy = [photographs.parent / f"{n:02d}-left.jpg" for n in (0, 2, 4)]
    manifest.write_text("path,scale,grade\n" + "".join(f"{file},icdr,0\n" for file in healthy))
    status, out, _ = call("evaluate", trained, "--manifest", manifest, "--json")

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    scores = json.loads(out, parse_constant=refuse)["scores"]["dr"]
    assert (status, scores["n"], scores["auroc"]["value"], scores["sensitivity"]["value"]) == (0, 3, None, None)
    assert "auroc: undefined (one class only)" in call("evaluate", trained, "--manifest", manifest)[1]


def test_another_grading_scale_is_refused_unless_the_run_maps_it(call, make_config, photographs, tmp_path):
    run = tmp_path / "severity"
    other = tmp_path / "messidor.csv"
    stage = {"method": {"name": "supervised"}, "updates": 1, "batch": 4, "optimizer": {"lr": 0.01}}
    settings = make_config(stage, tasks=["severity"])
    settings["data"]["regrade"] = {"binary": {"to": "icdr", "grades": [0, 2]}}
    semiretina.train(settings, run)
    files = [photographs.parent / f"{number:02d}-left.jpg" for number in range(4)]

    def score(*scales):
        rows = [f"{file},{scale},{n % 2}" for n, (file, scale) in enumerate(zip(files, scales, strict=True))]
        other.write_text("\n".join(["path,scale,grade", *rows]) + "\n")
        return call("evaluate", run, "--manifest", other)

    status, _, err = score(*["messidor"] * 4)
    assert status == 77
    assert "task severity: the grader knows grade 0, grade 1, grade 2, grade 3, grade 4, these records grade 0" in err
    status, _, err = score("messidor", "icdr", "icdr", "icdr")
    assert status == 77
    assert "these records mix the grading scales icdr, messidor" in err
    assert score("binary", "binary", "icdr", "icdr")[0] == 0
    other.write_text(f"path\n{files[0]}\n")
    status, _, err = call("evaluate", run, "--manifest", other)
    assert status == 65
    assert "no label for any of the grader's tasks, severity" in err


def test_verbs_on_a_folder_that_is_no_finished_run(call, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    for words in (["evaluate"], ["predict", tmp_path / "a.jpg", "--out", tmp_path / "p.csv"], ["report"]):
        status, out, err = call(words[0], tmp_path / "nothing", *words[1:])
        assert (status, out) == (66, "")
        assert str(tmp_path / "nothing") in err
        assert err.count("\n") == 1
    assert not (tmp_path / "p.csv").exists()


def test_predict_counts_and_goes_on(call, trained, photographs, tmp_path):
    table = tmp_path / "p.csv"
    (tmp_path / "broken.jpg").write_bytes(b"")
    words = ("predict", trained, photographs, tmp_path / "broken.jpg", "--out", table)
    assert call(*words)[:2] == (0, f"40 graded, 1 failed: {table}\n")
    with table.open() as lines:
        rows = {row["path"]: row for row in csv.DictReader(lines)}
    with (trained / "predictions-test.csv").open() as lines:
        for row in csv.DictReader(lines):
            assert float(rows[row["path"]]["probability"]) == pytest.approx(float(row["probability"]), abs=1e-6)
    status, out, err = call(*words)
    assert (status, out) == (0, f"0 graded, 0 failed: {table}\n")
    assert "41 of 41 photographs stand there already" in err
    status, _, err = call("predict", trained, photographs.parent, "--out", photographs)
    assert status == 77
    assert photographs.read_text().startswith("path,site")


def test_report_is_written(call, trained, tmp_path):
    status, out, _ = call("report", trained, "--out", tmp_path / "report")
    assert status == 0
    assert "report.html" in out
    assert "<html" in (tmp_path / "report" / "report.html").read_text()[:500]


def test_list_and_data_list_name_the_parts(call):
    status, out, err = call("list")
    assert (status, err) == (0, "")
    for name in ("dr", "icdr", "aecl1", "timm", "combined", "lambda_cl", "linear_probe", "idrid", "efficientnet-lite0"):
        assert name in out
    status, out, _ = call("data", "list")
    assert status == 0
    assert "CC BY 4.0" in out
    assert "table:" in out


def test_data_import_table_with_options_and_merge(call, photographs, tmp_path):
    table, manifest = tmp_path / "clinic.csv", tmp_path / "manifest.csv"
    names = [f"{number:02d}-left" for number in range(4)]
    table.write_text("photo;who;stage\n" + "".join(f"{name};00{n};{n % 2}\n" for n, name in enumerate(names)))
    words = ["data", "import", "table", "--root", table, "--out", manifest]
    options = [
        "scale=binary",
        "columns.path=photo",
        "columns.patient=who",
        "columns.grade=stage",
        f"images={photographs.parent}",
    ]
    status, out, _ = call(*words, *[word for option in options for word in ("-o", option)])
    assert (status, out) == (0, f"4 records: {manifest}\n")
    with manifest.open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["patient"] for row in rows] == ["000", "001", "002", "003"]
    assert [row["grade"] for row in rows] == ["0", "1", "0", "1"]

    merged = tmp_path / "merged.csv"
    status, _, err = call("data", "merge", manifest, photographs, "--out", merged)
    assert status == 65
    assert "4 defects" in err
    assert f"00-left.jpg stands in {manifest} too" in err
    assert not merged.exists()
    (tmp_path / "other.csv").write_text("path\nnew.jpg\n")
    assert call("data", "merge", manifest, tmp_path / "other.csv", "--out", merged)[:2] == (0, f"5 records: {merged}\n")


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["idrd", "--root", "."], 78, "unknown name 'idrd'; did you mean 'idrid'?"),
        (["table", "--root", "nowhere"], 66, "nowhere: no such file or folder"),
        (["table", "--root", ".", "-o", "scal=icdr"], 78, "table: unknown parameter 'scal'; did you mean 'scale'?"),
        (["table", "--root", ".", "-o", "scale=icd"], 78, "table.scale: 'icd' is none of icdr, messidor, binary"),
        (["table", "--root", ".", "-o", "scale"], 78, "-o scale: not of the form"),
        (["synthetic", "--root", ".", "-o", "size=big"], 78, "synthetic.size: "),
        (["synthetic", "--root", ".", "-o", "photographs=0", "-o", "unlabeled=0"], 78, "0 labelled and 0 unlabelled"),
        (["idrid", "--root", "."], 66, ""),
    ],
)
def test_data_import_that_cannot_be(call, tmp_path, monkeypatch, words, status, told):
    monkeypatch.chdir(tmp_path)
    found, out, err = call("data", "import", *words)
    assert (found, out) == (status, "")
    assert told in err
    assert err.count("\n") == 1
    assert not (tmp_path / "manifest.csv").exists()


def test_data_import_to_where_nothing_can_be_written(call, photographs, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path, tmp_path / "file" / "m.csv"):
        status, _, err = call("data", "import", "table", "--root", photographs.parent, "-o", "scale=icdr", "--out", out)
        assert status == 73
        assert f"semiretina: {out}: cannot be written" in err
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_weights_convert_that_cannot_be(call, tmp_path):
    download = tmp_path / "resnet18.pth"
    torch.save({"fc.weight": torch.zeros(2, 2)}, download)
    out = tmp_path / "out.safetensors"
    for words, status, told in (
        ([download, "--as", "resnet"], 78, "--as: unknown name 'resnet'"),
        ([download, "--as", "torchvision-resnet18"], 65, "is not the published file of torchvision-resnet18"),
        ([tmp_path / "gone.pth", "--as", "torchvision-resnet18"], 66, "gone.pth: cannot be read"),
    ):
        found, _, err = call("weights", "convert", *words, "--out", out)
        assert found == status
        assert told in err
        assert err.count("\n") == 1
    assert not out.exists()


def test_the_run_folder_is_claimed_even_where_the_program_is_called_from_python(make_config, tmp_path):
    run = run_folder.RunFolder(tmp_path / "run")
    config = load_config(make_config(*STAGES))
    with run.claimed(config), pytest.raises(UserError, match="another process"):
        semiretina.train(config, tmp_path / "run")


def test_the_example_of_an_own_method_runs(tmp_path):
    example = Path(__file__).parents[1] / "examples" / "own_method.py"
    results = runpy.run_path(str(example))["main"](tmp_path)
    assert set(results) == {"supervised", "entropy"}
    # The same labels and updates; only the method differs.
    assert results["entropy"]["counts"] == results["supervised"]["counts"]
    assert results["entropy"]["labeled_updates"] == results["supervised"]["labeled_updates"] == 30
    assert results["entropy"]["test"]["dr"] != results["supervised"]["test"]["dr"]
    log = [json.loads(line) for line in (tmp_path / "entropy" / "log.jsonl").read_text().splitlines()]
    epochs = [row for row in log if row["kind"] == "epoch"]
    assert {0, 1} == {flag for row in epochs for flag in row["labeled"]}
    assert all(0 < row["train"]["entropy"] <= 0.6932 for row in epochs)
