import gzip
import hashlib

import pytest

from pipelines.origin import content_hash, locate
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
