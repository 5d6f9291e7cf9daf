"""Every part of a report from a run that has it; none of it, and no empty heading, from a run that lacks it."""

import json
import re

import pytest
from fake_runs import make_run
from full_run import PATIENTS, make_full_run
from pages import Page, check_is_built_for_readers, check_pictures, check_stands_alone

from semiretina.judging.ledger import TestList, note_look
from semiretina.report import write_report
from semiretina.report.contents import CHAPTERS
from semiretina.report.section import section, table

PARTS = (
    *("Findings", "Results on the test photographs", "ROC curves, precision and recall, calibration"),
    *("Confusion matrices", "By site, camera and grade", "Eyes and patients", "Operating point"),
    *("Leaving photographs to a person", "Training", "Originals and reconstructions", "Worst mistakes", "Data card"),
    *("Looks at the test set", "Cautions", "Settings and environment"),
)


def headings(page):
    return re.findall(r"<h[23][^>]*>([^<]+)</h[23]>", page.source)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    run = make_full_run(folder / "run", "idrid", stages=("combined",))
    manifest = folder / "manifest.csv"
    config = (run / "config.toml").read_text().replace("/klinik-nord/listen/Kohorte7.csv", str(manifest))
    (run / "config.toml").write_text(config)
    tested = TestList(manifest, "a" * 64, 80)
    note_look(run, "train", tested, {"dr": 0.5})
    note_look(run, "evaluate", tested, {"dr": 0.3})
    note_look(folder / "run", "tracked", tested, {"dr": 0.5})
    note_look(run, "evaluate", TestList(manifest, "b" * 64, 80), {"dr": 0.5})
    return run, Page(write_report([run], folder / "out")), folder / "out"


def test_the_parts_stand_in_their_order(full):
    _, page, _ = full
    check_stands_alone(page)
    check_pictures(page, least=12)
    check_is_built_for_readers(page)
    found = headings(page)
    assert [title for title in found if title in PARTS] == list(PARTS)


def test_a_run_that_lacks_a_part_has_no_heading_for_it(tmp_path):
    page = Page(write_report([make_run(tmp_path / "run", epochs=1, decoder=False)], tmp_path / "out"))
    absent = {
        *("By site, camera and grade", "Eyes and patients", "Operating point", "Leaving photographs to a person"),
        *("Worst mistakes", "Data card", "Looks at the test set", "Cautions"),
    }
    assert not absent & set(headings(page))
    assert not any(name in page.text for name in ("Accuracy over the share referred", "Sets of answers"))


def test_one_method_alone_is_told_by_its_scores(full):
    run, page, _ = full
    scores = json.loads((run / "result.json").read_text())["test"]["dr"]
    said = f"run: AUROC {scores['auroc']['value']:.3f} [{scores['auroc']['low']:.3f}, {scores['auroc']['high']:.3f}]; "
    said += f"accuracy {100 * scores['accuracy']['value']:.1f} %"
    assert page.text.index(said) < page.text.index("Results on the test photographs")


def test_strata_are_drawn_where_there_are_two(full):
    _, page, _ = full
    assert page.picture("dr: AUROC by site")["alt"] == (
        "dr: AUROC by site with 95 % intervals: Lund (40 photographs): run 0.900 [0.800, 0.950]; "
        "Ystad (40 photographs): run 0.700 [0.600, 0.800]."
    )
    # One grade has one class alone, so that only the other has an area: undefined is said.
    assert "0 (36 photographs): undefined" in page.picture("dr: AUROC by grade")["alt"]
    assert not [image for image in page.all("img") if "by camera" in image["alt"]]
    assert "dr, site Ystad run 40 22 90.0 [80.0, 95.0]" in page.text


def test_levels_operating_point_and_abstention_are_told(full):
    _, page, _ = full
    assert "run dr photograph 80 7.5 [3.0, 20.0] 90.0 [80.0, 95.0]" in page.text
    assert "run dr patient 40 7.5 [3.0, 20.0]" in page.text
    assert "run dr sensitivity 0.87 1.750 0.3125 val 60 31 87.5 [70.0, 95.0] 62.5" in page.text
    assert "run dr 10.0 72 91.2 [85.0, 95.0]" in page.text
    assert "run dr 90.0 80 92.5 [85.0, 97.0] 1.125" in page.text
    assert "dr of run: fewer than 50 positives, so intervals cover less than they say" in page.text
    assert "Read these numbers with the caution below." in page.text


def test_mistakes_are_shown_with_where_the_network_looked(full):
    _, page, _ = full
    section = page.text[page.text.index("run: its 2 surest wrong answers") :]
    assert "dr: yes (97.1 %), labelled no" in section
    assert "dr: no (93.4 %), labelled yes" in section
    shown = [image["alt"] for image in page.all("img") if "xyz.jpg" in image["alt"]]
    assert "Photograph Bild001xyz.jpg" in shown
    assert "Heat map of Bild001xyz.jpg for the answer of run" in shown


def test_a_mistake_without_a_heat_map_is_shown_by_itself_and_the_reason_said_once(tmp_path):
    run = make_full_run(tmp_path / "run", "idrid", decoder=False)
    file = run / "samples" / "mistakes.json"
    mistakes = json.loads(file.read_text())
    for mistake in mistakes:
        (run / "samples" / mistake["heat_map"]).unlink()
        mistake["heat_map"] = ""
    file.write_text(json.dumps(mistakes))
    page = Page(write_report([run], tmp_path / "out"))
    check_pictures(page)
    section = page.text[page.text.index("run: its 2 surest") : page.text.index("Data card")]
    reason = "No heat map: the encoder's map of this network is smaller than 4 x 4 and would say nothing about where."
    assert section.count(reason) == 1
    assert "Grad-CAM" not in section
    assert "dr: yes (97.1 %), labelled no" in section
    shown = [image["alt"] for image in page.all("img") if "xyz.jpg" in image["alt"]][-2:]
    assert shown == ["Photograph Bild000xyz.jpg", "Photograph Bild001xyz.jpg"]


def test_the_data_card_counts_by_role(full):
    _, page, _ = full
    card = page.text[page.text.index("Data card") : page.text.index("Looks at the test set")]
    assert "all photographs 4 80 84" in card
    assert "site: Lund" in card
    assert "grade: icdr 0 1 20 21" in card
    assert f"named patients 4 {len(PATIENTS)} 44" in card
    assert "idrid Indian Diabetic Retinopathy Image Dataset CC BY 4.0 yes" in card
    assert "exam" not in card


def test_the_looks_at_the_test_set_are_counted_and_marked(full):
    _, page, _ = full
    looks = page.text[page.text.index("Looks at the test set") :]
    assert re.search(r"The test list was looked at 3 times by 1 run, on \d{4}-\d\d-\d\d\.", looks)
    assert "1 training looked at it after every epoch" in looks
    assert "run looked with 2 thresholds: dr 0.5 and then dr 0.3." in looks
    assert "1 other test list of the same manifest was looked at, 1 time: the list was edited" in looks
    assert [a.get("class") for a in page.all("li")].count("marked") == 3


def test_markdown_holds_the_tables_and_sentences(full):
    _, _, out = full
    text = (out / "report.md").read_text()
    assert "\n## Findings\n\n- **dr.** run: AUROC " in text
    for title in (
        *("More scores", "Eyes and patients", "By site, camera and grade, in numbers", "Operating point"),
        *("Accuracy over the share referred", "Sets of answers", "Photographs", "Sources", "Looks at the test set"),
        *("Confusion matrix of run, dr", "Worst mistakes", "Cautions"),
    ):
        assert re.search(rf"^##+ {title}$", text, re.MULTILINE), title
    assert "data:" not in text
    for written in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        lines = written.splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
        assert re.fullmatch(r"\|(?: ?-+:? ?\|)+", lines[1])


def held(section, kind):
    """Everything of a kind ("tables", "items") that a section of report.json holds, however deep."""
    return section.get(kind, []) + [one for inner in section.get("sections", []) for one in held(inner, kind)]


def test_json_holds_what_is_shown(full):
    run, page, out = full
    report = json.loads((out / "report.json").read_text())
    assert report["schema"] == 2
    assert report["shared"] is False
    sections = {section["name"]: section for section in report["sections"]}
    assert list(sections) == re.findall(r'<section id="([a-z]+)"', page.source)
    [sentence] = sections["findings"]["items"]
    assert sentence["words"] in page.text
    result = json.loads((run / "result.json").read_text())
    assert report["runs"][0]["result"]["test"] == result["test"]
    [of_list] = sections["results"]["sections"]
    assert of_list["name"] == "aaaaaaaaaaaa"
    results = {section["name"]: section for section in of_list["sections"]}
    [matrix] = held(results["confusions"], "tables")
    assert sum(int(count) for row in matrix["rows"] for count in row[1:]) == 80
    roc, precision, calibration = results["curves"]["pictures"]
    assert roc["caption"].startswith("run: AUROC")
    curve = roc["data"]["run"]
    assert len(curve["x"]) == len(curve["low"]) == len(curve["value"])
    assert curve["value"][-1] == 1.0
    assert precision["data"]["run"]["value"] != curve["value"]
    assert "data" not in calibration
    assert [look["marked"] for look in held(sections["data"], "items")] == [False, True, True, True]
    assert sections["cautions"]["items"]
    [mistakes] = held(sections["mistakes"], "tables")
    assert mistakes["rows"][0][-1] == "97.1"


def test_json_holds_numbers_and_not_their_digits_alone(full):
    run, _, out = full
    sections = {section["name"]: section for section in json.loads((out / "report.json").read_text())["sections"]}
    first, *_ = held(sections["results"], "tables")
    area = json.loads((run / "result.json").read_text())["test"]["dr"]["auroc"]
    [row] = first["rows"]
    shown = row[first["columns"].index("AUROC")]
    assert {name: shown[name] for name in ("value", "low", "high")} == area
    assert shown["text"] == f"{area['value']:.3f} [{area['low']:.3f}, {area['high']:.3f}]"


def test_every_table_of_the_page_is_in_markdown_and_json(full):
    _, page, out = full
    report = json.loads((out / "report.json").read_text())
    tables = [table for section in report["sections"] for table in held(section, "tables")]
    photographs = [a for a in page.all("table") if a["class"] == "samples"]
    assert len(tables) == len(page.all("table")) - len(photographs) > 9
    text = (out / "report.md").read_text()
    assert len(re.findall(r"^\| ?-{3}", text, re.MULTILINE)) == len(tables)


def test_a_section_is_a_function_and_a_line(tmp_path, monkeypatch):
    def weather(runs):
        return section("Weather", table("As it was.", ["run", "rain"], [[run.label, "much"] for run in runs.runs]))

    chapter = CHAPTERS["cautions"]._replace(sections=[weather])
    monkeypatch.setitem(CHAPTERS, "cautions", chapter)
    page = Page(write_report([make_run(tmp_path / "run", epochs=1, decoder=False)], tmp_path / "out"))
    check_is_built_for_readers(page)
    assert "Weather As it was. run rain run much" in re.sub(r" +", " ", page.text)
    assert "### Weather\n\n| run | rain |" in (tmp_path / "out" / "report.md").read_text()
    sections = {one["name"]: one for one in json.loads((tmp_path / "out" / "report.json").read_text())["sections"]}
    [added] = sections["cautions"]["sections"]
    assert added["name"] == "weather"
    assert added["tables"][0]["rows"] == [["run", "much"]]
