"""What tests save where it is not what they test: `make test-all` and `make soak` go without."""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from py4j.java_gateway import JavaClass, JavaMember, JavaPackage, JVMView

ARE_TAKEN = not (os.environ.get("MILLSTREAM_TEST_ALL") or os.environ.get("MILLSTREAM_SOAK"))

SPARK = {
    # a job of 40 rows is mostly the start of its tasks, compiling what runs once, and describing plans to nobody:
    # a warm prepare of digits takes .9 CPU seconds of Java in place of 2.4
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.ui.explainMode": "simple",
}


def remember_names(patch: pytest.MonkeyPatch) -> None:
    """Look up a name of Java once: py4j looks for `functions` at each `F.col`, and Java searches 300 jars for it, in a
    tenth of its time in small jobs."""
    for kind in (JVMView, JavaPackage, JavaClass):
        patch.setattr(kind, "__getattr__", _remembered(kind.__getattr__))


def _remembered(look: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def found(owner: Any, name: str) -> Any:
        value = look(owner, name)
        if isinstance(value, JavaPackage | JavaClass | JavaMember):
            owner.__dict__[name] = value
        return value

    return found


def copy_schema(patch: pytest.MonkeyPatch, template: Path) -> None:
    """Let MLflow migrate one SQLite store, and copy that one to fresh ones: .8 CPU seconds each."""
    from mlflow.store.db import utils

    migrate = utils._initialize_tables

    def initialize(engine: Any) -> None:
        file = engine.url.database
        if engine.url.get_backend_name() != "sqlite" or not file or not utils._is_empty_database(engine):
            migrate(engine)
            return
        if template.exists():
            # whatever stands in the way of the copy is to stand in MLflow's way
            with suppress(sqlite3.Error), closing(sqlite3.connect(template)) as kept, closing(_open(file)) as made:
                kept.backup(made)
                return
        migrate(engine)
        with closing(_open(file)) as made, closing(sqlite3.connect(template)) as kept:
            made.backup(kept)

    patch.setattr(utils, "_initialize_tables", initialize)
    patch.setattr(utils, "_get_latest_schema_revision", functools.cache(utils._get_latest_schema_revision))


def _open(file: str) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=0)


class Blank:
    """A figure of one pixel."""

    def savefig(self, file: Path, **options: Any) -> None:
        Image.new("L", (1, 1)).save(file)


def log_blank_figures(patch: pytest.MonkeyPatch) -> None:
    """Draw the figures of a run and log one pixel of them: rendering is half of a small training's time."""
    from millstream.tracking.runs.run import Run

    log = Run.figure
    patch.setattr(Run, "figure", lambda run, name, figure: log(run, name, Blank()))  # type: ignore[arg-type]
