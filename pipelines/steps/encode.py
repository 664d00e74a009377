"""Encodes categories and characters as numbers, with the vocabulary of the train split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal, Self

import pandas as pd
from pydantic import BaseModel, Field, model_validator
from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, LongType

from millstream.pipelines.ops import multi_hot, target_encoding
from millstream.pipelines.spark.categories import values_of
from millstream.pipelines.spark.frames import named
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData
from millstream.tracking.serving import columns as preprocess

_ENCODED = "_encoded"
MOST_NUMBERED, MOST_PLACES = 100_000, 10_000
"""Largest number of classes of a column: as all are in the manifest, and as each is an element of a row's vector."""


class Encode(BaseModel, frozen=True, extra="forbid"):
    """`index`: class numbers; class 0 of an input is "(unknown)", a target of an unknown class is quarantined.

    | city | ->  | city |      classes: (unknown), Bonn, Graz
    | Graz |     |    2 |
    | Oslo |     |    0 |

    `characters`: token ids in a new column; 0 is padding, 1 a character that is not in train.

    | text | ->  | tokens    |
    | abba |     | 2 3 3 2   |

    `onehot`: a float32 vector with an element for each class of train; all zeros for an unknown class of an input. For
    a target it holds class probabilities, which `mixup` may interpolate; an unknown class is quarantined.

    `tags`: a multi-hot float32 vector of a text that lists any number of tags; a tag that is not in train is dropped
    from an input, a target with one is quarantined.

    | seen      | ->  | seen      |      classes: ball, dog, man
    | dog, man  |     | 0 1 1     |
    |           |     | 0 0 0     |

    `target`: target encoding, the mean target of the category's train rows, shrunk to the overall mean by `smoothing`
    rows. A train row gets the mean of the other folds, without its own target (Micci-Barreca 2001,
    doi:10.1145/507533.507538).
    """

    version: ClassVar[int] = 2
    place: ClassVar[Place] = "after split"
    served: ClassVar[Served] = "replayed"
    train_only: ClassVar[bool] = False

    columns: tuple[str, ...] | Literal["categories"] = Field(
        description="columns to encode, or all categories in text that are no keys"
    )
    method: Literal["index", "characters", "onehot", "tags", "target"] = Field(
        "index",
        description="index: class numbers; onehot, tags: vectors; characters: token ids; target: mean of the target",
    )
    classes: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="all classes of train in order (index, onehot); default: sorted by number or name",
    )
    to: str = Field("tokens", description="name of the new column of token ids (characters)")
    separator: str = Field(",", min_length=1, description="separator of the tags in a text (tags)")
    lower: bool = Field(False, description="lowercase texts (characters)")
    longest: int = Field(256, ge=1, description="largest number of characters of a text; a longer one is quarantined")
    target: str | None = Field(
        None, description="column whose mean is taken (target): a number, or a class with `positive`"
    )
    positive: str | None = Field(None, description="class that counts as 1, all others as 0 (target)")
    smoothing: float = Field(
        10.0, ge=0, description="weight in rows of the overall mean in each category's mean (target)"
    )
    folds: int = Field(
        5, ge=2, le=100, description="folds of train, drawn by sample, each encoded from the others (target)"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.method == "target") != (self.target is not None):
            raise ValueError("target: needed with method: target, and with no other")
        if self.classes is not None and self.method not in ("index", "onehot"):
            raise ValueError(f"classes: have an order with index and onehot, not with {self.method}")
        return self

    def fit(self, train: Table, seed: int) -> Learned:
        """Raises BadData for a column that is missing or of a kind that the method cannot encode."""
        learn: dict[str, Callable[[Table, Column], Learned]] = {
            "index": self._classes,
            "onehot": self._categories,
            "characters": self._vocabulary,
            "tags": lambda train, column: multi_hot.fit(train, column, self.separator, MOST_PLACES),
            "target": lambda train, column: self._target_means(train, column, seed),
        }
        return {column.name: learn[self.method](train, column) for column in self._chosen(train)}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        steps: dict[str, Callable[[Table, Column, Learned], Table]] = {
            "index": self._index,
            "onehot": self._onehot,
            "characters": self._characters,
            "tags": multi_hot.apply,
            "target": lambda table, column, learned: target_encoding.apply(table, column, learned, seed),
        }
        for column in self._chosen(table):
            table = steps[self.method](table, column, learned[column.name])
        return table

    @property
    def _means(self) -> target_encoding.Means:
        return target_encoding.Means(str(self.target), self.positive, self.smoothing, self.folds)

    def _chosen(self, table: Table) -> list[Column]:
        if self.columns == "categories":
            texts = [column for column in table.columns if column.meaning == "category" and column.dtype == "string"]
            return [column for column in texts if column.role != "key"]
        chosen = [table.column(name) for name in self.columns]
        missing = [name for name, column in zip(self.columns, chosen, strict=True) if column is None]
        if missing:
            raise BadData.at("step encode", f"{missing}: no such columns; it has {[c.name for c in table.columns]}")
        texts = [column for column in chosen if column is not None]
        if self.method == "characters" and any(column.dtype != "string" for column in texts):
            raise BadData.at("step encode", f"characters are read from texts; {[(c.name, c.dtype) for c in texts]}")
        if self.method == "target" and any(column.role != "input" for column in texts):
            raise BadData.at("step encode", f"{self.method} is for inputs; {[(c.name, c.role) for c in texts]}")
        return texts

    def _classes(self, train: Table, column: Column) -> Learned:
        classes = self._ordered(column, _distinct(train, column, MOST_NUMBERED))
        if column.role == "target":
            _check_apart(column, classes)
        else:
            classes = [preprocess.UNKNOWN_CLASS, *(one for one in classes if one != preprocess.UNKNOWN_CLASS)]
        return {"method": "index", "from": column.dtype, "classes": classes}

    def _categories(self, train: Table, column: Column) -> Learned:
        classes = self._ordered(column, _distinct(train, column, MOST_PLACES))
        if column.role == "target":
            _check_apart(column, classes)
        if not classes:
            raise BadData.at("step encode", f"{column.name}: no value in train; leave the column out")
        return {"method": "onehot", "from": column.dtype, "classes": classes}

    def _ordered(self, column: Column, names: list[str]) -> list[str]:
        if self.classes is None:
            return names
        if set(self.classes) != set(names):
            more, less = sorted(set(names) - set(self.classes)), sorted(set(self.classes) - set(names))
            message = f"train has {more[:5]} besides `classes`, and no row of {less[:5]}; name all classes of train"
            raise BadData.at("step encode", f"{column.name}: {message}")
        return list(dict.fromkeys(self.classes))

    def _target_means(self, train: Table, column: Column, seed: int) -> Learned:
        _distinct(train, column, MOST_NUMBERED)
        return target_encoding.fit(train, column, self._means, seed)

    def _vocabulary(self, train: Table, column: Column) -> Learned:
        texts = train.frame.select(named(column.name).alias("text"))
        seen = texts.select(F.explode(F.array_distinct(F.split("text", ""))).alias("one")).distinct().collect()
        characters = sorted(
            {one for row in seen for one in preprocess.normal(row[0] or "", lower=self.lower)} | _spaces(seen)
        )
        vocabulary = [preprocess.PADDING, preprocess.UNKNOWN_TOKEN, *characters]
        options = {"to": self.to, "lower": self.lower, "longest": self.longest}
        return {"method": "characters", "vocabulary": vocabulary, **options}

    def _index(self, table: Table, column: Column, learned: Learned) -> Table:
        classes = tuple(learned["classes"])

        @F.pandas_udf(LongType())  # type: ignore[call-overload,untyped-decorator,unused-ignore]
        def numbers(pieces: Iterator[pd.Series]) -> Iterator[pd.Series]:
            for piece in pieces:
                yield preprocess.category_numbers(piece, classes, unknown=0 if column.role != "target" else -1)

        table = _encoded(table, column, numbers(values_of(column)), F.col(_ENCODED) >= 0, classes)
        update = {"dtype": "int64", "meaning": "category", "classes": classes}
        return table.replacing(table.frame, column.model_copy(update=update))

    def _onehot(self, table: Table, column: Column, learned: Learned) -> Table:
        classes = tuple(learned["classes"])

        @F.pandas_udf(BinaryType())  # type: ignore[call-overload,untyped-decorator,unused-ignore]
        def vectors(pieces: Iterator[pd.Series]) -> Iterator[pd.Series]:
            for piece in pieces:
                yield pd.Series(preprocess.one_hot(piece, classes))

        nothing = F.lit(bytes(4 * len(classes)))
        table = _encoded(table, column, vectors(values_of(column)), F.col(_ENCODED) != nothing, classes)
        stored = {"dtype": "float32", "layout": "tensor", "shape": (len(classes),), "axes": "K"}
        return table.replacing(
            table.frame, column.model_copy(update={**stored, "meaning": "vector", "classes": classes})
        )

    def _characters(self, table: Table, column: Column, learned: Learned) -> Table:
        options: Any = {"lower": self.lower, "longest": self.longest}
        vocabulary = tuple(learned["vocabulary"])

        @F.pandas_udf(ArrayType(LongType()))  # type: ignore[call-overload,untyped-decorator,unused-ignore]
        def numbers(pieces: Iterator[pd.Series]) -> Iterator[pd.Series]:
            for piece in pieces:
                yield preprocess.token_numbers(piece, vocabulary, **options)

        text = F.trim(named(column.name))
        long = table.frame.where(F.length(text) > self.longest)
        empty = table.frame.where(F.coalesce(F.length(text), F.lit(0)) == 0)
        table.check_new("step encode, to", self.to)
        table = table.refusing(long, F.lit(f"{column.name}: over {self.longest} characters"))
        table = table.refusing(empty, F.lit(f"{column.name}: empty"))
        kept = table.frame.where(F.length(text).between(1, self.longest))
        frame = kept.withColumn(self.to, numbers(named(column.name)))
        longest = frame.agg(F.max(F.size(self.to))).collect()[0][0] or 1
        tokens = Column(
            name=self.to,
            dtype="int64",
            layout="list",
            shape=(int(longest),),
            axes="T",
            role="input",
            meaning="tokens",
            vocabulary=vocabulary,
        )
        # the text is kept for inspection; the network reads the tokens
        return table.replacing(frame, column.model_copy(update={"role": "key"}), tokens)


def _check_apart(column: Column, classes: list[str]) -> None:
    if len(classes) < 2:
        message = f"the train rows have {'one class alone, ' + repr(classes[0]) if classes else 'no class'}"
        raise BadData.at("step encode", f"{column.name}: {message}: there is nothing to distinguish")


def _encoded(table: Table, column: Column, values: SparkColumn, known: SparkColumn, classes: tuple[str, ...]) -> Table:
    """The table with `values` in the column; rows whose target is of an unknown class are refused."""
    frame = table.frame.withColumn(_ENCODED, values)
    if column.role == "target" and _has_others(table, column, classes):
        table = table.refusing(frame.where(~known), F.lit(f"{column.name}: missing, or no class of train"))
        frame = frame.where(known)
    return table.replacing(frame.withColumn(column.name, F.col(_ENCODED)).drop(_ENCODED))


def _has_others(table: Table, column: Column, classes: tuple[str, ...]) -> bool:
    """Whether a value is missing or of an unknown class: rare, and then all rows are encoded twice."""
    rows, known = table.frame.select(named(column.name)).distinct().collect(), set(classes)
    return any(row[0] is None or preprocess.as_text(row[0]) not in known for row in rows)


def _distinct(train: Table, column: Column, most: int) -> list[str]:
    """The distinct values of train, sorted by name; numbers, and texts that are all integers, sorted by value.

    Raises BadData for more than `most`: a value that is unique to each row is no category.
    """
    values = train.frame.select(named(column.name).alias("value")).where("value IS NOT NULL")
    rows = values.distinct().limit(most + 1).collect()
    if len(rows) > most:
        message = f"more than {most:,} different values in train, as of an id; give it role: key, or join what is rare"
        raise BadData.at("step encode", f"{column.name}: {message}")
    by_text = {preprocess.as_text(row[0]): row[0] for row in rows}
    if column.dtype == "string":
        numbers = all(text.isdecimal() for text in by_text)
        return sorted(by_text, key=lambda text: (int(text) if numbers else 0, text))
    return sorted(by_text, key=lambda text: (by_text[text], text))


def _spaces(seen: list[Any]) -> set[str]:
    """White space inside texts is a character like others; at their ends it is stripped."""
    return {row[0] for row in seen if row[0] and row[0].isspace()}
