"""Tokenization of texts."""

from __future__ import annotations

import pandas as pd

from millstream.tracking.dataset.records import Column
from millstream.tracking.serving import tokenizer
from millstream.tracking.serving.column_change import Kind, Learned, put


def _tokenize(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    reader = tokenizer.Reader.of(learned)
    return put(frame, learned["to"], [reader.numbers(text) for text in frame[name]]).drop(columns=name)


def _untokenize(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    reader = tokenizer.Reader.of(learned)
    return put(frame, name, [reader.text(row) for row in frame[learned["to"]]])


def before_tokens(column: Column, name: str, learned: Learned) -> tuple[Column, ...]:
    if column.name != learned["to"]:
        return (column,)
    return (Column(name=name, dtype="string", role="input", meaning="text"),)


KINDS = {"": Kind(_tokenize, _untokenize, before_tokens)}
