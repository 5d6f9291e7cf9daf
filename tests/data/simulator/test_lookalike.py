"""The look-alike of Messidor: the real layout with its errors, true to what is drawn, and no grade told by a name."""

import re
import shutil
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from semiretina.data import messidor_facts as facts
from semiretina.data.simulator import fundus, lookalike
from semiretina.data.simulator.anatomy import anatomy
from semiretina.data.simulator.drawings import drawings
from semiretina.data.simulator.lesions import Lesions
from semiretina.data.simulator.lookalike import write_lookalike
from semiretina.data.simulator.lookalike_exams import LEAST, messidor_grade, pictures, plan, plan_extension
from semiretina.data.sources import import_source, messidor
from semiretina.data.sources.messidor import extension
from semiretina.errors import BadConfig, CannotWrite, Refused
from semiretina.records import read_manifest

PHOTOGRAPHS, UNLABELED, SIZE = 84, 12, 64
SMALLEST = {"photographs": LEAST, "unlabeled": 2, "size": 32}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("look") / "alike"
    places = write_lookalike(folder, photographs=PHOTOGRAPHS, unlabeled=UNLABELED, size=SIZE)
    assert places == (folder / "messidor", folder / "messidor_extension")
    return folder


@pytest.fixture(scope="module")
def drawn():
    """Name -> what is drawn under it, for all files."""
    return {name: p for exams in plan(PHOTOGRAPHS, "easy", 0).values() for p in pictures(exams) for name in p.names}


@pytest.fixture(scope="module")
def full():
    return plan(1200, "easy", 0)


def sheets(root):
    return {file.parent.name: pd.read_csv(file) for file in sorted((root / "messidor").glob("*/*.csv"))}


def contents(folder):
    return {
        file.relative_to(folder): sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()
    }


def test_files_lie_as_messidors(root):
    folders = sorted(entry.name for entry in (root / "messidor").iterdir() if entry.is_dir())
    assert folders == [f"Base{hospital}{part}" for hospital in (1, 2, 3) for part in (1, 2, 3, 4)]
    total = 0
    for folder in folders:
        files = sorted((root / "messidor" / folder).iterdir())
        names = [file.name for file in files if file.suffix == ".tif"]
        code = {"1": "0100", "2": "0200", "3": "0400"}[folder[4]]
        assert all(re.fullmatch(rf"200(5|6)(0[1-9]|1[0-2])[0-3]\d_\d{{5}}_{code}_PP\.tif", name) for name in names)
        sheet = f"Annotation{' ' if folder == 'Base34' else '_'}{folder}.csv"
        assert [file.name for file in files if file.suffix != ".tif"] == [sheet]
        total += len(names)
    assert total == PHOTOGRAPHS
    hidden = sorted(file.name for file in (root / "messidor_extension").iterdir() if file.suffix != ".csv")
    assert len(hidden) == UNLABELED
    assert all(re.fullmatch(r"IM00[0-4]\d{3}\.JPG", name) for name in hidden)


def test_photographs_have_messidors_formats_and_shapes(root):
    sizes = {"1": (2240, 1488), "2": (2304, 1536), "3": (1440, 960)}
    files = [*(root / "messidor").glob("*/*.tif"), *(root / "messidor_extension").glob("*.JPG")]
    for file in files:
        wide, high = sizes[file.parent.name[4] if file.suffix == ".tif" else "3"]
        with Image.open(file) as image:
            width, height = image.size
            assert (width, height) == pytest.approx((wide * SIZE / 1328, high * SIZE / 1328), abs=0.5)  # 1328: the mean
            assert image.mode == "RGB"
            assert image.format == ("TIFF" if file.suffix == ".tif" else "JPEG")
            if file.suffix == ".tif":
                assert image.info["compression"] == "tiff_lzw"


def test_every_photograph_and_the_folder_say_that_they_are_drawn(root):
    assert "not Messidor's" in (root / "SYNTHETIC.txt").read_text()
    for file in root.rglob("*.tif"):
        with Image.open(file) as image:
            assert image.tag_v2[270].startswith("Drawn, not a photograph of Messidor")  # 270: ImageDescription
    for file in root.rglob("*.JPG"):
        with Image.open(file) as image:
            assert image.info["comment"].startswith(b"Drawn, not a photograph of Messidor")


def test_sheets_tell_what_is_drawn(root, drawn):
    departments = {"1": "Service Ophtalmologie Lariboisière", "2": "CHU de St Etienne", "3": "LaTIM - CHU de BREST"}
    planted = {correction.name for correction in facts.CORRECTIONS} | set(facts.INCONSISTENT)
    seen = []
    for folder, sheet in sheets(root).items():
        assert list(sheet.columns) == [
            "Image name",
            "Ophthalmologic department",
            "Retinopathy grade",
            "Risk of macular edema ",
        ]
        assert set(sheet["Ophthalmologic department"]) == {departments[folder[4]]}
        files = [file.name for file in (root / "messidor" / folder).glob("*.tif")]
        assert sorted(sheet["Image name"]) == sorted(files)
        for file, grade, edema in zip(sheet.iloc[:, 0], sheet.iloc[:, 2], sheet.iloc[:, 3], strict=True):
            picture = drawn[file.removesuffix(".tif")]
            key = (0, picture.patient, picture.eye)
            lesions, _ = fundus.plan(key, picture.icdr, picture.site, "easy")
            aneurysms, haemorrhages = int((lesions.kind == 0).sum()), int((lesions.kind == 1).sum())
            preretinal = lesions.radius[lesions.kind == 1].max(initial=0) > 0.1  # ICDR 4: stands for new vessels
            severe = aneurysms >= 15 or haemorrhages >= 5 or preretinal
            moderate = aneurysms > 5 or haemorrhages > 0
            exudates = np.stack([lesions.x, lesions.y], axis=1)[lesions.kind == 2]
            place = anatomy(key)
            near = np.hypot(*(exudates - place.fovea).T) <= 2 * place.disc_radius
            if file.removesuffix(".tif") not in planted:
                assert grade == (3 if severe else 2 if moderate else 1 if aneurysms else 0), file
                assert edema == (0 if not len(exudates) else 2 if near.any() else 1), file
                seen.append((grade, edema))
    assert {grade for grade, _ in seen} == {0, 1, 2, 3}
    assert {edema for _, edema in seen} >= {0, 2}


def test_files_hold_the_pictures_of_their_names(root, drawn):
    for number, (name, picture) in enumerate(sorted(drawn.items())):
        if number % 9 == 0:
            (file,) = (root / "messidor").glob(f"*/{name}.tif")
            image, _ = fundus.draw((0, picture.patient, picture.eye), picture.icdr, picture.site, SIZE, "easy")
            assert np.array_equal(np.asarray(Image.open(file)), image)


def test_the_errata_are_planted(root, drawn):
    rows = {
        row.iloc[0].removesuffix(".tif"): (folder, row.iloc[2], row.iloc[3])
        for folder, sheet in sheets(root).items()
        for _, row in sheet.iterrows()
    }
    for name, folder, old, new in (  # the errata of 31 August and 24 October 2016
        ("20051020_63045_0100_PP", "Base11", 3, 0),
        ("20051020_64007_0100_PP", "Base11", 1, 3),
        ("20051020_63936_0100_PP", "Base11", 3, 1),
        ("20060523_48477_0100_PP", "Base13", 2, 3),
    ):
        assert rows[name][:2] == (folder, old)
        assert drawn[name].grade == new
    different = set()
    for dropped, kept in facts.DUPLICATES.items():
        files = [root / "messidor" / "Base33" / f"{name}.tif" for name in (dropped, kept)]
        assert np.array_equal(*(np.asarray(Image.open(file)) for file in files))
        if rows[dropped] != rows[kept]:
            different.add(dropped)
    assert different == {"20051202_54611_0400_PP", "20051205_33025_0400_PP"}  # of 9 February 2018
    assert rows["20051202_54611_0400_PP"][2] == 1
    assert rows["20051202_55562_0400_PP"][2] == 0
    assert rows["20051205_33025_0400_PP"][1] == 3
    assert rows["20051202_55626_0400_PP"][1] == 2
    digests = Counter(np.asarray(Image.open(file)).tobytes() for file in (root / "messidor").glob("*/*.tif"))
    assert Counter(digests.values()) == {2: 13, 1: PHOTOGRAPHS - 26}


def test_the_importers_mend_the_errata_and_know_the_patients(root, drawn, tmp_path, capfd):
    options = [f"photographs={PHOTOGRAPHS}", f"unlabeled={UNLABELED}", f"size={SIZE}", "layout=messidor"]
    assert import_source("synthetic", root, tmp_path / "m.csv", options) == PHOTOGRAPHS - 13 + UNLABELED
    found = read_manifest(tmp_path / "m.csv")
    labeled, hidden = found[: PHOTOGRAPHS - 13], found[PHOTOGRAPHS - 13 :]
    assert "not all in the errata" not in capfd.readouterr().err, "two different pictures were taken for one"
    assert {record.path.stem for record in labeled} == set(drawn) - set(facts.DUPLICATES)
    for record in labeled:
        picture = drawn[record.path.stem]
        assert (record.grade, record.dme, record.scale) == (picture.grade, picture.edema, "messidor")
        assert record.site == picture.site
        assert record.eye in ("", picture.eye)
    patients = {p.patient for p in drawn.values()}
    pairs = [p for p in patients if len({d.eye for d in drawn.values() if d.patient == p}) == 2]
    assert Counter(Counter(r.patient for r in labeled if r.patient).values()) == {2: len(pairs)}
    assert all(record.grade is None and record.site == "brest" and record.eye for record in hidden)
    assert set(Counter(record.patient for record in hidden).values()) == {2}
    assert {record.dataset for record in labeled} == {"synthetic-messidor"}
    assert {record.dataset for record in hidden} == {"synthetic-messidor-extension"}
    assert all(record.provenance.startswith("drawn: Messidor look-alike") for record in found)
    assert sum("by the errata" in record.provenance for record in labeled) == 4


def test_the_importers_by_themselves_find_the_pairing_file(root):
    kept = messidor.records(root / "messidor", errata=False)
    assert len(kept) == PHOTOGRAPHS
    assert any(record.patient for record in kept)
    assert all(record.patient for record in extension.records(root / "messidor_extension"))


def test_the_whole_set_has_messidors_numbers(full):
    assert {folder: sum(len(p.names) for p in pictures(exams)) for folder, exams in full.items()} == dict.fromkeys(
        facts.FOLDERS, 100
    )
    exams = [exam for folder in full.values() for exam in folder]
    eyes = list(pictures(exams))
    assert len(eyes) == 1187
    assert len({name for eye in eyes for name in eye.names}) == 1200
    assert sum(len(exam) == 2 for exam in exams) == 529
    assert len({eye.patient for eye in eyes}) == len(exams)
    grades = Counter(eye.grade for eye in eyes)
    for grade, published in {0: 547, 1: 153, 2: 246, 3: 254}.items():
        assert grades[grade] == pytest.approx(published, abs=25)
    steps = Counter(abs(exam[0].grade - exam[1].grade) for exam in exams if len(exam) == 2)
    assert steps[0] / 529 > 0.75
    for exam in exams:
        seconds = [int(eye.names[0].split("_")[1]) for eye in exam]
        assert len({eye.names[0][:8] for eye in exam}) == 1
        assert max(seconds) - min(seconds) <= 120
        assert len({eye.eye for eye in exam}) == len(exam)


def test_nobody_is_in_two_sets(full):
    known = {eye.patient for exams in full.values() for eye in pictures(exams)}
    hidden = {eye.patient for eye in pictures(plan_extension(200, "easy", 0))}
    assert len(hidden) == 100
    assert not known & hidden
    others = {d.patient for d in drawings(200, 64)} | {d.patient for d in drawings(200, 64, unlabeled=True)}
    assert not others & (known | hidden)


def test_neither_name_nor_order_tells_the_grade(full):
    features, ill, patients = [], [], []
    for number, (folder, exams) in enumerate(full.items()):
        for place, eye in enumerate(pictures(exams)):
            second = int(eye.names[0].split("_")[1])
            alone = sum(other.patient == eye.patient for other in pictures(exams)) == 1
            last = np.eye(10)[second % 10]
            hospital = np.eye(12)[number]
            features.append([place, second, second % 2, second % 100, eye.eye == "left", alone, *last, *hospital])
            ill.append(eye.grade > 0)
            patients.append(eye.patient)
        assert 0.3 < np.mean([eye.grade == 0 for eye in pictures(exams)]) < 0.6, folder
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    scores = cross_val_predict(
        model, np.array(features), ill, groups=patients, cv=GroupKFold(5), method="predict_proba"
    )
    assert roc_auc_score(ill, scores[:, 1]) < 0.58
    told = [[*row, label + 2 * np.sin(number)] for number, (row, label) in enumerate(zip(features, ill, strict=True))]
    scores = cross_val_predict(model, np.array(told), ill, groups=patients, cv=GroupKFold(5), method="predict_proba")
    assert roc_auc_score(ill, scores[:, 1]) > 0.58, "a short cut as faint as that would be seen"


@settings(max_examples=6, deadline=None)
@given(photographs=st.integers(LEAST, 150), seed=st.integers(0, 5), difficulty=st.sampled_from(["easy", "real"]))
def test_any_number_of_photographs_holds_the_errata(photographs, seed, difficulty):
    found = plan(photographs, difficulty, seed)
    names = [name for exams in found.values() for eye in pictures(exams) for name in eye.names]
    assert len(set(names)) == len(names) == photographs
    folder = {name: base for base, exams in found.items() for eye in pictures(exams) for name in eye.names}
    for correction in facts.CORRECTIONS:
        assert folder[correction.name] == correction.folder
    assert all(folder[name] == "Base33" for pair in facts.DUPLICATES.items() for name in pair)
    assert all(exams == sorted(exams, key=lambda exam: exam[0].names[0]) for exams in found.values())


def lesions(aneurysms, haemorrhages, exudates=0):
    kind = np.repeat([0, 1, 2], [aneurysms, haemorrhages, exudates])
    none = np.zeros(len(kind))
    return Lesions(kind, none, none, none, none, none, none, np.zeros((len(kind), 2)))


@pytest.mark.parametrize(
    ("aneurysms", "haemorrhages", "icdr", "grade"),
    [
        *[(0, 0, 0, 0), (1, 0, 1, 1), (5, 0, 1, 1), (6, 0, 1, 2), (14, 0, 2, 2), (15, 0, 2, 3)],
        *[(0, 1, 2, 2), (5, 4, 2, 2), (14, 4, 3, 2), (3, 5, 2, 3), (0, 9, 3, 3), (6, 1, 4, 3)],
    ],
)
def test_the_grade_follows_messidors_definition(aneurysms, haemorrhages, icdr, grade):
    assert messidor_grade(lesions(aneurysms, haemorrhages, exudates=20), icdr) == grade


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "alike"
    write_lookalike(folder, **SMALLEST)
    return folder


def count_draws(monkeypatch, stop=0):
    draw, calls = fundus.draw, []

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(lookalike.fundus, "draw", counted)
    return calls


def test_the_same_bytes_whatever_stopped_in_between(small, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        count_draws(patch, stop=20)
        with pytest.raises(KeyboardInterrupt):
            write_lookalike(tmp_path, **SMALLEST)
    whole, part = contents(small), contents(tmp_path)
    assert 0 < len(part) < len(whole)
    assert part.items() <= whole.items(), "what was written before the stop is whole"
    calls = count_draws(monkeypatch)
    write_lookalike(tmp_path, **SMALLEST)
    assert contents(tmp_path) == whole
    assert 0 < len(calls) < LEAST - 13 + 2
    calls.clear()
    write_lookalike(tmp_path, **SMALLEST)
    assert not calls, "nothing that stands is drawn again"


def test_a_lost_duplicate_is_drawn_again_and_its_twin_is_left(small, tmp_path):
    copy = shutil.copytree(small, tmp_path / "copy")
    dropped, kept = (copy / "messidor" / "Base33" / f"20051202_{number}_0400_PP.tif" for number in (54744, 55582))
    before = dropped.read_bytes()
    dropped.unlink()
    kept.write_bytes(b"kept")
    write_lookalike(copy, **SMALLEST)
    assert dropped.read_bytes() == before
    assert kept.read_bytes() == b"kept"


def test_a_seed_changes_names_and_patients():
    first, second = ([p for exams in plan(LEAST, "easy", seed).values() for p in pictures(exams)] for seed in (0, 1))
    names = [{name for picture in found for name in picture.names} for found in (first, second)]
    assert len(names[0] & names[1]) == 30  # the errata's
    assert {p.patient for p in first} != {p.patient for p in second}


def test_nothing_is_drawn_among_other_files(small, tmp_path):
    real = tmp_path / "Messidor" / "Base11"
    real.mkdir(parents=True)
    (real / "20051020_44400_0100_PP.tif").write_bytes(b"a real one")
    with pytest.raises(Refused, match="holds Base11"):
        write_lookalike(real.parent, **SMALLEST)
    assert [path.name for path in real.parent.rglob("*")] == ["Base11", "20051020_44400_0100_PP.tif"]
    with pytest.raises(Refused, match="other settings"):
        write_lookalike(small, **{**SMALLEST, "size": 33})
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="choose another place"):
        write_lookalike(tmp_path / "file", **SMALLEST)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"photographs": LEAST - 1}, f"takes {LEAST} to 1200"),
        ({"photographs": 1201}, "to 1200"),
        ({"unlabeled": 3}, "an even number up to 690"),
        ({"unlabeled": 692}, "an even number up to 690"),
        ({"size": 31}, "too small"),
        ({"difficulty": "hard"}, "known are easy, real"),
    ],
)
def test_senseless_numbers_are_refused_before_anything_is_written(tmp_path, options, told):
    with pytest.raises(BadConfig, match=f"synthetic: .*{told}"):
        write_lookalike(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_senseless_options_of_the_source_are_told(tmp_path):
    with pytest.raises(BadConfig, match="unknown layout 'messidr'; known are hospitals, messidor"):
        import_source("synthetic", tmp_path, tmp_path / "m.csv", ["layout=messidr"])
    with pytest.raises(BadConfig, match="masks are not written"):
        import_source("synthetic", tmp_path, tmp_path / "m.csv", ["layout=messidor", "masks=true"])
    assert not list(Path(tmp_path).iterdir())
