"""Tokenization by characters, words or BPE subwords, with a vocabulary learned from the train split."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import pandas as pd
from pydantic import BaseModel, Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, LongType, StringType

from millstream.pipelines.spark.caching import cached
from millstream.pipelines.spark.frames import named
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData
from millstream.tracking.serving import tokenizer


class Tokenize(BaseModel, frozen=True, extra="forbid"):
    """Learns {column: {"to": name, "vocabulary": [...], "merges": [[piece, piece], ...], and how it is read}}.

    | english   | ->  | english_tokens |      by: words; 0 padding, 1 unknown, 2 begin, 3 end, 4 a, 5 dog ...
    | A dog.    |     | 2 4 5 1 3      |

    The text column is kept with the role key. Subwords never cross white space; each word begins with a mark, so that
    decoding restores the text, with single spaces.
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "after split"
    served: ClassVar[Served] = "replayed"
    train_only: ClassVar[bool] = False

    columns: tuple[str, ...] = Field(min_length=1, description="text columns to tokenize")
    by: Literal["characters", "words", "subwords"] = Field(description="what a token is")
    to: str = Field("{column}_tokens", description="name of the new column of token ids")
    vocabulary: Literal["own", "shared"] = Field("own", description="a vocabulary for each column, or one for all")
    lower: bool = Field(False, description="lowercase texts")
    minimum: int = Field(
        1, ge=1, description="smallest frequency in train of a token, or of a merged pair; rarer tokens are unknown"
    )
    most: int = Field(
        30_000, ge=8, description="largest vocabulary size, with special tokens; the most frequent tokens are kept"
    )
    begin: bool = Field(False, description="add a begin token to each text")
    end: bool = Field(False, description="add an end token to each text")
    longest: int = Field(256, ge=3, description="maximum number of tokens of a text, with begin and end")
    too_long: Literal["quarantine", "truncate"] = Field("quarantine", description="treatment of a longer text")

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len({self._named(name) for name in self.columns}) < len(self.columns):
            raise ValueError(f"to: {self.to!r} names several columns alike; put {{column}} into it")
        return self

    def fit(self, train: Table, seed: int) -> Learned:
        """Raises BadData for a column that is missing or no text, and for a train split without tokens."""
        chosen = [column.name for column in self._chosen(train)]
        groups = [chosen] if self.vocabulary == "shared" else [[name] for name in chosen]
        return {
            name: {"to": self._named(name), **figures} for names in groups for name, figures in self._fit(train, names)
        }

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        for column in self._chosen(table):
            table = self._numbered(table, column, learned[column.name])
        return table

    def _named(self, column: str) -> str:
        return self.to.replace("{column}", column)

    def _chosen(self, table: Table) -> list[Column]:
        chosen = {name: table.column(name) for name in self.columns}
        wrong = [name for name, column in chosen.items() if column is None or column.dtype != "string"]
        if wrong:
            raise BadData.at("step tokenize", f"{wrong}: no texts; it has {[(c.name, c.dtype) for c in table.columns]}")
        return [column for column in chosen.values() if column is not None]

    def _fit(self, train: Table, names: list[str]) -> Iterator[tuple[str, Learned]]:
        markers = [tokenizer.BEGIN] * self.begin + [tokenizer.END] * self.end
        special = [tokenizer.PADDING, tokenizer.UNKNOWN, *markers]
        tokens, merges = (
            self._subwords(train, names, special) if self.by == "subwords" else (self._seen(train, names), [])
        )
        if not tokens:
            raise BadData.at("step tokenize", f"{names}: no token in train; look at the texts, or lower `minimum`")
        options = {"lower": self.lower, "longest": self.longest, "begin": self.begin, "end": self.end}
        figures = {"by": self.by, "vocabulary": [*special, *tokens][: self.most], "merges": merges, **options}
        return ((name, figures) for name in names)

    def _seen(self, train: Table, names: list[str]) -> list[str]:
        """The tokens of train, most frequent first, ties in character order."""
        reader = _reader(self.by, self.lower)

        @F.pandas_udf(ArrayType(StringType()))  # type: ignore[call-overload,untyped-decorator,unused-ignore]
        def pieces(texts: Iterator[pd.Series]) -> Iterator[pd.Series]:
            for some in texts:
                yield some.map(reader.pieces)

        counts = _texts(train, names).select(F.explode(pieces("text")).alias("token")).groupBy("token").count()
        rows = counts.where(F.col("count") >= self.minimum).orderBy(F.desc("count"), "token").limit(self.most).collect()
        return [row[0] for row in rows if row[0] not in (tokenizer.PADDING, tokenizer.UNKNOWN)]

    def _subwords(self, train: Table, names: list[str], special: list[str]) -> tuple[list[str], list[list[str]]]:
        # only training a tokenizer needs the package; tokenizing, here and in a served model, does not
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        model = Tokenizer(models.BPE(unk_token=tokenizer.UNKNOWN))
        model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        trainer = trainers.BpeTrainer(
            vocab_size=self.most, min_frequency=max(2, self.minimum), special_tokens=special, show_progress=False
        )
        texts = _texts(train, names).orderBy("text").toLocalIterator()
        spaced = (" ".join(tokenizer.spaced(tokenizer.normal(row[0], lower=self.lower))) for row in texts)
        model.train_from_iterator(spaced, trainer)
        numbers = model.get_vocab()
        merges = [list(pair) for pair in json.loads(model.to_str())["model"]["merges"]]
        return sorted(set(numbers) - set(special), key=numbers.__getitem__), merges

    def _numbered(self, table: Table, column: Column, learned: Learned) -> Table:
        reader, to = tokenizer.Reader.of({**learned, "longest": 1 << 40}), learned["to"]
        table.check_new("step tokenize, to", to)

        @F.pandas_udf(ArrayType(LongType()))  # type: ignore[call-overload,untyped-decorator,unused-ignore]
        def numbers(texts: Iterator[pd.Series]) -> Iterator[pd.Series]:
            for some in texts:
                yield some.map(reader.numbers)

        judged = cached(table.frame.withColumn(to, numbers(named(column.name))))
        size = F.size(named(to))
        empty = size <= int(self.begin) + int(self.end)
        table = table.refusing(judged.where(empty), F.lit(f"{column.name}: empty"))
        frame = judged.where(~empty)
        if self.too_long == "quarantine":
            table = table.refusing(
                frame.where(size > self.longest), F.lit(f"{column.name}: over {self.longest} tokens")
            )
            frame = frame.where(size <= self.longest)
        else:
            frame = self._cut(frame, to, learned["vocabulary"])
        longest = frame.agg(F.max(size)).collect()[0][0] or 1
        made = Column(
            name=to,
            dtype="int64",
            layout="list",
            shape=(int(longest),),
            axes="T",
            role=column.role,
            meaning="tokens",
            vocabulary=tuple(learned["vocabulary"]),
        )
        return table.replacing(frame, column.model_copy(update={"role": "key"}), made)

    def _cut(self, frame: DataFrame, to: str, vocabulary: list[str]) -> DataFrame:
        """Truncates longer texts; the end token stays the last."""
        whole = named(to)
        short = F.slice(whole, 1, self.longest - self.end)
        if self.end:
            short = F.concat(short, F.array(F.lit(vocabulary.index(tokenizer.END)).cast("long")))
        return frame.withColumn(to, F.when(F.size(whole) > self.longest, short).otherwise(whole))


def _reader(by: str, lower: bool) -> tokenizer.Reader:
    return tokenizer.Reader(by, (), (), lower=lower, longest=1, begin=False, end=False)


def _texts(train: Table, names: list[str]) -> DataFrame:
    """A column `text` with the texts of all the columns."""
    return train.frame.select(F.explode(F.array(*map(named, names))).alias("text")).where("text IS NOT NULL")
