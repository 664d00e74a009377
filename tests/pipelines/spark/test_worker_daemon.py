"""What Spark's Python workers import from, and what they are spared."""

import sys
from pathlib import Path

import pyspark
import pytest

from millstream.pipelines.spark.worker_daemon import without_archives

INSTALLED = str(Path(pyspark.__file__).parent.parent)


def test_archives_are_left_out_where_pyspark_is_installed_too():
    assert without_archives(["", "a/pyspark.zip", INSTALLED, "b/core.jar", "c"]) == ["", INSTALLED, "c"]


def test_all_stays_where_pyspark_is_in_an_archive_alone(tmp_path):
    search = ["a/pyspark.zip", str(tmp_path)]
    assert without_archives(search) == search


@pytest.mark.spark
def test_before_a_task_no_worker_reads_an_archive_again(spark):
    def looked(rows):
        import gc

        import pyspark

        yield [place for place, finder in sys.path_importer_cache.items() if type(finder).__name__ == "zipimporter"]
        yield pyspark.__file__
        yield gc.get_freeze_count() > 10_000

    context = spark.sparkContext
    context.parallelize([0], 1).mapPartitions(looked).collect()  # only now the places of this session are added
    assert context.parallelize([0], 1).mapPartitions(looked).collect() == [[], pyspark.__file__, True]


@pytest.mark.spark
def test_a_package_that_a_session_adds_is_found(spark, tmp_path):
    module = tmp_path / "added_later.py"
    module.write_text("ANSWER = 42\n")
    spark.sparkContext.addPyFile(str(module))

    def answer(rows):
        import added_later

        yield added_later.ANSWER

    assert spark.sparkContext.parallelize([0], 1).mapPartitions(answer).collect() == [42]
