"""The column `cluster` that an audit writes."""

from pathlib import Path

from semiretina.audit.audit import Audit, write_clusters
from semiretina.records import inspect_manifest, read_manifest


def written(tmp_path: Path, text: str, clusters: list[str]) -> list[str]:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(text)
    reading = inspect_manifest(manifest, also=("age",))
    assert not reading.defects
    out = tmp_path / "clusters.csv"
    write_clusters(Audit(manifest, reading, [], {}, 0, 0, [], None, clusters, {}), out)
    assert "age" in out.read_text().splitlines()[0]
    assert [r.path for r in read_manifest(out)] == [r.path for r in reading.records]
    return [record.cluster for record in read_manifest(out)]


def test_copies_get_a_name_and_the_rest_none(tmp_path):
    names = written(tmp_path, "path,age\na.png,1\nb.png,2\nc.png,3\n", ["c0", "", "c0"])
    assert names[0] == names[2] != ""
    assert names[1] == ""


def test_what_the_manifest_joins_already_stays_joined(tmp_path):
    text = "path,cluster,age\na.png,mine,1\nb.png,mine,2\nc.png,,3\nd.png,,4\ne.png,own,5\n"
    names = written(tmp_path, text, ["", "c1", "c1", "", ""])
    assert names[0] == names[1] == names[2] != ""
    assert names[3] == ""
    assert names[4] not in ("", names[0])


def test_names_of_two_manifests_differ(tmp_path):
    one = written(tmp_path, "path,dataset,age\na.png,x,1\nb.png,x,2\n", ["c0", "c0"])
    other = written(tmp_path, "path,dataset,age\na.png,y,1\nb.png,y,2\n", ["c0", "c0"])
    assert one[0] != other[0]
