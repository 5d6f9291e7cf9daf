"""The page and the text of an audit, from made-up findings: nothing is read and nothing measured."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from semiretina.audit.audit import Audit
from semiretina.audit.finding import KINDS, Place, gather
from semiretina.audit.shift import Shift
from semiretina.audit.shortcuts import Probe
from semiretina.records import Reading, Record
from semiretina.report.audit_page import to_text, write_page
from semiretina.scoring.intervals import Estimate

NAN = float("nan")


def audit(found=(), **more) -> Audit:
    records = [Record(path=Path(f"/p/{n}.jpg"), scale="icdr", grade=n % 2) for n in range(4)]
    values = {
        "manifest": Path("/p/m.csv"),
        "reading": Reading(records, [2, 3, 4, 5], [record.path.name for record in records], ["path"]),
        "findings": gather(found),
        "counts": {"grade, icdr": {"0": 2, "1": 2}, "site": {"": 4}},
        "patients": 0,
        "unreadable": 0,
        "shortcuts": [],
        "shift": None,
        "clusters": [""] * 4,
        "thumbnails": {},
    }
    return Audit(**{**values, **more})


class Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.texts, self.open, self.images = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def page_of(tmp_path, found: Audit) -> Texts:
    write_page(found, tmp_path / "a.html")
    page = Texts()
    page.feed((tmp_path / "a.html").read_text())
    assert page.open == []
    return page


def test_nothing_found(tmp_path):
    told = "Nothing was found that training should not see."
    assert told in page_of(tmp_path, audit()).texts
    assert to_text(audit()).splitlines() == [
        "/p/m.csv: 4 photographs of 0 named patients, 0 unreadable; 0 errors, 0 warnings",
        "",
        "Nothing was found.",
        "",
        "grade, icdr: 0 2, 1 2",
        "site: (empty) 4",
    ]


def test_the_worst_stands_first_and_a_few_places_of_each(tmp_path):
    found = [("blank", Place((row,), "path", (), f"{row}.jpg")) for row in range(9, 2, -1)]
    found += [("absolute", Place((2,), "path", detail="one")), ("cell", Place((4,), "grade", detail="'9' is wrong"))]
    lines = to_text(audit(found)).splitlines()
    assert lines[0].endswith("; 1 error, 7 warnings")
    assert lines[2:10] == [
        "ERROR    Cells that training refuses",
        "         row 4, column grade: '9' is wrong",
        "         -> mend them, or empty them where nothing is known",
        "WARNING  Photographs that show nothing: 7",
        "         row 3, column path: 3.jpg",
        "         row 4, column path: 4.jpg",
        "         row 5, column path: 5.jpg",
        "         and 4 more",
    ]
    assert lines[11:13] == ["note     Absolute paths", "         row 2, column path: one"]
    texts = page_of(tmp_path, audit(found)).texts
    assert "One error: training would refuse this manifest." in texts
    assert [text for text in texts if text in ("Errors", "Warnings", "Notes")][-3:] == ["Errors", "Warnings", "Notes"]
    assert "9.jpg" in texts


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_place_on_the_page(tmp_path, kind):
    texts = page_of(tmp_path, audit([(kind, Place((2,), "path", detail="here"))])).texts
    assert any(KINDS[kind].title in text for text in texts)
    assert f"What to do: {KINDS[kind].advice}." in texts
    assert KINDS[kind].advice[0].islower()
    assert not KINDS[kind].advice.endswith(".")


def test_pairs_are_shown_beside_each_other(tmp_path):
    place = Place((2, 4), "path", ("/p/0.jpg", "/p/2.jpg"), "0.jpg and 2.jpg")
    found = audit([("copy-near", place)], thumbnails={"/p/0.jpg": b"one", "/p/2.jpg": b"two"})
    page = page_of(tmp_path, found)
    assert [image["alt"] for image in page.images] == ["Photograph 0.jpg", "Photograph 2.jpg"]
    assert page.images[0]["src"] == "data:image/jpeg;base64,b25l"


def test_shortcuts_and_shift(tmp_path):
    probes = [Probe("dr", "mean colour", 90, Estimate(0.8, 0.7, 0.9)), Probe("dr", "site", 90, Estimate(0.6, 0.5, 0.7))]
    shift = Shift(90, 30, Estimate(0.9, 0.8, 0.95), "blue, 1.00 ...", Estimate(0.6, 0.5, 0.7), 0.4, Estimate(NAN))
    found = audit(shortcuts=probes, shift=shift)
    text = to_text(found)
    assert "AUROC of 'dr' without the retina: mean colour 0.80 [0.70, 0.90]; site 0.60 [0.50, 0.70]" in text
    assert "AUROC of labelled against unlabelled: 0.90 [0.80, 0.95]; the fraction with retinopathy" in text
    texts = page_of(tmp_path, found).texts
    words = [text for text in texts if text.strip()]
    assert words[words.index("mean colour") :][:5] == ["mean colour", "dr", "90", "0.80 [0.70, 0.90]", "yes"]
    assert [words[k + 4] for k, word in enumerate(words) if word == "site"][-1] == "no"
    assert any("cannot be told: the probe is too weak (AUROC 0.60 [0.50, 0.70])" in text for text in texts)


def test_one_line_a_place_whatever_a_cell_holds():
    place = Place((2,), "path", detail="a\nb\u202ec " + "x" * 500)
    (line,) = (line for line in to_text(audit([("cell", place)])).splitlines() if "row 2" in line)
    assert "a b\\u202ec x" in line
    assert len(line) < 260
