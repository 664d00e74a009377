"""A failed job reports its cause in one line: the data with file and column, or what it ran on."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from py4j.protocol import Py4JNetworkError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from millstream.pipelines.spark import failed_jobs
from millstream.tracking.errors import BadData, BadEnvironment, WrongRecipe

COLUMNS = {
    "id": {"type": "string", "role": "key"},
    "v": {"type": "double"},
    "y": {"type": "string", "role": "target"},
}


def recipe(folder, *steps):
    """A table of 3,000 rows, and a recipe that prepares it."""
    rows = range(3000)
    table = pa.table(
        {"id": [f"r{at}" for at in rows], "v": [at / 7 for at in rows], "y": ["ab"[at % 2] for at in rows]}
    )
    (folder / "a folder").mkdir()
    pq.write_table(table, folder / "a folder" / "größe.parquet")
    source = {
        "name": "table",
        "files": [{"name": str(folder / "a folder" / "größe.parquet")}],
        "format": "parquet",
        "key": "id",
        "columns": COLUMNS,
    }
    data = {"name": "mine", "source": source, "steps": [*steps, {"split": {"by": "hash", "test": 0.2}}]}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"about": "a test", "data": data}))
    return folder / "mine.yaml", folder / "a folder" / "größe.parquet"


@pytest.mark.spark
@pytest.mark.bad_input
def test_a_damaged_page_is_reported_with_its_file_and_column(spark, here, tmp_path):
    file, table = recipe(tmp_path)
    content, page = bytearray(table.read_bytes()), pq.ParquetFile(table).metadata.row_group(0).column(1)
    content[page.data_page_offset : page.data_page_offset + 40] = bytes(40)
    table.write_bytes(content)
    refused = here(tmp_path / "home", "prepare", str(file), code=3)
    (fault,) = refused["faults"]
    assert fault["where"] == str(table)
    assert fault["message"].startswith("column 'v': cannot be read to its end")
    assert "Traceback" not in refused["stderr"]
    assert "\tat " not in refused["stderr"]


@pytest.mark.spark
@pytest.mark.bad_input
def test_a_value_that_cannot_be_worked_with_is_reported_as_data(spark, here, tmp_path):
    file, table = recipe(tmp_path, {"filter": {"keep": "y rlike concat('(', y)"}})
    (fault,) = here(tmp_path / "home", "prepare", str(file), code=3)["faults"]
    assert fault["where"] == str(table)
    assert "PatternSyntaxException: Unclosed group" in fault["message"]


@pytest.mark.spark
def test_what_our_own_code_refuses_on_a_worker_stays_what_it_is(spark):
    def refuse(rows):
        raise WrongRecipe.at("a place", "is wrong; mend it")
        yield from rows

    with pytest.raises(WrongRecipe) as refused, failed_jobs.translated("somewhere"):
        spark.range(1).mapInPandas(refuse, "id long").collect()
    assert [(one.where, one.message) for one in refused.value.faults] == [("a place", "is wrong; mend it")]


@pytest.mark.spark
def test_what_no_code_foresaw_on_a_worker_is_reported_by_its_last_line(spark):
    def fail(rows):
        raise KeyError("nosuch")
        yield from rows

    with pytest.raises(RuntimeError, match="KeyError: 'nosuch'"), failed_jobs.translated("somewhere"):
        spark.range(1).mapInPandas(fail, "id long").collect()


@pytest.mark.spark
@pytest.mark.fault
def test_a_worker_that_is_killed_is_the_environments_fault(spark):
    def end(rows):
        import os

        os._exit(9)
        yield from rows

    with pytest.raises(BadEnvironment, match="a worker's Python was killed"), failed_jobs.translated("somewhere"):
        spark.range(1).mapInPandas(end, "id long").collect()


@pytest.mark.spark
def test_a_number_out_of_range_is_reported_as_data(spark):
    with pytest.raises(BadData, match="somewhere: a value cannot be worked with"), failed_jobs.translated("somewhere"):
        spark.range(1).select(F.expr("sequence(1, 3000000000)")).collect()


@pytest.mark.fault
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Py4JNetworkError("Answer from Java side is empty"), "Java does not answer any more"),
        (PySparkException("java.io.IOException: No space left on device"), "the disk is full"),
        (PySparkException("java.lang.OutOfMemoryError: Java heap space"), "Java has no memory left"),
        (PySparkException("Job 3 cancelled as part of cancellation of all jobs"), "no worker has been there"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_a_failure_of_what_a_job_ran_on_is_reported_as_the_environments(error, message):
    with pytest.raises(BadEnvironment, match=message), failed_jobs.translated("somewhere"):
        raise error
