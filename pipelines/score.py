"""Batch inference on Spark: a registered model over a table of raw columns, written completely or not at all.

The model loads torch, if it is a network, at run time and only on the workers.
"""

from __future__ import annotations

import atexit
import importlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

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
from millstream.pipelines.scoring import errors, input_table
from millstream.pipelines.scoring.input_table import ScoringInput
from millstream.pipelines.scoring.layout import Files, Reading
from millstream.pipelines.scoring.sink import SHARED, Sink
from millstream.pipelines.spark import arrow_pandas, preflight
from millstream.pipelines.spark.frames import in_arrow
from millstream.pipelines.spark.session import session
from millstream.pipelines.table import OriginFile
from millstream.tracking.dataset.filesystems import place
from millstream.tracking.errors import BadData
from millstream.tracking.runs import model_logging
from millstream.tracking.settings import Settings


class Scored(BaseModel, frozen=True):
    rows: int
    output: str
    seconds: float


def score(model_uri: str, source: str, output: str, settings: Settings, *, master: str | None = None) -> Scored:
    """Write the table `source` to `output`, with the model's predictions as additional columns.

    `output` is the path or URL of a Parquet folder that must not exist: it appears when all rows are scored. Raises
    BadData for input that cannot be read, misses columns, or would be overwritten.
    """
    started = time.monotonic()
    source, start = _absolute(source), partial(session, master, settings)
    sink = Sink.of(output, start)
    model = model_logging.describe(model_uri, settings)
    files = Files.of(source, _local(source, start, settings))
    spark = start(raw_bytes=sum(path.stat().st_size for path in files.paths))
    preflight.check(spark, files.paths, SHARED)
    with _refusing(files):
        table = input_table.read(spark, files, Reading.of(model))
    clash = [name for name in table.names if name.lower() in {output.lower() for output in model.outputs}]
    if clash:
        raise BadData.at(source, f"has columns {clash}, which the model returns; rename them")
    folder = _at_the_workers(spark, model.folder)
    with _refusing(files):
        rows = sink.write(table.frame, lambda read: _predict(replace(table, frame=read), folder, model.outputs))
    return Scored(rows=rows, output=str(sink.target), seconds=round(time.monotonic() - started, 3))


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
    kinds = {name: arrow_type(kind) for name, kind in outputs.items()}
    added = [StructField(name, from_arrow_type(kind)) for name, kind in kinds.items()]
    passed = [StructField(name, frame.schema[at].dataType) for at, name in enumerate(table.names)]
    schema = StructType([*passed, *added])
    loader = model_logging.LOADER  # its name alone: the module would bring MLflow to the workers
    names, inputs = schema.names, {name: frame.columns.index(place) for name, place in table.inputs.items()}

    def pieces(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model: Any = importlib.import_module(loader)._load_pyfunc(f"{folder()}/{model_logging.DATA}")
        for batch in batches:
            if batch.num_rows:
                taken = pa.RecordBatch.from_arrays([batch.column(at) for at in inputs.values()], list(inputs))
                raw = arrow_pandas.to_pandas(taken)
                predictions = model.predict(raw)
                more = [pa.array(list(predictions[name]), kind, from_pandas=True) for name, kind in kinds.items()]
                yield pa.RecordBatch.from_arrays([*batch.columns[:count], *more], names)

    return in_arrow(frame, pieces, schema)
