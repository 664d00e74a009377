"""A table of PostgreSQL, prepared by ranges of a column, each over a connection of its own."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.journey.command import completed
from tests.pipelines.readers.postgres import BINARIES, DRIVERS, PASSWORD, USER, Postgres

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BINARIES and DRIVERS), reason="PostgreSQL or its driver for Java is not on this machine"),
]

ROWS = 50_000
TABLE = f"""
CREATE TABLE "Sales" AS SELECT
  'k' || at AS "Key", at::bigint * at % 99991 AS "Number", timestamp '2020-01-01' + at * interval '1 hour' AS sold,
  CASE WHEN at % 10 = 0 THEN NULL ELSE at / 7.0::float8 END AS pay, at % 2 AS y
FROM generate_series(1, {ROWS}) at
"""


@pytest.fixture(scope="module")
def postgres():
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))  # where its own user gets to
    server = Postgres(folder)
    try:
        server.execute(TABLE, 'CREATE VIEW sales AS SELECT * FROM "Sales"')
        server.execute("ALTER SYSTEM SET log_statement TO 'all'", "SELECT pg_reload_conf()")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def test_ranges_give_the_version_and_the_digests_of_one_connection(postgres, tmp_path):
    found = {}
    for name, ranges in (("one", None), ("number", "Number"), ("time", "sold")):
        database = {"url": postgres.url, "table": "sales", "snapshot": "now"}
        if ranges:
            database["ranges"] = {"column": ranges, "count": 5}
        columns = {
            "Key": {"type": "string", "role": "key"},
            "Number": {"type": "long"},
            "pay": {"type": "double", "nullable": True},
            "y": {"type": "long", "role": "target"},
        }
        source = {"name": "table", "database": database, "columns": columns, "key": "Key"}
        steps = [{"split": {"by": "hash", "test": 0.2}}, {"impute": {"columns": ["pay"], "method": "mean"}}]
        recipe = tmp_path / f"{name}.yaml"
        recipe.write_text(json.dumps({"about": "sales", "data": {"source": source, "steps": steps}}))
        variables = {
            "MILLSTREAM_JDBC_USER": USER,
            "MILLSTREAM_JDBC_PASSWORD": PASSWORD,
            "PYSPARK_SUBMIT_ARGS": f"--driver-class-path {DRIVERS[-1]} pyspark-shell",
        }
        answered = completed(tmp_path / name, "prepare", str(recipe), **variables)
        assert sum(answered["rows"].values()) == ROWS
        manifest = json.loads((Path(answered["path"]) / "manifest.json").read_text())
        found[name] = (manifest["version"], {split: one["digest"] for split, one in manifest["splits"].items()})
        log = (postgres.folder / "log").read_text()
        assert PASSWORD not in log + json.dumps(manifest)
        if ranges:
            assert len(set(re.findall(rf'FROM sales +WHERE +("{ranges}" .*)', log))) == 5
    assert found["one"] == found["number"] == found["time"]
