"""The audit from end to end: the verb, its text, JSON and page, and the manifest with clusters."""

import csv
import json
import sys

import pytest
from audit_photographs import draw, save, write
from PIL import Image

from semiretina import cli
from semiretina.audit import audit_manifest
from semiretina.records import read_manifest


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """Ten drawn photographs of five patients; 0 and 1 return as copies, 7.jpg cannot be read, 99.jpg is not there."""
    folder = tmp_path_factory.mktemp("clinic")
    rows = []
    for number in range(8):
        save(draw(number // 2, ("left", "right")[number % 2], number % 3), folder / f"{number}.jpg")
        rows.append({"path": f"{number}.jpg", "patient": f"p{number // 2}", "eye": ("left", "right")[number % 2]})
        rows[-1] |= {"scale": "icdr", "grade": number % 3, "note": f"n{number}"}
    (folder / "7.jpg").write_bytes(b"\xff\xd8\xff no photograph")
    (folder / "8.jpg").write_bytes((folder / "0.jpg").read_bytes())
    with Image.open(folder / "1.jpg") as image:
        image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(folder / "9.jpg", quality=80)
    rows += [{"path": "8.jpg", "patient": "p8", "scale": "icdr", "grade": 0, "eye": "left"}]
    rows += [{"path": "9.jpg", "patient": "p9", "scale": "icdr", "grade": 2, "eye": "right"}]
    return write(folder, rows)


@pytest.fixture(scope="module")
def found(clinic, tmp_path_factory):
    return audit_manifest(clinic, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    monkeypatch.setenv("SEMIRETINA_CACHE", str(tmp_path / "cache"))

    def run(*words):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["semiretina", "data", "audit", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def test_what_is_found(found):
    kinds = {finding.kind: [place.rows for place in finding.places] for finding in found.findings}
    assert kinds["unreadable"] == [(9,)]
    assert kinds["copy-bytes"] == [(2, 10)]
    assert kinds["copy-near"] == [(3, 11)]
    assert kinds["conflict"] == [(3, 11)]
    assert (found.errors, found.unreadable, found.patients) == (1, 1, 6)
    assert found.counts["grade, icdr"] == {"0": 4, "1": 3, "2": 3}
    assert list(found.clusters) == ["c0", "c1", "", "", "", "", "", "", "c0", "c1"]
    assert [finding.severity for finding in found.findings] == sorted(
        (finding.severity for finding in found.findings), key=["error", "warning", "note"].index
    )


def test_the_verb(call, clinic, tmp_path):
    out = clinic.parent / "with clusters.csv"
    status, text, err = call(clinic, "--html", tmp_path / "audit.html", "--out", out)
    assert status == 65
    assert text.startswith(f"{clinic}: 10 photographs of 6 named patients, 1 unreadable; 1 error, ")
    assert "ERROR    Photographs that cannot be read\n         row 9, column path: 7.jpg: damaged or truncated" in text
    assert "row 3, 11" not in text
    assert "rows 3, 11, column grade: 1.jpg and 9.jpg: grade 1 and 2" in text
    assert "Traceback" not in err
    assert max(map(len, text.splitlines())) < 300
    with out.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    names = [row["cluster"] for row in rows]
    assert [bool(name) for name in names] == [True, True, *[False] * 6, True, True]
    assert names[0] == names[8] != names[1] == names[9]
    assert [row["note"] for row in rows] == [*(f"n{n}" for n in range(8)), "", ""]
    assert len(read_manifest(out)) == 10
    page = (tmp_path / "audit.html").read_text()
    assert page.count("data:image/jpeg") >= 4
    for outside in ("http:", "https:", "<script", "@import", "url("):
        assert outside not in page


def test_json(call, clinic):
    status, text, _ = call(clinic, "--json")
    found = json.loads(text)
    assert status == 65
    assert (found["photographs"], found["errors"], found["unreadable"]) == (10, 1, 1)
    (unreadable,) = (finding for finding in found["findings"] if finding["kind"] == "unreadable")
    assert unreadable["places"][0]["rows"] == [9]
    assert unreadable["places"][0]["files"] == [str(clinic.parent / "7.jpg")]


def test_warnings_end_with_0(call, tmp_path):
    save(draw(1), tmp_path / "a.jpg")
    status, text, _ = call(write(tmp_path, [{"path": "a.jpg", "scale": "icdr", "grade": "1"}]))
    assert status == 0
    assert "0 errors" in text
    assert "WARNING  Photographs without a patient id" in text


def test_what_cannot_be_read_at_all_is_a_finding_and_a_missing_manifest_is_not(call, tmp_path):
    (tmp_path / "m.csv").write_bytes("path\na.jpg\n".encode("utf-16"))
    status, text, _ = call(tmp_path / "m.csv", "--html", tmp_path / "m.html")
    assert status == 65
    assert "ERROR    The manifest cannot be read\n         not UTF-8 text but UTF-16" in text
    assert "UTF-16" in (tmp_path / "m.html").read_text()
    status, _, err = call(tmp_path / "none.csv")
    assert status == 66
    assert "no such file" in err


def test_clusters_are_not_written_where_rows_would_be_lost(call, tmp_path):
    save(draw(1), tmp_path / "a.jpg")
    manifest = write(tmp_path, [{"path": "a.jpg", "dme": "9"}])
    status, _, err = call(manifest, "--out", tmp_path / "out.csv")
    assert status == 65
    assert "out.csv: not written, since rows or cells of" in err
    assert not (tmp_path / "out.csv").exists()


def test_names_of_any_kind_stand_in_the_page_as_text(call, tmp_path):
    name = "<b>عين</b> & “é”.jpg"
    save(draw(1), tmp_path / name.replace("/", ""))
    manifest = write(tmp_path, [{"path": name.replace("/", ""), "patient": "<script>"}, {"path": "<i>.jpg"}])
    assert call(manifest, "--html", tmp_path / "m.html")[0] == 65
    page = (tmp_path / "m.html").read_text()
    assert "&lt;i&gt;.jpg" in page
    assert "<script>" not in page
