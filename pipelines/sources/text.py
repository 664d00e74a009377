"""Texts, one per line or file: labelled by file, line or folder, in a column of a TSV file, or in two languages.

source: {name: text, files: [{name: names/Greek.txt}, {name: names/Irish.txt}]}

source:
  name: text
  mode: labelled
  encoding: latin-1
  files: [{name: sentences/TREC.train.all, split: train}, {name: sentences/TREC.test.all, split: test}]

source:
  name: text
  mode: tsv
  tsv: {text: review, label: stars}
  files: [{name: reviews.tsv}]

source: {name: text, mode: folder, folder: reviews}

source:
  name: text
  mode: parallel
  pairs:
    - {source: {name: multi30k/train.de.gz}, target: {name: multi30k/train.en.gz}, split: train}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.pipelines.readers import image_folder, text_folder
from millstream.pipelines.readers.file_spec import NamedFile, SplitFile, SplitName, called
from millstream.pipelines.readers.lines import Encoding, numbered
from millstream.pipelines.spark.caching import cached
from millstream.pipelines.spark.categories import normal
from millstream.pipelines.spark.frames import fewest, with_places
from millstream.pipelines.table import OriginFile, Table
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.tracking.serving.text_normalization import normal_form

_CONTROL = r"[\x01-\x08\x0B\x0C\x0E-\x1F\x7F]"
_SHOWN = 1000
"""Characters of a refused text that are kept for inspection."""


class TextFile(SplitFile, frozen=True, extra="forbid"):
    label: str | None = Field(None, description="class of its lines; default: the file name without suffix")


class Pair(BaseModel, frozen=True, extra="forbid"):
    """Two files of equal line counts: line n of one corresponds to line n of the other."""

    source: NamedFile = Field(description="file of the source language")
    target: NamedFile = Field(description="file of the target language")
    split: SplitName | None = Field(None, description="the split of all of its rows")


class Tsv(BaseModel, frozen=True, extra="forbid"):
    columns: tuple[str, ...] | None = Field(None, description="names of all columns; default: from the first line")
    text: str = Field(description="text column")
    label: str | None = Field(None, description="class column")


class Text(BaseModel, frozen=True, extra="forbid"):
    """`lines`: each line is a sample with the class of its file. `labelled`: the first word of a line is its class.
    `tsv`: columns between tabs. `folder`: each file is a sample with the class of its folder. `parallel`: pairs of
    lines. `document`: lines in order, blank ones too.

    Texts are only stripped of white space at their ends. A line that is empty, too long, no text (control characters)
    or not in the encoding is quarantined.
    """

    version: ClassVar[int] = 2

    files: tuple[TextFile, ...] = Field((), description="files of texts")
    folder: str | None = Field(
        None,
        exclude_if=lambda folder: folder is None,
        description="path or URL of a folder with `<class>/<any name>.txt`, for mode `folder`",
    )
    pairs: tuple[Pair, ...] = Field((), description="file pairs of `parallel`")
    mode: Literal["lines", "labelled", "tsv", "parallel", "document", "folder"] = Field(
        "lines", description="what a sample is: a line, a pair of lines, or a file"
    )
    tsv: Tsv | None = Field(None, description="columns of `tsv`")
    encoding: Encoding = Field("utf-8", description="character encoding of the files")
    longest: int = Field(100_000, ge=1, description="maximum number of characters; a longer line is quarantined")
    limit: int | None = Field(None, ge=1, description="read only this many rows, those with the lowest hashes")
    licence: str = Field("not stated", description="licence of the data, kept in the manifest")
    origin: str = Field("not stated", description="where the data come from, kept in the manifest")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        needed = {"parallel": "pairs", "folder": "folder"}.get(self.mode, "files")
        given = {"pairs": self.pairs, "folder": self.folder, "files": self.files}
        if [name for name, value in given.items() if value] != [needed]:
            raise ValueError(f"mode {self.mode} reads {needed}, and {'it' if needed == 'folder' else 'them'} alone")
        if (self.tsv is not None) != (self.mode == "tsv"):
            raise ValueError("tsv: belongs to mode tsv, which needs it")
        return self

    def origin_files(self) -> tuple[OriginFile, ...]:
        both = [file for pair in self.pairs for file in (pair.source, pair.target)]
        return tuple(file.origin for file in (*self.files, *both))

    def listed_files(self, files: Mapping[str, Path], folders: Sequence[Path]) -> tuple[OriginFile, ...]:
        """The files of the folder. Raises BadData when it does not exist or has no files in its folders."""
        return image_folder.listed(self.folder, folders, "class", "texts") if self.folder is not None else ()

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        """Raises BadData for a file that is empty or without a valid line, and for pairs of unequal line counts."""
        pieces = [self._file(spark, file, files[file.name]) for file in self.files]
        pieces += [self._pair(spark, pair, files) for pair in self.pairs]
        if self.folder is not None:
            pieces.append(self._judged(text_folder.texts(spark, self.folder, files, self.encoding)))
        rows = cached(reduce(DataFrame.unionByName, pieces))
        kept = with_places(rows.where("_reason IS NULL").drop("_reason"))
        if kept.isEmpty():
            first = rows.select("_reason").head()
            message = f"no line with text in it; the first one {first[0]}" if first else "no line with text in it"
            where = self.folder or ", ".join(file.name for file in self.origin_files())
            raise BadData.at(where, message)
        kept = fewest(kept, self.limit)
        columns = self._columns()
        refused = rows.where("_reason IS NOT NULL")
        for name in [column.name for column in columns if column.meaning == "text"]:
            refused = refused.withColumn(name, F.substring(name, 1, _SHOWN))
        return Table(kept, columns, Table(rows, columns).refusing(refused, F.col("_reason")).refused)

    def _columns(self) -> tuple[Column, ...]:
        if self.mode == "parallel":
            source = Column(name="source", dtype="string", role="input", meaning="text")
            return (source, Column(name="target", dtype="string", role="target", meaning="text"))
        text = Column(name="text", dtype="string", role="input", meaning="text")
        if self.mode == "document" or (self.tsv is not None and self.tsv.label is None):
            return (text,)
        return (text, Column(name="label", dtype="string", role="target", meaning="category"))

    def _file(self, spark: SparkSession, file: TextFile, path: Path) -> DataFrame:
        lines = numbered(spark, path, self.encoding)
        text: SparkColumn = F.col("line")
        label = F.lit(normal_form(file.label or PurePosixPath(file.name).stem))
        odd: SparkColumn = F.lit(None).cast("string")
        if self.tsv is not None:
            names = self.tsv.columns or _header(lines, path)
            lines = lines if self.tsv.columns else lines.where("number > 1")
            values = F.split("line", "\t", -1)
            odd = F.when(F.size(values) != len(names), f"has other than {len(names)} values")
            text = values[_place(self.tsv.text, names, path)]
            label = normal(values[_place(self.tsv.label, names, path)]) if self.tsv.label else label
        elif self.mode == "labelled":
            pieces = F.split(_stripped(text), r"\s+", 2)
            label, text = normal(pieces[0]), F.coalesce(F.get(pieces, F.lit(1)), F.lit(""))
        rows = lines.select(
            F.format_string("%s:%d", F.lit(self._file_name(file)), "number").alias("sample_id"),
            F.lit(file.split).cast("string").alias("split"),
            (text if self.mode == "document" else _stripped(text)).alias("text"),
            label.alias("label"),
            odd.alias("_odd"),
        )
        return self._judged(rows)

    def _judged(self, rows: DataFrame) -> DataFrame:
        """The rows with `_reason`, null for a valid one."""
        reasons = [F.col("_odd"), *self._reasons("text", self.mode != "document")]
        reasons.append(F.when(F.length("label") == 0, "has no label"))
        rows = rows.withColumn("text", _stripped(F.col("text"))) if self.mode == "folder" else rows
        return rows.withColumn("_reason", F.coalesce(*reasons)).select(
            "sample_id", "split", *(column.name for column in self._columns()), "_reason"
        )

    def _pair(self, spark: SparkSession, pair: Pair, files: Mapping[str, Path]) -> DataFrame:
        sides = {name: numbered(spark, files[getattr(pair, name).name], self.encoding) for name in ("source", "target")}
        sides = {name: cached(side.withColumn("line", _stripped(F.col("line")))) for name, side in sides.items()}
        counts = {name: side.count() for name, side in sides.items()}
        if counts["source"] != counts["target"]:
            message = f"{counts['source']} lines, and {pair.target.name} has {counts['target']}"
            raise BadData.at(pair.source.name, f"{message}; line n of both has to say the same: get both files again")
        named = [side.withColumnRenamed("line", name) for name, side in sides.items()]
        reasons = [
            F.when((F.length("source") == 0) & (F.length("target") == 0), "is empty"),
            *(F.concat(F.lit(f"{name} "), one) for name in sides for one in self._reasons(name, True)),
        ]
        return (
            named[0]
            .join(named[1], "number")
            .withColumn("sample_id", F.format_string("%s:%d", F.lit(self._file_name(pair.source)), "number"))
            .withColumn("split", F.lit(pair.split).cast("string"))
            .withColumn("_reason", F.coalesce(*reasons))
            .drop("number")
        )

    def _reasons(self, name: str, filled: bool) -> list[SparkColumn]:
        """The reasons to refuse the text in the column `name`; null where one does not apply."""
        text = F.col(name)
        wrong = {
            "holds a NUL byte": text.contains("\x00"),
            "is not UTF-8": text.contains("\ufffd"),
            "holds control characters": text.rlike(_CONTROL),
            f"is longer than {self.longest} characters": F.length(text) > self.longest,
        }
        wrong |= {"is empty": F.coalesce(F.length(text) == 0, F.lit(True))} if filled else {}
        return [F.when(condition, reason) for reason, condition in wrong.items()]

    def _file_name(self, file: NamedFile) -> str:
        """The name of the file in a sample_id."""
        return called(file, (*self.files, *(pair.source for pair in self.pairs)))


def _stripped(text: SparkColumn) -> SparkColumn:
    return F.regexp_replace(text, r"(?U)^\s+|\s+$", "")


def _header(lines: DataFrame, path: Path) -> tuple[str, ...]:
    names = tuple(name.strip() for name in lines.where("number = 1").collect()[0][0].split("\t"))
    if len(set(names)) < len(names):
        raise BadData.at(f"{path}:1", f"a column comes twice in the header {list(names)}")
    return names


def _place(column: str, names: tuple[str, ...], path: Path) -> int:
    if column not in names:
        raise BadData.at(f"{path}:1", f"no column {column!r}; the columns are {list(names)}: are there tabs between?")
    return names.index(column)
