"""A model as its description has it, without one being trained."""

from __future__ import annotations

from pathlib import Path

from millstream.tracking.dataset.manifest import Manifest, Source
from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.runs.model_logging import Described

_DTYPES = {"double": "float64", "long": "int64", "string": "string"}


def described(source, inputs, filled=(), name="table"):
    """Of a table: `inputs` names the columns that the model reads, `filled` those that impute fills."""
    declared = source.columns
    columns = tuple(
        Column(
            name=one,
            dtype=_DTYPES[declared[one].type],
            role="input",
            meaning="category" if declared[one].type == "string" else "number",
        )
        for one in inputs
    )
    learned = {
        one: {"method": "mean", "fill": 0.0, "indicator": None, "from": _DTYPES[declared[one].type]} for one in filled
    }
    steps = (Step(name="impute", version=1, config={}, learned=learned, rows_in=1, rows_out=1, seconds=0),)
    manifest = Manifest(
        name="t",
        version="v",
        seed=0,
        created="2020-01-01",
        source=Source(name=name, config=source.model_dump(mode="json"), licence="-", origin="-", files=()),
        steps=steps,
        columns=columns,
        splits={},
        checks=(),
        quarantine={},
    )
    kinds = {one: declared[one].type for one in inputs}
    return Described(Path("/nowhere"), kinds, {"prediction": "string"}, manifest)
