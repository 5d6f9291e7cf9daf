"""The page, read as a browser reads it: whole in itself, every picture described, nothing mixed."""

import json
import re
import subprocess
import sys

import pytest
from fake_runs import make_run
from pages import Page, check_is_built_for_readers, check_pictures, check_stands_alone, svg

from semiretina.errors import MissingInput
from semiretina.report import write_report
from semiretina.report.confusions import confusion_matrices
from semiretina.report.run_set import RunSet
from semiretina.report.runs import read_runs


def report(runs, out):
    return Page(write_report(runs, out))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    runs = [
        make_run(folder / "baseline", strength=1.8),
        make_run(folder / "AE then CL", stages=("reconstruction", "supervised"), strength=2.2),
        make_run(folder / "combined", stages=("combined",), strength=2.5),
    ]
    return runs, report(runs, folder / "out")


def test_the_page_is_whole_and_for_all_readers(three):
    _, page = three
    check_stands_alone(page)
    check_pictures(page, least=11)
    check_is_built_for_readers(page)


def test_the_head_says_what_was_compared(three):
    _, page = three
    assert "3 runs compared on the same 80 test photographs" in page.text
    assert page.text.index("baseline, AE then CL, combined") < page.text.index("Results on the test photographs")
    assert "Not one comparison" not in page.text
    for fact in ("aecl1-small", "128 pixels square", "Unlabelled 400"):
        assert fact in page.text


def test_the_table_holds_the_numbers_of_the_results(three):
    runs, page = three
    for run in runs:
        scores = json.loads((run / "result.json").read_text())["test"]["dr"]
        assert f"{100 * scores['accuracy']['value']:.1f}" in page.text
        assert f"[{scores['auroc']['low']:.3f}, {scores['auroc']['high']:.3f}]" in page.text


def test_stages_are_drawn_apart(three):
    _, page = three
    classified = page.picture("dr: AUROC on validation")
    assert re.findall(r"(baseline|AE then CL|combined) 0\.\d+|(?:combined 1)", classified["alt"])[:2] == [
        "baseline",
        "AE then CL",
    ]
    reconstructed = page.picture("reconstruction on validation")
    assert "baseline" not in reconstructed["alt"]
    assert "AE then CL 0.01" in reconstructed["alt"]
    assert "AE then CL: stage 2 of 2, supervised." in page.text
    assert "AE then CL: stage 1 of 2, reconstruction." in page.text


def test_a_name_keeps_its_colour_in_every_panel(three):
    _, page = three
    for start in ("dr: AUROC on validation", "dr: ROC curves", "dr: accuracy on test"):
        drawn = svg(page.picture(start)).lower()
        assert all(color in drawn for color in ("#0072b2", "#d55e00", "#009e73"))
    drawn = svg(page.picture("reconstruction on validation")).lower()
    assert "#0072b2" not in drawn


def test_the_schedule_shows_the_run_that_alternates(three):
    _, page = three
    schedules = [img["alt"] for img in page.all("img") if img["alt"].startswith("Schedule")]
    assert schedules == ["Schedule of combined: 60 of 660 minibatches in 12 epochs were labelled."]


def test_roc_curves_carry_their_area(three):
    runs, page = three
    area = json.loads((runs[0] / "result.json").read_text())["test"]["dr"]["auroc"]
    assert (
        f"baseline: AUROC {area['value']:.3f} [{area['low']:.3f}, {area['high']:.3f}]; AE then CL: AUROC" in page.text
    )


def test_untrained_decoders_are_not_shown(three):
    _, page = three
    shown = [img["alt"] for img in page.all("img") if img["alt"].startswith(("Photograph", "Reconstruction of"))]
    assert [alt for alt in shown if alt.startswith("Photograph")] == [f"Photograph eye 00{n}.jpg" for n in range(4)]
    assert len(shown) == 4 + 2 * 4
    assert not any("baseline" in alt for alt in shown)


def test_settings_and_environment_are_folded(three):
    _, page = three
    assert page.text.count('name = "aecl1-small"') == 3
    assert "2.11.0" in page.text


def test_the_same_runs_give_the_same_bytes(three, tmp_path):
    runs, page = three
    assert write_report(runs, tmp_path).read_text("utf-8") == page.source


def test_different_test_lists_are_warned_of_and_kept_apart(tmp_path):
    runs = [make_run(tmp_path / name, epochs=2, test_list=name * 64, decoder=False) for name in ("a", "b")]
    page = report(runs, tmp_path / "out")
    assert "Not one comparison. These runs were tested on 2 different lists" in page.text
    assert page.text.index("Not one comparison") < page.text.index("Results on the test photographs")
    for start in ("dr: ROC curves", "dr: AUROC on test", "dr: accuracy on validation"):
        pictures = [svg(img).lower() for img in page.all("img") if img["alt"].startswith(start)]
        assert len(pictures) == 2
        assert not any("#0072b2" in picture and "#d55e00" in picture for picture in pictures)
    assert "None of these runs trained a decoder." in page.text
    check_is_built_for_readers(page)


def test_seeds_are_drawn_as_a_mean_and_a_band(tmp_path):
    runs = [make_run(tmp_path / f"baseline-s{seed}", seed=seed, epochs=3 + seed) for seed in (0, 1)]
    config = (runs[0] / "config.toml").read_text()
    (runs[1] / "config.toml").write_text(config.replace("seed = 0", "seed = 1"))
    page = report(runs, tmp_path / "out")
    drawn = svg(page.picture("dr: AUROC on validation"))
    assert "FillBetweenPolyCollection" in drawn or "PolyCollection" in drawn
    assert "baseline, seed 1" in page.text
    values = [json.loads((run / "result.json").read_text())["test"]["dr"]["auroc"]["value"] for run in runs]
    assert f"baseline: AUROC {min(values):.3f} to {max(values):.3f} in 2 seeds." in page.text
    logs = [(run / "log.jsonl").read_text().splitlines() for run in runs]
    last = json.loads(logs[1][-1])["val"]["dr"]["auroc"]  # only the longer run reaches the last epoch
    assert f"baseline {last:.3g}." in page.picture("dr: AUROC on validation")["alt"]


def test_classes_get_a_confusion_matrix_and_outputs_a_curve_each(tmp_path):
    run = make_run(tmp_path / "run", epochs=2, tasks=("severity", "lesions"), photographs=60)
    page = report([run], tmp_path / "out")
    matrices = [a["aria-label"] for a in page.all("div") if "Confusion matrix" in a.get("aria-label", "")]
    outputs = ("severity", "lesions.MA", "lesions.HE", "lesions.EX", "lesions.SE")
    assert matrices == [f"Table: Confusion matrix of run, {output}" for output in outputs]
    curves = [img["alt"] for img in page.all("img") if "ROC curves" in img["alt"]]
    assert curves == [f"lesions.{lesion}: ROC curves on test." for lesion in ("MA", "HE", "EX", "SE")]
    assert page.picture("severity: quadratic kappa on test")


def test_a_confusion_matrix_counts_answers_by_true_class(tmp_path):
    run = make_run(tmp_path / "run", epochs=1, tasks=("severity",))
    answers = {  # true class (None: unknown) and the three probabilities
        "a": (0, (0.7, 0.2, 0.1)),
        "b": (0, (0.1, 0.2, 0.7)),
        "c": (1, (0.5, 0.4, 0.1)),
        "d": (2, (0.1, 0.1, 0.8)),
        "e": (2, (0.1, 0.1, 0.8)),
        "f": (None, (0.1, 0.1, 0.8)),
    }
    lines = ["path,patient,site,task,output,label,probability"]
    for path, (truth, probabilities) in answers.items():
        labels = ["" if truth is None else int(truth == k) for k in range(3)]
        lines += [f"{path}.jpg,,,severity,grade {k},{labels[k]},{probabilities[k]}" for k in range(3)]
    (run / "predictions-test.csv").write_text("\n".join(lines) + "\n")
    [matrix] = confusion_matrices("severity", RunSet(read_runs([run])))
    assert matrix.columns == ["", "grade 0", "grade 1", "grade 2"]
    assert [[cell.text for cell in row] for row in matrix.rows] == [
        ["grade 0", "1", "0", "1"],
        ["grade 1", "1", "0", "0"],
        ["grade 2", "0", "0", "2"],
    ]
    assert [[cell.shade for cell in row[1:]] for row in matrix.rows] == [[50, 0, 50], [100, 0, 0], [0, 0, 100]]


def test_the_papers_protocol_stands_beside_the_single_look(tmp_path):
    run = make_run(tmp_path / "run", epochs=3, protocol=True)
    page = report([run], tmp_path / "out")
    section = page.text[page.text.index("Under the paper's protocol") :]
    once = json.loads((run / "result.json").read_text())["test"]["dr"]["accuracy"]["value"]
    assert re.search(rf"run dr {100 * once:.1f} \[[\d., ]+\] 88\.8 7 86\.2 85\.1", section)
    assert "selects on the test photographs" in section
    assert "One run, tested on photographs that it was not trained on." in page.text
    assert page.picture("dr: accuracy on test, every epoch")


def test_an_absent_protocol_is_not_mentioned(three):
    _, page = three
    assert "Under the paper's protocol" not in page.text


def test_names_are_text_and_nothing_else(tmp_path):
    name = '<script>alert("$x$")</script>'
    run = make_run(tmp_path / "run", epochs=2)
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"name": name}))
    page = report([run], tmp_path / "out")
    assert "script" not in {tag for tag, _ in page.tags}
    assert name in page.text
    assert not re.search(r"(?<!\\)<script", (tmp_path / "out" / "report.md").read_text())
    assert json.loads((tmp_path / "out" / "report.json").read_text())["runs"][0]["name"] == name


def test_an_undefined_score_leaves_a_dash_and_no_curve(tmp_path):
    run = make_run(tmp_path / "run", epochs=1)
    result = json.loads((run / "result.json").read_text())
    nothing = {"value": None, "low": None, "high": None}
    result["test"]["dr"] |= {"auroc": nothing, "sensitivity": nothing, "positives": 0, "majority": 1.0}
    (run / "result.json").write_text(json.dumps(result))
    file = run / "predictions-test.csv"
    file.write_text(re.sub(r",1,(0?\.?[\d.e-]+)$", r",0,\1", file.read_text(), flags=re.MULTILINE))
    page = report([run], tmp_path / "out")
    assert not [img for img in page.all("img") if "ROC" in img["alt"] and "curves" in img["alt"]]
    assert "dr, 0 of 80 positive" in page.text


def test_a_run_without_test_photographs_is_still_reported(tmp_path):
    run = make_run(tmp_path / "run", epochs=2)
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"test": {}}))
    page = report([run], tmp_path / "out")
    assert "None of these runs has test photographs." in page.text
    assert "tested on" not in page.text[: page.text.index("Findings")]
    assert page.picture("dr: AUROC on validation")


def test_a_run_that_is_not_finished_writes_no_page(tmp_path):
    run = make_run(tmp_path / "run", epochs=2)
    (run / "log.jsonl").unlink()
    with pytest.raises(MissingInput, match=r"run has no log\.jsonl"):
        write_report([run], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "run has no labelled test photograph of dr"),
        (["/a/eye 000.jpg,p0,1,dr,dr,1,nan"], "run has probabilities that are not numbers"),
    ],
)
def test_answers_that_cannot_be_drawn_are_a_caution(tmp_path, lines, reason):
    run = make_run(tmp_path / "run", epochs=1)
    text = "\n".join(["path,patient,site,task,output,label,probability", *lines])
    (run / "predictions-test.csv").write_text(text + "\n")
    page = report([run], tmp_path / "out")
    assert f"{reason}; its curves of dr are not drawn." in page.text[page.text.index("Cautions") :]
    assert not [img for img in page.all("img") if "ROC curves" in img["alt"] or "calibration" in img["alt"]]
    assert page.picture("dr: AUROC on test")


def test_importing_the_report_is_cheap():
    heavy = "{'matplotlib', 'sklearn', 'scipy', 'torch', 'pandas', 'PIL', 'jinja2'}"
    code = f"import semiretina.report, sys; print(sorted({heavy} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
