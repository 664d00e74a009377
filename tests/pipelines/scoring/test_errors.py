"""What a failed job of Spark is reported as: the table's fault, or that of what it ran on."""

from __future__ import annotations

import pytest
from py4j.protocol import Py4JError

from millstream.pipelines.scoring.errors import refusal
from millstream.tracking.errors import BadData, BadEnvironment, Fault

WORKER = """An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "serve.py", line 1, in predict
{}
"""
CASES = {
    "millstream.tracking.errors.BadData: input column 'v': nan in row 3 is no finite number": (
        BadData,
        "input column 'v'",
    ),
    "ValueError: cannot reshape array": (BadData, "cannot reshape"),
    "PIL.UnidentifiedImageError: cannot identify image file": (BadData, "cannot identify"),
    "pyarrow.lib.ArrowInvalid: out of range": (BadData, "out of range"),
    "java.time.DateTimeException: Invalid value for Year": (BadData, "Invalid value"),
    "ModuleNotFoundError: No module named 'torch'": (BadEnvironment, "torch"),
    "MemoryError: Unable to allocate": (BadEnvironment, "Unable to allocate"),
    "java.lang.OutOfMemoryError: Java heap space": (BadEnvironment, "Java heap space"),
    "java.io.IOException: Connection reset by peer": (BadEnvironment, "Connection reset"),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("error", CASES)
def test_an_error_of_values_is_the_tables_and_all_others_are_of_the_environment(error):
    kind, message = CASES[error]
    found = refusal("new.csv", Py4JError(WORKER.format(error)), lambda: [])
    assert type(found) is kind
    assert message in str(found)
    assert str(found).startswith("new.csv: " if kind is BadData else "spark: ")
    assert len(str(found).splitlines()) == 1


@pytest.mark.fault
def test_a_refusal_of_a_worker_keeps_its_kind_and_its_advice():
    error = "millstream.tracking.errors.BadEnvironment: s3://bucket/out: cannot be written; make the bucket first"
    found = refusal("new.csv", Py4JError(WORKER.format(error)), lambda: [])
    assert type(found) is BadEnvironment
    assert str(found) == "new.csv: s3://bucket/out: cannot be written; make the bucket first"


@pytest.mark.bad_input
def test_files_that_cannot_be_read_are_named_before_anything_else():
    fault = Fault(where="part-1.parquet", message="column 'v' is damaged")
    found = refusal("new", Py4JError("java.lang.ArrayIndexOutOfBoundsException: Index 9"), lambda: [fault])
    assert (type(found), str(found)) == (BadData, "part-1.parquet: column 'v' is damaged")


@pytest.mark.bad_input
@pytest.mark.parametrize("ends", [" Details:", " SQLSTATE: KD001"])
def test_a_file_that_spark_names_is_named(ends):
    error = f"SparkException: Encountered error while reading file file:///my data/a.b.orc.{ends}\nat x"
    found = refusal("new", Py4JError(f"{error}\nCaused by: java.io.IOException: Malformed ORC\n"), lambda: [])
    assert (type(found), found.faults[0].where) == (BadData, "/my data/a.b.orc")
    assert "Malformed ORC" in str(found)


@pytest.mark.fault
def test_a_full_disk_is_left_to_the_command():
    assert refusal("new", Py4JError("java.io.IOException: No space left on device"), lambda: []) is None
