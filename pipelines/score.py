"""Batch inference: a registered model over a table of raw columns, written completely or not at all.

A small local file is scored in this process, any other table on Spark, whose start takes longer than a small table. The
model loads torch, if it is a network, at run time, and only where it predicts.
"""

from __future__ import annotations

import atexit
import gc
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pydantic import BaseModel
from pyspark import SparkFiles
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_type
from pyspark.sql.types import StructField, StructType

from millstream.pipelines.publish import stores
from millstream.pipelines.readers import origin_files
from millstream.pipelines.readers.part_files import parts
from millstream.pipelines.scoring import errors, input_table, loaded, small_file
from millstream.pipelines.scoring.input_table import ScoringInput
from millstream.pipelines.scoring.layout import Files, Reading
from millstream.pipelines.scoring.sink import SHARED, Sink
from millstream.pipelines.scoring.small_table import SmallTable
from millstream.pipelines.spark import arrow_pandas, preflight
from millstream.pipelines.spark.frames import in_arrow
from millstream.pipelines.spark.session import is_submitted, session
from millstream.pipelines.table import OriginFile
from millstream.tracking.dataset.filesystems import place
from millstream.tracking.errors import BadData, Refusal
from millstream.tracking.runs import model_logging
from millstream.tracking.runs.model_logging import Described
from millstream.tracking.settings import Settings


class Scored(BaseModel, frozen=True):
    rows: int
    output: str
    seconds: float


def score(model_uri: str, source: str, output: str, settings: Settings, *, master: str | None = None) -> Scored:
    """Write the table `source` to `output`, with the model's predictions as additional columns.

    `output` is the path or URL of a Parquet folder that must not exist: it appears when all rows are scored. Spark
    scores with a `master`, and whatever is no small file on a disk. Raises BadData for input that cannot be read,
    misses columns, or would be overwritten.
    """
    started = time.monotonic()
    source, start = _absolute(source), partial(session, master, settings)
    sink = Sink.of(output, start)
    model = model_logging.describe(model_uri, settings)
    files, reading = Files.of(source, _local(source, start, settings)), Reading.of(model)
    rows = None
    if master is None and sink.is_on_disk and not is_submitted():
        small = small_file.read(files, reading)
        rows = None if small is None else _scored_here(small, model, sink, source)
    if rows is None:
        rows = _scored_on_spark(start, files, reading, model, sink)
    return Scored(rows=rows, output=str(sink.target), seconds=round(time.monotonic() - started, 3))


def _scored_here(table: SmallTable, model: Described, sink: Sink, source: str) -> int | None:
    """None where the model does not predict: Spark reports the reason with its place."""
    _refuse_clash(source, table.columns.column_names, model)
    here = loaded.model(model_logging.LOADER, str(model.folder / model_logging.DATA))
    try:
        predictions = _predictions(here, table.inputs, _kinds(model.outputs))
    except (Refusal, ValueError, TypeError):
        return None
    columns = dict(zip(table.columns.column_names, table.columns.columns, strict=True))
    return sink.write_table(pa.table(columns | predictions))


def _scored_on_spark(
    start: Callable[..., SparkSession], files: Files, reading: Reading, model: Described, sink: Sink
) -> int:
    gc.enable()  # the command starts without
    spark = start(raw_bytes=sum(path.stat().st_size for path in files.paths))
    preflight.check(spark, files.paths, SHARED)
    with _refusing(files):
        table = input_table.read(spark, files, reading)
    _refuse_clash(files.where, table.names, model)
    folder = _at_the_workers(spark, model.folder)
    with _refusing(files):
        return sink.write(table.frame, lambda read: _predict(replace(table, frame=read), folder, model.outputs))


def _refuse_clash(where: str, names: Sequence[str], model: Described) -> None:
    clash = [name for name in names if name.lower() in {output.lower() for output in model.outputs}]
    if clash:
        raise BadData.at(where, f"has columns {clash}, which the model returns; rename them")


def _absolute(source: str) -> str:
    """The absolute path: Spark's process may have another working directory than the caller."""
    return source if "://" in source else str(Path(source).absolute())


def _local(source: str, start: Callable[[], object], settings: Settings) -> Path:
    """The local path of the table; a URL is copied first, as in `prepare`."""
    where = place(source)
    if isinstance(where, Path):
        return where
    stores.reach(where, start)
    copies = [origin_files.locate(part, settings) for part in parts(OriginFile(source, or_folder=True), [])]
    return copies[0] if len(copies) == 1 else copies[0].parent


@contextmanager
def _refusing(files: Files) -> Iterator[None]:
    """Translates Spark's exceptions into errors of the table or the cluster."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        refused = errors.refusal(files.where, error, files.damaged)
        if refused is None:
            raise
        raise refused from error


def _at_the_workers(spark: SparkSession, folder: Path) -> Callable[[], str]:
    """Returns a function that returns the model's folder on a worker: local, or unpacked from a shipped archive."""
    if spark.sparkContext.master.startswith("local"):
        here = str(folder)
        return lambda: here
    name = f"model-{uuid.uuid4().hex}"
    # later jobs of the session fetch it on new workers, so it is kept until the end
    packing = tempfile.mkdtemp(prefix="millstream-")
    atexit.register(shutil.rmtree, packing, ignore_errors=True)
    packed = shutil.make_archive(f"{packing}/{name}", "zip", folder)
    spark.sparkContext.addArchive(f"{Path(packed).as_uri()}#{name}")
    return lambda: SparkFiles.get(name)


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of a task's output: `double`, or `Array(double)` for a list of them."""
    if kind.startswith("Array("):
        return pa.list_(arrow_type(kind.removeprefix("Array(").removesuffix(")")))
    return pa.int64() if kind == "long" else pa.type_for_alias(kind)


def _predict(table: ScoringInput, folder: Callable[[], str], outputs: dict[str, str]) -> DataFrame:
    """The unchanged columns of the table and the predictions; only the inputs go through pandas."""
    frame, count = table.frame, len(table.names)
    kinds = _kinds(outputs)
    added = [StructField(name, from_arrow_type(kind)) for name, kind in kinds.items()]
    passed = [StructField(name, frame.schema[at].dataType) for at, name in enumerate(table.names)]
    schema = StructType([*passed, *added])
    loader = model_logging.LOADER  # its name alone: the module would bring MLflow to the workers
    names, inputs = schema.names, {name: frame.columns.index(place) for name, place in table.inputs.items()}
    forms = dict(table.forms)

    def pieces(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model = loaded.model(loader, f"{folder()}/{model_logging.DATA}")
        for batch in batches:
            if batch.num_rows:
                values = {name: batch.column(at) for name, at in inputs.items()}
                values |= {name: form.applied(values[name]) for name, form in forms.items()}
                taken = pa.RecordBatch.from_arrays(list(values.values()), list(values))
                more = _predictions(model, taken, kinds)
                yield pa.RecordBatch.from_arrays([*batch.columns[:count], *more.values()], names)

    return in_arrow(frame, pieces, schema)


def _kinds(outputs: Mapping[str, str]) -> dict[str, pa.DataType]:
    return {name: arrow_type(kind) for name, kind in outputs.items()}


def _predictions(
    model: Any, inputs: pa.RecordBatch | pa.Table, kinds: Mapping[str, pa.DataType]
) -> dict[str, pa.Array]:
    predictions = model.predict_columns(arrow_pandas.to_pandas(inputs))
    return {name: _array(predictions.get(name, []), kind) for name, kind in kinds.items()}


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    """NaN becomes null, in a list, too."""
    if isinstance(values, np.ndarray) and values.ndim == 2 and kind == pa.list_(pa.float64()):
        rows, length = values.shape
        flat = pa.array(np.ascontiguousarray(values, dtype=np.float64).reshape(-1), from_pandas=True)
        return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * length), flat)
    return pa.array(list(values), kind, from_pandas=True)
