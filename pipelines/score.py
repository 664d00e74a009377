"""A registered model over a table on Spark: raw columns in, predictions out, whole or nothing.

The model reaches torch through MLflow, at run time and on the workers alone: they need the training extras.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError
from pydantic import BaseModel
from pyspark import SparkFiles
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import ArrayType, DataType, DoubleType, LongType, StringType, StructField, StructType

from pipelines import workers
from pipelines.mark import Mark, left_in
from pipelines.rows import in_pandas
from pipelines.session import session
from pipelines.text_tables import QUOTES, leaves_quotes_open
from tracking import models
from tracking.faults import BadData, BadEnvironment, Refusal
from tracking.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

_TYPES: dict[str, DataType] = {
    "string": StringType(),
    "double": DoubleType(),
    "long": LongType(),
    "Array(double)": ArrayType(DoubleType()),
    "Array(string)": ArrayType(StringType()),
}


LONGEST_CAUSE = 200
_SAID = (
    re.compile(r"tracking\.faults\.BadData: (.+)"),
    re.compile(r"mlflow\.exceptions\.MlflowException: [^\0]*?Error: (.+)"),
)
_MALFORMED = re.compile(r"MALFORMED_RECORD|Malformed records are detected|MALFORMED_CSV_RECORD")


class Scored(BaseModel, frozen=True):
    rows: int
    output: str
    seconds: float


def score(model_uri: str, source: str, output: str, settings: Settings, *, master: str | None = None) -> Scored:
    """Write `source` (Parquet, or CSV with a header) with the model's predictions beside its columns to `output`.

    `output` is a folder of Parquet that must not exist: it appears when all rows are scored. Raises BadData for input
    that cannot be read, misses columns, or would be overwritten.
    """
    started = time.monotonic()
    target, source = Path(output).absolute(), _absolute(source)
    if target.exists():
        raise BadData.at(target, "is there already; give a path that is not, nothing is overwritten")
    model = models.describe(model_uri, settings)
    spark = session(master, settings)
    frame = _read(spark, source)
    missing = [name for name in model.inputs if name not in frame.columns]
    if missing:
        raise BadData.at(source, f"no columns {missing}; the model takes {list(model.inputs)}, found {frame.columns}")
    clash = [name for name in model.outputs if name in frame.columns]
    if clash:
        raise BadData.at(source, f"has columns {clash}, which the model gives; rename them")
    for left in left_in(target.parent):
        shutil.rmtree(left, ignore_errors=True)
    staged = target.with_name(str(Mark.mine("scored")))
    try:
        folder = _at_the_workers(spark, model.folder)
        _predict(frame, folder, model.inputs, model.outputs).write.parquet(f"file:{staged}")
        rows = spark.read.parquet(f"file:{staged}").count()
        staged.rename(target)
    except (PySparkException, Py4JJavaError) as error:
        raise _refusal(source, error) or error from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return Scored(rows=rows, output=str(target), seconds=round(time.monotonic() - started, 3))


def _absolute(source: str) -> str:
    """Spark's own process may stand in another folder than the caller."""
    return source if "://" in source else str(Path(source).absolute())


def _read(spark: SparkSession, source: str) -> DataFrame:
    url = source if "://" in source else f"file:{source}"  # a cluster's own file system may be another one
    try:
        if source.endswith((".csv", ".csv.gz")):
            options = {"header": True, "inferSchema": True, "ignoreLeadingWhiteSpace": True, "mode": "FAILFAST"}
            # such a file is read by one task
            options["multiLine"] = leaves_quotes_open(spark, [url])
            return spark.read.options(**options, **QUOTES).csv(url)
        return spark.read.parquet(url)
    except (PySparkException, Py4JJavaError) as error:
        if refused := _refusal(source, error):
            raise refused from error
        told = workers.cause(error)[:LONGEST_CAUSE]
        raise BadData.at(source, f"cannot be read as a table ({told}); give a Parquet folder or a .csv") from error


def _refusal(source: str, error: Exception) -> Refusal | None:
    """What is wrong with a row that the model could not read, or with the cluster; None when something else broke."""
    if workers.is_given_up(error):
        return BadEnvironment.at("spark cluster", workers.GONE)
    said = next((found[1] for one in _SAID if (found := one.search(str(error)))), None)
    if said is None and _MALFORMED.search(str(error)):
        said = "a row has other values than the header and the rows before it; look for a delimiter too many or too few"
    return BadData.at(source, said) if said else None


def _at_the_workers(spark: SparkSession, folder: Path) -> Callable[[], str]:
    """Tells on a worker where the model's folder is: here, or unpacked from an archive that came along."""
    if spark.sparkContext.master.startswith("local"):
        here = str(folder)
        return lambda: here
    name = f"model-{uuid.uuid4().hex}"
    # every later job of the session asks for it on workers that do not have it yet, so it stays until the end
    packing = tempfile.mkdtemp(prefix="millstream-")
    atexit.register(shutil.rmtree, packing, ignore_errors=True)
    packed = shutil.make_archive(f"{packing}/{name}", "zip", folder)
    spark.sparkContext.addArchive(f"{Path(packed).as_uri()}#{name}")
    return lambda: SparkFiles.get(name)


def _predict(frame: DataFrame, folder: Callable[[], str], inputs: dict[str, str], outputs: dict[str, str]) -> DataFrame:
    added = [StructField(name, _TYPES[kind]) for name, kind in outputs.items()]
    schema = StructType([*frame.schema.fields, *added])
    names = list(inputs)

    def pieces(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        import mlflow  # on the worker, once a partition

        model: Any = mlflow.pyfunc.load_model(folder())
        for piece in frames:
            if len(piece):
                found = model.predict(piece[names])
                yield piece.assign(**{name: list(found[name]) for name in outputs})

    return in_pandas(frame, pieces, schema)
