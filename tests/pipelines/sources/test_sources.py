import bz2
import gzip
import io
import struct
import tarfile

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_digits

from millstream.pipelines.readers import published_folds
from millstream.pipelines.sources.digits import Digits
from millstream.pipelines.sources.mnist import Mnist, read_idx
from millstream.pipelines.sources.table import Table
from millstream.pipelines.sources.text import Text
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark


def idx(array):
    return gzip.compress(
        struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    )


def test_digits_are_those_of_scikit_learn(spark):
    table = Digits(limit=20).read(spark, {}, 0)
    found = rows_of(table, "image", "label")
    expected = load_digits()
    for at, (image, label) in enumerate(found):
        assert label == expected.target[at]
        assert np.array_equal(np.frombuffer(image, np.uint8).reshape(8, 8), expected.images[at])


def mnist_files(folder, train=70, test=14):
    generator = np.random.default_rng(0)
    files, arrays = {}, {}
    for stem, count in (("train", train), ("t10k", test)):
        arrays[stem] = generator.integers(0, 256, (count, 28, 28), np.uint8), generator.integers(0, 10, count, np.uint8)
        for name, array in zip(("images-idx3", "labels-idx1"), arrays[stem], strict=True):
            path = folder / f"{stem}-{name}-ubyte.gz"
            path.write_bytes(idx(array))
            files[f"mnist/{path.name}"] = path
    return files, arrays


def test_mnist_rows_are_those_of_the_files(spark, tmp_path):
    files, arrays = mnist_files(tmp_path)
    rows = rows_of(Mnist().read(spark, files, 0), "sample_id", "split", "image", "label")
    assert len(rows) == 84
    for sample_id, split, image, label in rows:
        images, labels = arrays["train" if split == "train" else "t10k"]
        at = int(sample_id.rpartition("/")[2])
        assert label == labels[at]
        assert bytes(image) == images[at].tobytes()


def test_a_limit_keeps_the_proportion_and_the_same_rows(spark, tmp_path):
    files, _ = mnist_files(tmp_path)
    first, again = (rows_of(Mnist(limit=42).read(spark, files, 0), "sample_id", "split") for _ in range(2))
    assert first == again
    assert [split for _, split in first].count("train") == 36
    assert len(first) == 42


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"\0\0\x08\x01\0\0\0\x09abc"), idx(np.zeros(3, np.uint8))[:-3]],
    # an archive holds the time of its making: not in a name, which all processes have to agree on
    ids=["empty", "no gzip", "rows missing", "cut off"],
)
def test_a_file_that_is_no_whole_idx_is_refused_by_name(tmp_path, content):
    path = tmp_path / "odd.gz"
    path.write_bytes(content)
    with pytest.raises(BadData, match=r"odd\.gz"):
        read_idx(path)


COLUMNS = {
    "age": {"type": "long"},
    "pay": {"type": "double"},
    "city": {"type": "string", "nullable": True, "strip": "."},
}


def read(spark, folder, content, **fields):
    path = folder / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = Table(files=[{"name": "rows.csv"}], columns=COLUMNS, **fields)
    return source.read(spark, {"rows.csv": path}, 0)


def test_a_table_is_read_by_its_declared_types(spark, tmp_path):
    table = read(spark, tmp_path, "age,pay,city\n31, 2.5, Graz.\n 7,1e3,?\n", null="?")
    assert rows_of(table, "sample_id", "age", "pay", "city") == [
        ("rows.csv:2", 31, 2.5, "Graz"),
        ("rows.csv:3", 7, 1000.0, None),
    ]
    assert [column.dtype for column in table.columns] == ["int64", "float64", "string"]


def test_categories_are_read_in_one_form_and_keys_as_they_stand(spark, tmp_path):
    columns = {
        "id": {"type": "string", "role": "key"},
        "city": {"type": "string", "classes": ["Gr\u00e4z", "Bonn"]},
        "kind": {"type": "string", "role": "target"},
    }
    path = tmp_path / "rows.csv"
    rows = "id,city,kind\n\u00e9,Gra\u0308z\u00a0,x\ne\u0301,\u2003Gr\u00e4z,\ufeffx\nc,Bonn,x\u200b\n"
    path.write_text(rows, encoding="utf-8")
    found = Table(files=[{"name": "rows.csv"}], columns=columns).read(spark, {"rows.csv": path}, 0)
    assert rows_of(found, "id", "city", "kind") == [
        ("\u00e9", "Gr\u00e4z", "x"),
        ("e\u0301", "Gr\u00e4z", "x"),
        ("c", "Bonn", "x"),
    ]


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_packed_file_with_a_header_is_read(spark, tmp_path, ending, pack):
    path = tmp_path / f"rows.csv{ending}"
    path.write_bytes(pack("\ufeffage,pay,city\n31,2.5,Gräz\n7,1,Bonn\n".encode()))
    found = Table(files=[{"name": path.name}], columns=COLUMNS).read(spark, {path.name: path}, 0)
    assert rows_of(found, "sample_id", "age", "city") == [(f"{path.name}:2", 31, "Gräz"), (f"{path.name}:3", 7, "Bonn")]


def test_columns_of_a_header_may_come_in_any_order_and_more_of_them(spark, tmp_path):
    table = read(spark, tmp_path, "more,city,pay,age\nx,Graz,2.5,31\n")
    assert rows_of(table, "age", "pay", "city") == [(31, 2.5, "Graz")]


def test_blanks_of_any_length_separate_values_as_configured(spark, tmp_path):
    table = read(spark, tmp_path, " 31 \t 2.5   Graz \n7\t1.0\tBonn\n", header=False, delimiter="whitespace")
    assert rows_of(table, "sample_id", "age", "city") == [("rows.csv:1", 31, "Graz"), ("rows.csv:2", 7, "Bonn")]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("31,2.5", "a value is of another type, or values are missing"),
        ("31,2.5,Graz,more", "a value is of another type, or values are missing"),
        ("old,2.5,Graz", "age is no whole number"),
        ("31,'2,5',Graz", "a value is of another type, or values are missing"),
        ("99999999999999999999,2.5,Graz", "age is no whole number"),
        ("31,NaN,Graz", "pay is not finite"),
        ("31,1e400,Graz", "pay is not finite"),
        ("31,-Infinity,Graz", "pay is not finite"),
        (",2.5,Graz", "age is missing"),
        ("31,2.5,Gr\0az", "holds a NUL byte"),
    ],
)
def test_a_row_that_does_not_fit_is_quarantined_with_its_line_and_reason(spark, tmp_path, line, reason):
    table = read(spark, tmp_path, f"age,pay,city\n1,1,a\n{line}\n2,2,b\n")
    assert rows_of(table, "age") == [(1,), (2,)]
    refused = table.refused.collect()
    assert [(row.sample_id, row.reason, row.content) for row in refused] == [("rows.csv:3", reason, line)]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("age,pay,city\n", "only a header"),
        ("age;pay;city\n1;1;a\n", "delimiter"),
        ("age,pay\n1,1\n", r"\['city'\] are missing"),
        ("age,age,pay,city\n1,1,1,a\n", "twice"),
        ("age,pay,city\nx,y,z\n", "line 2"),
        ("age,pay,cit\xe9\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_place(spark, tmp_path, content, message):
    with pytest.raises(BadData, match=message):
        read(spark, tmp_path, content)


@pytest.mark.bad_input
def test_a_byte_order_mark_is_no_part_of_the_header(spark, tmp_path):
    assert rows_of(read(spark, tmp_path, b"\xef\xbb\xbfage,pay,city\n1,1,a\n"), "age") == [(1,)]


@pytest.mark.bad_input
def test_a_row_that_is_no_utf8_is_quarantined(spark, tmp_path):
    table = read(spark, tmp_path, b"age,pay,city\n1,1,a\n2,2,Gr\xe4z\n")
    assert [row.reason for row in table.refused.collect()] == ["is not UTF-8"]


def test_published_folds_set_the_splits(spark, tmp_path):
    archive = tmp_path / "folds.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, rows in {"train_1": "0\n2\n", "test_1": "1\n", "train_0": "1\n", "test_0": "0\n"}.items():
            info = tarfile.TarInfo(f"{name}.txt")
            info.size = len(rows)
            tar.addfile(info, io.BytesIO(rows.encode()))
    path = tmp_path / "rows.csv"
    path.write_text("1 1 a\n2 2 b\n3 3 c\n")
    folds = {"file": {"name": "folds.tar.gz"}, "train": "train_{fold}.txt", "test": "test_{fold}.txt", "fold": 1}
    source = Table(files=[{"name": "rows.csv"}], columns=COLUMNS, header=False, delimiter="whitespace", folds=folds)
    table = source.read(spark, {"rows.csv": path, "folds.tar.gz": archive}, 0)
    assert rows_of(table, "age", "split") == [(1, "train"), (2, "test"), (3, "train")]
    wrong = source.model_copy(update={"folds": source.folds.model_copy(update={"fold": 9})})
    with pytest.raises(BadData, match="train_9"):
        wrong.read(spark, {"rows.csv": path, "folds.tar.gz": archive}, 0)


@pytest.mark.security
def test_a_list_of_rows_that_unfolds_beyond_all_measure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(published_folds, "LONGEST_LIST", 1 << 20)
    with tarfile.open(tmp_path / "folds.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("train_0.txt")
        info.size = 1 << 23
        tar.addfile(info, io.BytesIO(bytes(1 << 23)))
    with pytest.raises(BadData, match="unfolds to 8388608 bytes"):
        published_folds._members(tmp_path / "folds.tar.gz", "train_{fold}.txt", 0)


def test_a_parquet_file_is_read_by_its_key(spark, tmp_path):
    import pandas as pd

    pd.DataFrame({"age": [1, 2], "pay": [1.5, None], "city": ["a", "b"]}).to_parquet(tmp_path / "rows.parquet")
    columns = {**COLUMNS, "pay": {"type": "double"}}
    source = Table(files=[{"name": "rows.parquet"}], columns=columns, format="parquet", key="age")
    table = source.read(spark, {"rows.parquet": tmp_path / "rows.parquet"}, 0)
    assert rows_of(table, "sample_id", "pay") == [("1", 1.5)]
    assert [row.reason for row in table.refused.collect()] == ["pay is missing"]
    with pytest.raises(ValidationError, match="key"):
        Table(files=[{"name": "rows.orc"}], columns=columns, format="orc")


def test_lines_of_text_have_the_class_of_their_file(spark, tmp_path):
    files = {}
    for name, content in {"Greek.txt": "Adamos\n\n Kalakos \n", "Irish.txt": "Adam\n"}.items():
        (tmp_path / name).write_text(content)
        files[f"names/{name}"] = tmp_path / name
    table = Text(files=[{"name": name} for name in files]).read(spark, files, 0)
    assert rows_of(table, "sample_id", "text", "label") == [
        ("Greek.txt:1", "Adamos", "Greek"),
        ("Greek.txt:3", "Kalakos", "Greek"),
        ("Irish.txt:1", "Adam", "Irish"),
    ]
    assert [(row.sample_id, row.reason) for row in table.refused.collect()] == [("Greek.txt:2", "is empty")]


def test_a_document_keeps_its_lines_in_order_blank_ones_too(spark, tmp_path):
    (tmp_path / "input.txt").write_text("First Citizen:\n\nBefore we proceed\n")
    table = Text(files=[{"name": "input.txt"}], mode="document").read(spark, {"input.txt": tmp_path / "input.txt"}, 0)
    assert rows_of(table, "text") == [("First Citizen:",), ("",), ("Before we proceed",)]
