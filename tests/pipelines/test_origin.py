import gzip
import hashlib

import pytest

from pipelines.origin import content_hash, locate, locate_all, record
from pipelines.sources.images import Images
from pipelines.table import OriginFile
from tracking.faults import BadData
from tracking.settings import Settings

pytestmark = [pytest.mark.security, pytest.mark.bad_input]


@pytest.fixture
def mirrored(tmp_path):
    (tmp_path / "mirror" / "set").mkdir(parents=True)
    (tmp_path / "mirror" / "set" / "a.txt").write_bytes(b"abc")
    return Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home"), "MILLSTREAM_MIRROR": str(tmp_path / "mirror")})


def test_a_file_of_the_mirror_is_taken_when_its_hash_is_right(mirrored):
    right = hashlib.sha256(b"abc").hexdigest()
    assert locate(OriginFile("set/a.txt", None, right), mirrored).read_bytes() == b"abc"


def test_a_file_with_another_hash_is_refused_with_both(mirrored):
    with pytest.raises(BadData, match="expected 0000"):
        locate(OriginFile("set/a.txt", None, "0000"), mirrored)


def test_two_archives_of_one_content_have_one_hash(tmp_path):
    for level in (1, 9):
        (tmp_path / f"{level}.gz").write_bytes(gzip.compress(b"abc" * 100, level))
    assert (
        content_hash(tmp_path / "1.gz") == content_hash(tmp_path / "9.gz") == hashlib.sha256(b"abc" * 100).hexdigest()
    )


def test_a_name_cannot_lead_out_of_the_mirror(mirrored):
    with pytest.raises(BadData, match=r"without \.\."):
        locate(OriginFile("../secret"), mirrored)


def test_a_missing_file_is_told_with_the_places_and_the_setting(mirrored):
    with pytest.raises(BadData, match="MILLSTREAM_MIRROR"):
        locate(OriginFile("set/b.txt"), mirrored)


def test_only_https_is_fetched(mirrored):
    for url in ("http://example.org/b", "file:///etc/passwd", "ftp://example.org/b"):
        with pytest.raises(BadData, match="not https"):
            locate(OriginFile("set/b.txt", url, "00"), mirrored)


def test_nothing_is_fetched_without_a_hash(mirrored):
    with pytest.raises(BadData, match="not found"):
        locate(OriginFile("set/b.txt", "https://example.org/b", None), mirrored)


@pytest.fixture
def remote(s3, tmp_path):
    """The URL of a file on S3."""
    s3.put(f"{tmp_path.name}/people.csv", b"age\n1\n")
    return f"s3://bucket/{tmp_path.name}/people.csv"


def test_a_file_behind_a_url_is_copied_and_again_when_it_changed(remote, mirrored, s3, tmp_path):
    first = locate(OriginFile(remote), mirrored)
    assert (first.name, first.read_bytes()) == ("people.csv", b"age\n1\n")
    before = first.stat().st_mtime_ns
    assert locate(OriginFile(remote), mirrored).stat().st_mtime_ns == before
    s3.put(f"{tmp_path.name}/people.csv", b"age\n2\n")
    found = locate(OriginFile(remote), mirrored)
    assert found.read_bytes() == b"age\n2\n"
    assert record(OriginFile(remote), found).sha256 == hashlib.sha256(b"age\n2\n").hexdigest()


def test_a_file_behind_a_url_with_another_hash_is_refused_and_not_kept(remote, mirrored):
    with pytest.raises(BadData, match="expected 0000"):
        locate(OriginFile(remote, None, "0000"), mirrored)
    assert [path for path in mirrored.downloads.rglob("*") if path.is_file()] == []


def test_a_url_where_nothing_is_is_told(remote, mirrored):
    with pytest.raises(BadData, match="is not there"):
        locate(OriginFile(f"{remote}.gz"), mirrored)


def test_a_url_cannot_lead_out_of_the_downloads(mirrored):
    with pytest.raises(BadData, match=r"without \.\."):
        locate(OriginFile("s3://bucket/../../secret"), mirrored)


def test_pictures_that_a_table_on_s3_names_are_copied_beside_it(s3, mirrored, tmp_path):
    folder = f"s3://bucket/{tmp_path.name}"
    s3.put(f"{tmp_path.name}/index.csv", b"id\na\nb\n")
    s3.put(f"{tmp_path.name}/pictures/a.png", b"a picture")
    table = {"name": f"{folder}/index.csv", "image": "pictures/{id}.png"}
    found = locate_all(Images(table=table, height=2, width=2), mirrored)
    assert {file.name for file in found} == {f"{folder}/index.csv", f"{folder}/pictures/a.png"}
    index = next(path for path in found.values() if path.name == "index.csv")
    assert (index.parent / "pictures" / "a.png").read_bytes() == b"a picture"
