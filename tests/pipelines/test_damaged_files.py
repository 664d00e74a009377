"""A packed file that is damaged anywhere is read, or refused as data: nothing else comes of it."""

import gzip
import io
import tarfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from millstream.pipelines.readers.hidden_files import is_hidden
from millstream.pipelines.readers.origin_files import content_hash
from millstream.pipelines.readers.part_files import parts
from millstream.pipelines.readers.published_folds import _members
from millstream.pipelines.sources.matlab import _pieces
from millstream.pipelines.sources.mnist import read_idx
from millstream.pipelines.sources.transitions import _arrays
from millstream.pipelines.table import OriginFile
from millstream.tracking.errors import BadData

pytestmark = pytest.mark.bad_input


def npz():
    out = io.BytesIO()
    np.savez_compressed(out, a=np.arange(500), b=np.ones(90))
    return out.getvalue()


def tar():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        content = b"\n".join(str(at * 7919 % 1000).encode() for at in range(800))
        member = tarfile.TarInfo("fold0")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def mat():
    out = io.BytesIO()
    cell = np.empty(2, object)
    cell[:] = [np.eye(9), np.ones((4, 9))]
    savemat(out, {f"{split}data": cell for split in ("train", "valid", "test")}, do_compression=True)
    return out.getvalue()


NUMBERS = np.random.default_rng(0).integers(0, 256, 2000, np.uint8).tobytes()
READERS = {
    "a.gz": (gzip.compress(NUMBERS), content_hash),
    "b.gz": (gzip.compress(b"\0\0\x08\1\0\0\x07\xd0" + NUMBERS), read_idx),
    "c.npz": (npz(), _arrays),
    "d.tar.gz": (tar(), lambda path: _members(path, "fold{fold}", 0)),
    "e.mat": (mat(), _pieces),
}


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255), cut=st.booleans())
def test_damage_anywhere_is_refused_as_data_or_read(tmp_path_factory, name, place, bits, cut):
    content, read = READERS[name]
    at, path = int(place * len(content)), tmp_path_factory.getbasetemp() / name
    path.write_bytes(content[:at] if cut else content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :])
    with suppress(BadData):  # the other permitted outcome; any other error fails the test
        read(path)


def test_what_systems_keep_in_a_folder_is_no_part_of_a_table(tmp_path):
    for name in (
        "part-0.csv",
        ".DS_Store",
        "Thumbs.db",
        "__MACOSX/._part-0.csv",
        ".ipynb_checkpoints/part-0.csv",
        "_SUCCESS",
    ):
        (tmp_path / "t" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / name).write_text("a")
    assert [file.name for file in parts(OriginFile("t", or_folder=True), [tmp_path])] == ["t/part-0.csv"]
    assert is_hidden("A/DESKTOP.INI")
    assert not is_hidden("_background_noise_/a.png")
