"""What a user can get wrong: one line that says what, where and what to do, a status, and no trace on the disk."""

import csv
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import semiretina
from semiretina import cli
from semiretina.config import dump_toml, load_config
from semiretina.errors import BadConfig, Refused

STAGE = {"method": {"name": "supervised"}, "epochs": 2, "batch": 8, "optimizer": {"name": "adam", "lr": 1e-3}}


@pytest.fixture
def call(monkeypatch, capsys):
    """`call("train", path, ...)`: status and stderr of one command."""
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)

    def run(*words):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["semiretina", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        _, err = capsys.readouterr()
        assert "Traceback" not in err
        return ended.value.code or 0, err

    return run


@pytest.fixture
def clinic(photographs, tmp_path) -> Path:
    """A copy of the photographs that a test may spoil; the manifest in it."""
    return Path(shutil.copytree(photographs.parent, tmp_path / "clinic")) / "manifest.csv"


@pytest.fixture
def write(make_config, clinic, tmp_path):
    """`write(stage, ..., data={...}, key=value)`: a configuration file over `clinic`."""

    def make(*stages, data=None, **top):
        file = tmp_path / "mine.toml"
        settings = make_config(*(stages or [STAGE]), data={"manifest": str(clinic), **(data or {})}, **top)
        file.write_text(dump_toml(load_config(settings)))
        return file

    return make


@pytest.fixture
def fails(call, tmp_path):
    """`fails(config, status, "told", ...)`: training ends so, in one line, and leaves no run folder behind."""

    def check(config, status, *told, overrides=()):
        run = tmp_path / "run"
        found, err = call("train", config, "--out", run, *[word for value in overrides for word in ("-o", value)])
        last = err.splitlines()[-1]
        assert last.startswith("semiretina: ")
        assert not any(line.startswith("semiretina: ") for line in err.splitlines()[:-1])
        for words in told:
            assert words in last
        assert found == status
        assert not run.exists()

    return check


def edit(manifest, change):
    """Rewrites a CSV after `change(rows)`, a list of dicts."""
    with manifest.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    rows = change(rows) or rows
    with manifest.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed = 1\ntasks = [dr]\n", "mine.toml: not valid TOML: Invalid value (at line 2, column 10)"),
        ("seed = 1\n\nseed = 2\n", "mine.toml: not valid TOML: Cannot overwrite a value (at line 3"),
        ('[data]\nmanifest = "a.csv\n', "not valid TOML: Illegal character '\\n' (at line 2"),
        ("seed: 1\n", "not valid TOML: Expected '=' after a key in a key/value pair (at line 1"),
    ],
)
def test_toml_errors_name_their_line(fails, tmp_path, text, told):
    (tmp_path / "mine.toml").write_text(text)
    fails(tmp_path / "mine.toml", 78, told)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("data.manifst=3", "data.manifst: unknown key; did you mean 'manifest'?"),
        ("stages.0.optimiser=3", "stages.0.optimiser: unknown key; did you mean 'optimizer'?"),
        ("stages.0.optimizer.lrr=3", "stages.0.optimizer.lrr: unknown key; did you mean 'lr'?"),
        ("enginee.device=cpu", "enginee: unknown key; did you mean 'engine'?"),
        ("data.regrade.icdr.too=binary", "data.regrade.icdr.too: unknown key; did you mean 'to'?"),
        ("stages.0.optimizer.lr=fast", "stages.0.optimizer.lr: Input should be a valid number, not 'fast'"),
        ("stages.0.optimizer.lr=-1", "stages.0.optimizer.lr: Input should be greater than 0, not -1"),
        ("stages.0.optimizer.name=adamm", "stages.0.optimizer.name: Input should be 'sgd', 'adam' or 'adamw'"),
        ("stages.0.batch=2.5", "stages.0.batch: Input should be a valid integer, not 2.5"),
        ("seed=true", "seed: Input should be a valid integer, not True"),
        ("data.labels=many", "data.labels: "),
        ("data.size=null", "data.size: must be given"),
        ("stages.0.epochs=null", "stages.0: give one of epochs and updates, not both or neither"),
        ("stages.0.updates=3", "stages.0: give one of epochs and updates, not both or neither"),
        ("stages.0.method.name=null", "stages.0.method: has no name"),
        ("stages.0.method.name=supervized", "stages.0.method: unknown name 'supervized'; did you mean 'supervised'?"),
        ("stages.0.method.lambda=3", "stages.0.method: unknown parameter 'lambda'; did you mean 'lambda_cl'?"),
        ("stages.0.method.alpha=big", "stages.0.method.alpha: Input should be a valid number, not 'big'"),
        ("stages.0.method.alpha={dme=2.0}", "method.alpha: no task 'dme'; this experiment has dr"),
        ("model.name=aecl", "model.name: unknown name 'aecl'; did you mean 'aecl1'?"),
        ("model.withs=[3]", "model: unknown parameter 'withs'; did you mean 'widths'?"),
        ("model.widths=wide", "model.widths: "),
        ("data.size=36", "needs a side that is a multiple of 8, at least 8; 36 was asked for; try 32"),
        ("data.test=0.7", "data.test + data.val: nothing is left to train on"),
        ("stages.0.optimizer.betas=[0.9,5.0]", "stages.0.optimizer.betas.1: Input should be less than 1, not 5.0"),
        ("stages.0.optimizer.nesterov=true", "stages.0.optimizer.nesterov: needs momentum above 0"),
        ("data.manifest=3", "data.manifest: Input should be a valid string, not 3"),
        ("engine.device=gpu", "engine.device: 'gpu' is no device; use auto, cpu or cuda"),
        ("engine.device=meta", "engine.device: 'meta' is not supported; use auto, cpu or cuda"),
        (
            'tasks=["drr"]',
            "tasks: unknown task 'drr'; known are dr, referable, severity, severity-ordinal, lesions, dme",
        ),
        ("tasks=[]", "tasks: "),
        ("stages=[]", "stages: "),
        ("stages.7.batch=3", "-o stages.7.batch=3: there is no 'stages.7.batch' in the configuration"),
        ("seed", "-o seed: not of the form a.b=value"),
        ("=3", "-o =3: not of the form a.b=value"),
    ],
)
def test_wrong_settings_are_named_with_the_right_one(fails, write, override, told):
    more = ["data.val=0.4"] if override == "data.test=0.7" else []
    fails(write(), 78, told, overrides=[override, *more])


def test_a_network_that_cannot_learn_from_one_photograph(fails, write):
    deep = {"name": "aecl1", "widths": [4, 4, 4, 4, 4]}  # its last map is 1 x 1
    fails(write({**STAGE, "batch": 1}, model=deep), 78, "stages.0: batch = 1: ", "take at least two")
    combined = {**STAGE, "method": {"name": "balanced"}}
    config = write(combined, model=deep)
    edit(Path(load_config(config).data.manifest), lambda rows: rows[:33])
    fails(config, 78, "stages.0: there is one unlabelled photograph: ", "take at least two")


def test_files_that_are_not_there(fails, write, call, tmp_path):
    fails(tmp_path / "none.toml", 66, "none.toml: no such file")
    fails(tmp_path, 66, "is a folder, a file is needed")
    fails(write(data={"manifest": str(tmp_path)}), 66, f"{tmp_path}: is a folder, a file is needed")
    fails(write(data={"manifest": "gone.csv"}), 66, "gone.csv: no such file")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9t\xe9\n")
    fails(tmp_path / "latin.toml", 65, "latin.toml: not UTF-8 text (byte 2)")


def test_a_run_folder_that_cannot_be_made(call, write, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        status, err = call("train", write(), "--out", out)
        assert status == 73
        assert f"semiretina: {out}: cannot make the run folder" in err
    (tmp_path / "cache").write_text("")
    status, err = call("train", write(data={"cache": str(tmp_path / "cache")}), "--out", tmp_path / "run")
    assert status == 73
    assert "choose another cache" in err
    assert (tmp_path / "file").read_text() == "mine"


def test_photographs_that_cannot_be_read_are_all_named_before_training(fails, write, clinic):
    folder = clinic.parent
    (folder / "00-left.jpg").unlink()
    (folder / "01-left.jpg").write_bytes(b"")
    whole = (folder / "02-left.jpg").read_bytes()
    (folder / "02-left.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "03-left.jpg").write_text("<html>not found</html>")
    (folder / "04-left.jpg").unlink()
    (folder / "04-left.jpg").mkdir()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(folder / "05.tif")
    (folder / "05.tif").rename(folder / "05-left.jpg")
    told = (
        f"{clinic}: 6 defects",
        "00-left.jpg: no such file",
        "01-left.jpg: the file is empty",
        "02-left.jpg: damaged or truncated",
        "03-left.jpg: not a JPEG, PNG or TIFF file",
        "04-left.jpg: ",
        "05-left.jpg: floating-point pixels",
        "mend these files or take their rows out of the manifest",
    )
    fails(write(), 65, *told)


def _repeat(rows):
    return [*rows, rows[0]]


def _set(column, value, row=3):
    def change(rows):
        rows[row][column] = value

    return change


def _renamed(old, new):
    return lambda rows: [{new if name == old else name: cell for name, cell in row.items()} for row in rows]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_renamed("path", "photo"), "no column 'path' among photo, site, patient"),
        (_renamed("grade", "grad"), "unknown column 'grad'; did you mean 'grade'?"),
        (_set("grade", "7"), "row 5, column grade: "),
        (_set("grade", "moderate"), "row 5, column grade: 'moderate' is not a whole number from 0 to 4"),
        (_set("scale", "etdrs"), "row 5, column scale: 'etdrs' is none of icdr, messidor, binary"),
        (_set("scale", ""), "row 5, column scale: empty, but there is a grade"),
        (_set("path", ""), "row 5, column path: empty"),
        (_set("eye", "both"), "row 5, column eye: 'both' is none of left, right"),
        (_repeat, "row 42, column path: 00-left.jpg already stands in row 2"),
        (lambda rows: [row for row in rows if row["grade"] != "2"], "every training label of 'dr' is the same"),
        (lambda rows: [row for row in rows if not row["grade"]], "tasks: no record carries a label for 'dr'"),
        (lambda rows: rows[:1], "no labelled photograph is left to train on"),
    ],
)
def test_a_manifest_with_defects(fails, write, clinic, change, told):
    edit(clinic, change)
    fails(write(), 65, told)


def test_all_defects_of_a_manifest_come_at_once(fails, write, clinic):
    edit(clinic, lambda rows: [{**row, "grade": "9"} for row in rows])
    fails(write(), 65, "40 defects", "row 2, column grade", "row 21, column grade", "and 20 more")
    clinic.write_text("")
    fails(write(), 65, "the file is empty")
    clinic.write_text("path,grade\n")
    fails(write(), 65, "no photograph under it")


def test_more_labels_than_there_are(fails, write):
    fails(write(data={"labels": 21}), 78, "data.labels: 21 training labels were asked for, but there are 20")


def test_a_task_that_no_record_carries(fails, write):
    fails(write(tasks=["dr", "dme"]), 65, "no record carries a label for 'dme'")


@pytest.mark.parametrize("first", [True, False])
def test_no_unlabelled_photograph_where_a_stage_needs_them_is_told_before_training(fails, write, clinic, first):
    edit(clinic, lambda rows: [row for row in rows if row["grade"]])
    needy = {**STAGE, "method": {"name": "reconstruction"}, "images": "unlabeled"}
    stages = (needy, STAGE) if first else (STAGE, needy)
    fails(write(*stages), 78, 'stage reconstruction: images = "unlabeled", but the split has no unlabelled photograph')


def test_a_mended_configuration_may_use_the_same_folder(fails, write, call, tmp_path):
    fails(write(data={"labels": 400}), 78, "ask for fewer")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert call("train", write(data={"labels": 400}), "--out", tmp_path / "run")[0] == 78
    assert os.listdir(tmp_path / "run") == ["notes.txt"]
    assert call("train", write(data={"labels": 10}), "--out", tmp_path / "run")[0] == 0


def test_a_folder_with_somebodys_configuration_is_left_alone(call, write, tmp_path):
    source = write()
    before = source.read_text()
    mine = tmp_path / "experiment" / "config.toml"
    mine.parent.mkdir()
    mine.write_text(before.replace("epochs = 2", "epochs = 3"))
    status, err = call("train", source, "--out", mine.parent)
    assert status == 77
    assert "stages.0.epochs = 3 there, 2 here" in err
    assert call("train", mine, "--out", mine.parent, "-o", "data.labels=400")[0] == 77
    assert mine.read_text() == before.replace("epochs = 2", "epochs = 3")


@pytest.mark.parametrize(
    ("facts", "arrays", "status", "told"),
    [
        (
            {"architecture": "timm/resnet10t"},
            {},
            78,
            "holds weights of timm/resnet10t, the model's encoder is torchvision",
        ),
        ({}, {}, 78, "does not say which architecture it is for; run: semiretina weights convert"),
        ({"architecture": "torchvision/resnet18"}, {"a": (2,)}, 65, "is not a file of torchvision/resnet18: it lacks"),
        (None, {}, 65, "not a whole safetensors file"),
    ],
)
def test_weights_of_another_architecture_are_told_before_any_work(fails, write, tmp_path, facts, arrays, status, told):
    file = tmp_path / "weights.safetensors"
    if facts is None:
        file.write_bytes(b"\x08\x00")
    else:
        tensors = {name: np.zeros(shape, np.float32) for name, shape in (arrays or {"x": (1,)}).items()}
        save_file(tensors, file, facts)
    model = {"name": "res18", "weights": str(file)}
    config = write()
    text = config.read_text()
    start = text.index("[model]")
    model_text = f'[model]\nname = "res18"\nweights = "{model["weights"]}"\n\n'
    config.write_text(text[:start] + model_text + text[text.index("[[stages]]") :])
    fails(config, status, told)


def test_weights_that_are_not_there(fails, write, tmp_path):
    config = write()
    words = [f'model={{name="res18",weights="{tmp_path}/gone.safetensors"}}']
    fails(config, 66, "model.weights: ", "gone.safetensors: no such file", overrides=words)


@pytest.fixture
def begun(write, tmp_path, monkeypatch):
    """A run over `clinic` that was stopped after its first of two epochs; its configuration and its folder."""
    from semiretina.training import epoch

    save = epoch.checkpoint.save_next

    def stop(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    config, run = write(), tmp_path / "begun"
    with monkeypatch.context() as patch:
        patch.setattr(epoch.checkpoint, "save_next", stop)
        with pytest.raises(KeyboardInterrupt):
            semiretina.train(config, run)
    return config, run


def test_another_configuration_is_refused_with_the_differing_keys(call, begun):
    config, run = begun
    status, err = call("train", config, "--out", run, "-o", "seed=3", "-o", "stages.0.optimizer.lr=0.5")
    assert status == 77
    assert "another configuration: seed = 0 there, 3 here; stages.0.optimizer.lr = 0.001 there, 0.5 here" in err
    assert "Choose another --out" in err
    # Where and how fast it runs may change.
    assert call("train", config, "--out", run, "-o", "engine.eval_batch=4")[0] == 0
    assert call("train", config, "--out", run, "-o", "seed=3")[0] == 77


def test_an_edited_split_is_refused(call, begun):
    config, run = begun
    split = run / "split.csv"
    before = split.read_text()
    rows = [line for line in before.splitlines(keepends=True) if line.endswith(",train\n")]
    split.write_text(before.replace(rows[0], rows[0].replace(",train\n", ",unused\n")))
    status, err = call("train", config, "--out", run)
    assert status == 77
    assert f"{split}: was edited after the run began" in err
    split.write_text("path,role\n")
    status, err = call("train", config, "--out", run)
    assert status == 65
    split.write_text(before)
    assert call("train", config, "--out", run)[0] == 0


def test_a_changed_manifest_is_refused(call, begun, clinic):
    config, run = begun
    before = clinic.read_text()

    def change(rows):
        rows[0]["grade"] = "1"
        return [*rows[:-1], {**rows[-1], "path": "new.jpg"}]

    edit(clinic, change)
    status, err = call("train", config, "--out", run)
    assert status == 77
    for told in ("3 defects", "new.jpg is new", "19-right.jpg is gone", "00-left.jpg reads otherwise"):
        assert told in err
    clinic.write_text(before)
    assert call("train", config, "--out", run)[0] == 0


def test_a_run_goes_on_without_its_manifest_but_not_with_other_photographs(call, begun, clinic):
    config, run = begun
    clinic.unlink()
    photograph = clinic.parent / "03-right.jpg"
    before = photograph.read_bytes()
    Image.new("RGB", (64, 64), "white").save(photograph)
    status, err = call("train", config, "--out", run)
    assert status == 77
    assert "03-right.jpg is not the photograph that was split" in err
    photograph.unlink()
    status, err = call("train", config, "--out", run)
    assert status == 65
    assert "03-right.jpg: no such file" in err
    photograph.write_bytes(before)
    assert call("train", config, "--out", run)[0] == 0


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(call, begun, write, tmp_path):
    config, run = begun
    folder = run / "checkpoints"
    # A newer one, whole but for one bit.
    for suffix in ("json", "safetensors"):
        shutil.copy(folder / f"epoch-000001.{suffix}", folder / f"epoch-000002.{suffix}")
    content = bytearray((folder / "epoch-000002.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "epoch-000002.safetensors").write_bytes(content)
    status, err = call("train", config, "--out", run)
    assert status == 0
    assert f"{folder}/epoch-000002.safetensors: its checksum fails; the file is damaged; going on from" in err
    semiretina.train(config, tmp_path / "straight")
    name = "grader.safetensors"
    assert (run / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_own_methods_are_checked_as_the_built_in_ones_are(make_config, tmp_path):
    class Plain(semiretina.Method):
        stream = "labeled"

        def __init__(self, network, tasks, *, weight=1.0, share: "float" = 0.5):
            super().__init__(network, tasks)
            self.weight, self.share = weight, share

        def forward(self, batch, progress):
            return {"loss": self.weight * self.network(batch.labeled.views["weak"])["dr"].square().mean()}

    def train(**parameters):
        stage = {**STAGE, "method": {"name": "plain", **parameters}, "epochs": 1}
        return semiretina.train(make_config(stage), tmp_path / "run", methods={"plain": Plain})

    with pytest.raises(BadConfig, match=r"stages\.0\.method: unknown parameter 'wieght'; did you mean 'weight'\?"):
        train(wieght=2)
    with pytest.raises(BadConfig, match=r"stages\.0\.method\.share: .*, not 'half'"):
        train(share="half")
    assert train(weight=2, share=0.25)["labeled_updates"] > 0
    with pytest.raises(Refused, match=r"stages\.0\.method\.weight = 2 there, 3 here"):
        train(weight=3, share=0.25)
    with pytest.raises(BadConfig, match="unknown name 'plain'; "):
        semiretina.train(make_config({**STAGE, "method": {"name": "plain"}}), tmp_path / "other")
