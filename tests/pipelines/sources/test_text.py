import gzip

import pytest
from pydantic import ValidationError

from millstream.pipelines.readers import origin_files
from millstream.pipelines.sources.text import Text
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark


def read(spark, folder, content, **fields):
    path = folder / "rows.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Text(**{"files": [{"name": "rows.txt"}], **fields}).read(spark, {"rows.txt": path}, 0)


def refused(table):
    return [(row.sample_id, row.reason) for row in table.refused.orderBy("sample_id").collect()]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "is empty"),
        (b" \t \xe3\x80\x80", "is empty"),
        (b"a\0b", "holds a NUL byte"),
        (b"a\x07b", "holds control characters"),
        (b"Gr\xe4z", "is not UTF-8"),
        (b"x" * (1 << 20), "is longer than 100000 characters"),
    ],
    ids=["empty", "blank", "NUL", "control", "latin-1", "1 MB"],
)
def test_a_line_that_is_no_text_is_quarantined(spark, tmp_path, line, reason):
    table = read(spark, tmp_path, b"one\n" + line + b"\nthree\n")
    assert rows_of(table, "sample_id", "text") == [("rows.txt:1", "one"), ("rows.txt:3", "three")]
    assert refused(table) == [("rows.txt:2", reason)]
    assert all(len(row.content) < 7000 for row in table.refused.collect())


@pytest.mark.parametrize(
    "text", ["שלום עולם", "مرحبا \u200fبكم", "e\u0301 is not \u00e9", "👩‍👩‍👧‍👦 🇦🇹", "a\tb", "\u2028x\u0085y", "ﬁ Ⅷ"]
)
def test_a_text_of_any_script_is_kept_as_it_is(spark, tmp_path, text):
    assert rows_of(read(spark, tmp_path, f"a{text}z\n"), "text") == [(f"a{text}z",)]


def test_the_first_word_is_the_class_of_a_labelled_line(spark, tmp_path):
    content = "0 How did  it ?\n1\tWhat é\n\n1\n".encode("latin-1")
    table = read(spark, tmp_path, content, mode="labelled", encoding="latin-1")
    assert rows_of(table, "label", "text") == [("0", "How did  it ?"), ("1", "What é")]
    assert refused(table) == [("rows.txt:3", "is empty"), ("rows.txt:4", "is empty")]


def test_columns_of_a_tsv_are_found_by_name(spark, tmp_path):
    content = 'id\tstars\treview\n7\tgood\tnice, "very" nice\n8\tbad\n9\t\tso so\n'
    table = read(spark, tmp_path, content, mode="tsv", tsv={"text": "review", "label": "stars"})
    assert rows_of(table, "sample_id", "text", "label") == [("rows.txt:2", 'nice, "very" nice', "good")]
    assert refused(table) == [("rows.txt:3", "has other than 3 values"), ("rows.txt:4", "has no label")]
    bare = read(spark, tmp_path, "good\tnice\n", mode="tsv", tsv={"columns": ["l", "t"], "text": "t", "label": "l"})
    assert rows_of(bare, "sample_id", "text", "label") == [("rows.txt:1", "nice", "good")]


@pytest.mark.bad_input
def test_a_tsv_without_a_named_column_is_refused(spark, tmp_path):
    with pytest.raises(BadData, match=r"rows\.txt:1: no column 'review'; the columns are \['a,review'\]"):
        read(spark, tmp_path, "a,review\n1,x\n", mode="tsv", tsv={"text": "review"})


def test_each_file_may_be_a_split_of_its_own(spark, tmp_path):
    files = {}
    for name, content in {"a/x.txt": "one\n", "b/x.txt": "two\n"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
        files[name] = tmp_path / name
    listed = [{"name": "a/x.txt", "split": "train"}, {"name": "b/x.txt", "split": "test"}]
    table = Text(files=listed).read(spark, files, 0)
    assert rows_of(table, "sample_id", "split", "text") == [("a/x.txt:1", "train", "one"), ("b/x.txt:1", "test", "two")]


def pair(folder, source, target):
    files = {"x/t.de.gz": folder / "t.de.gz", "x/t.en": folder / "t.en"}
    files["x/t.de.gz"].write_bytes(gzip.compress(source.encode()))
    files["x/t.en"].write_text(target)
    pairs = [{"source": {"name": "x/t.de.gz"}, "target": {"name": "x/t.en"}, "split": "valid"}]
    return Text(mode="parallel", pairs=pairs), files


def test_lines_of_two_files_are_pairs(spark, tmp_path):
    made, files = pair(tmp_path, "eins \nzwei\n\n\nfünf\n", "one\n\nthree\n\nfive\n")
    table = made.read(spark, files, 0)
    assert rows_of(table, "sample_id", "split", "source", "target") == [
        ("t.de.gz:1", "valid", "eins", "one"),
        ("t.de.gz:5", "valid", "fünf", "five"),
    ]
    assert refused(table) == [
        ("t.de.gz:2", "target is empty"),
        ("t.de.gz:3", "source is empty"),
        ("t.de.gz:4", "is empty"),
    ]
    assert [(one.name, one.role, one.meaning) for one in table.columns] == [
        ("source", "input", "text"),
        ("target", "target", "text"),
    ]


@pytest.mark.bad_input
def test_unequal_pairs_are_refused_with_both_counts(spark, tmp_path):
    made, files = pair(tmp_path, "eins\nzwei\ndrei\n", "one\ntwo\n")
    with pytest.raises(BadData, match=r"x/t\.de\.gz: 3 lines, and x/t\.en has 2"):
        made.read(spark, files, 0)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "fields", [{}, {"mode": "parallel", "files": [{"name": "a"}]}, {"mode": "tsv", "files": [{"name": "a"}]}]
)
def test_a_mode_without_its_files_is_refused(fields):
    with pytest.raises(ValidationError, match="mode"):
        Text(**fields)


@pytest.mark.mirror
def test_multi30k_is_read_in_pairs(spark, settings):
    parts = {"train": "train", "val": "valid", "test_2016_flickr": "test"}
    pairs = [
        {"source": {"name": f"multi30k/{part}.de.gz"}, "target": {"name": f"multi30k/{part}.en.gz"}, "split": split}
        for part, split in parts.items()
    ]
    made = Text(mode="parallel", pairs=pairs)
    files = {file.name: path for file, path in origin_files.locate_all(made, settings).items()}
    table = made.read(spark, files, 0)
    counts = {row[0]: row[1] for row in table.frame.groupBy("split").count().collect()}
    assert (counts, table.refused.count()) == ({"train": 29000, "valid": 1014, "test": 1000}, 0)
    both = [gzip.decompress(files[f"multi30k/val.{side}.gz"].read_bytes()).decode() for side in ("de", "en")]
    found = table.frame.where("sample_id = 'val.de.gz:700'").select("source", "target").collect()
    assert [list(row) for row in found] == [[text.split("\n")[699].strip() for text in both]]


@pytest.mark.mirror
def test_trec_is_read_with_its_classes(spark, settings):
    names = {"train": "sentences/TREC.train.all", "test": "sentences/TREC.test.all"}
    made = Text(
        mode="labelled", encoding="latin-1", files=[{"name": name, "split": split} for split, name in names.items()]
    )
    files = {file.name: path for file, path in origin_files.locate_all(made, settings).items()}
    table = made.read(spark, files, 0)
    counts = {row[0]: row[1] for row in table.frame.groupBy("split").count().collect()}
    assert (counts, table.refused.count()) == ({"train": 5452, "test": 500}, 0)
    assert {row[0] for row in table.frame.select("label").distinct().collect()} == set("012345")


def test_each_file_of_a_class_folder_is_a_sample(spark, tmp_path, monkeypatch, settings):
    folder = tmp_path / "mine"
    for name, content in {
        "good/a.txt": b"one\ntwo ",
        "good/b.txt": b"",
        "bad/a.txt": b"Gr\xe4z",
        "bad/c.txt": b"so",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "README").write_text("beside")
    monkeypatch.chdir(tmp_path)
    source = Text(mode="folder", folder="mine")
    files = origin_files.locate_all(source, settings)
    table = source.read(spark, {file.name: path for file, path in files.items()}, 0)
    assert rows_of(table, "sample_id", "label", "text") == [
        ("bad/c.txt", "bad", "so"),
        ("good/a.txt", "good", "one\ntwo"),
    ]
    reasons = [("README", "lies beside the folders"), ("bad/a.txt", "is not UTF-8"), ("good/b.txt", "is empty")]
    assert refused(table) == reasons


@pytest.mark.bad_input
def test_a_mode_names_what_it_reads():
    with pytest.raises(ValidationError, match="mode folder reads folder, and it alone"):
        Text(mode="folder", files=[{"name": "a.txt"}])
    with pytest.raises(ValidationError, match="mode lines reads files, and them alone"):
        Text(folder="mine")
