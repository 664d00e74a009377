"""Text inputs in the form that a model was trained on; as `pipelines.readers.row_validation.trimmed` does on Spark."""

from __future__ import annotations

from typing import NamedTuple, Self

import pyarrow as pa

from millstream.pipelines.readers.table_schema import Layout, TableColumn
from millstream.tracking.serving.text_normalization import normal_form


class TextForm(NamedTuple):
    strip: str
    is_key: bool
    nulls: tuple[str, ...]

    @classmethod
    def of(cls, declared: TableColumn, layout: Layout) -> Self:
        return cls(declared.strip or " ", declared.role == "key", layout.nulls)

    def applied(self, texts: pa.Array) -> pa.Array:
        """Each distinct text is changed once."""
        encoded = texts.dictionary_encode()
        return pa.array(map(self.changed, encoded.dictionary.to_pylist()), pa.string()).take(encoded.indices)

    def changed(self, text: str) -> str | None:
        stripped = text.strip(self.strip)
        value = stripped if self.is_key else normal_form(stripped)
        return None if value in self.nulls else value
