"""Runs the steps on a table, and records what each learned and did, with its leakage checks.

Rows are cached between steps. Consecutive steps that only add columns run in a single pass over the rows; a following
step that selects rows (`chooses`) runs in the same pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.pipelines.checks import split_checks, static_leakage
from millstream.pipelines.checks.serving import serving
from millstream.pipelines.spark.caching import cached
from millstream.pipelines.steps.split import Split
from millstream.pipelines.table import DerivedColumns, Learned, Planning, Rows, Step, Table
from millstream.tracking.dataset import records
from millstream.tracking.dataset.manifest import Check
from millstream.tracking.errors import BadData, Fault

Say = Callable[[str], None]


@dataclass(frozen=True)
class Done:
    """The record of a step and its leakage checks."""

    record: records.Step
    fit: split_checks.Fit
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Flow:
    """A table between two steps, and its row counts by split. It is cached if `kept` is the table's frame.

    `memory` is the persisted frame: the table's own, or the one that a source persisted. `derived` has the columns that
    the steps so far have computed from the target.
    """

    table: Table
    kept: DataFrame | None = None
    rows: Rows | None = None
    memory: DataFrame | None = None
    derived: DerivedColumns = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table) -> Flow:
        """The flow of a source's table. Raises BadData for failed deferred checks of the source."""
        if table.held is None:
            return cls(table).settled()
        rows = table.counted()
        checked = replace(table, held=None, doubts=(), rows=sum(rows.values()))
        return cls(checked, table.frame, rows, table.held)

    def settled(self) -> Flow:
        """This flow with its rows cached and counted. Raises BadData for failed deferred checks of the steps."""
        if self.table.frame is self.kept:
            return self
        frame = cached(self.table.frame)
        rows = replace(self.table, frame=frame).counted()
        if self.memory is not None:
            self.memory.unpersist()
        table = replace(self.table, frame=frame, doubts=(), rows=sum(rows.values()))
        return Flow(table, frame, rows, frame, self.derived)

    def through(self, name: str, step: Step, seed: int, say: Say) -> tuple[Flow, Done]:
        """The flow after a step, which is fitted on train; a `train_only` step is applied to train alone."""
        started = time.monotonic()
        is_lazy = getattr(step, "lazy", False)
        before = self if is_lazy or getattr(step, "chooses", False) else self.settled()
        table, rows = before.table, before.rows or {}
        roles = {column.name: column.role for column in table.columns}
        BadData.unless_empty(
            Fault(where=f"step {name}", message=message)
            for message in static_leakage.of_step(step, roles, self.derived)
        )
        train = replace(table, frame=table.frame.where("split = 'train'"))
        learned = step.fit(train, seed)
        fit = split_checks.Fit(name, seen=train.frame.count() if learned else 0, train=rows.get("train", 0))
        for line in step.plan(learned) if isinstance(step, Planning) else ():
            say(line)
        after = replace(
            before,
            table=_looked_at(table, _applied(step, table, train, learned, seed)),
            derived=static_leakage.derived_after(step, roles, self.derived),
        )
        if not is_lazy:
            after = after.settled()
        record = records.Step(
            name=name,
            version=step.version,
            config=step.model_dump(mode="json"),  # type: ignore[attr-defined]
            learned=learned,
            rows_in=sum(rows.values()),
            rows_out=sum((after.rows or {}).values()),
            seconds=round(time.monotonic() - started, 3),
            served=serving(name, step, table, after.table),
        )
        if record.served is not None and record.served.brought:
            say(f"{name}: the caller of a model has to bring {', '.join(record.served.brought)}")
        duration = f"{record.seconds:.1f} s" if after.kept is after.table.frame else "with the next step"
        say(f"{name}: {record.rows_in:,} rows in, {record.rows_out:,} out, {duration}")
        return after, Done(record, fit, split_checks.splitting(after.table, step) if isinstance(step, Split) else ())


def _applied(step: Step, table: Table, train: Table, learned: Learned, seed: int) -> Table:
    if not step.train_only:
        return step.apply(table, learned, seed)
    changed = step.apply(train, learned, seed)
    if changed.frame is train.frame:  # a step may change column metadata and no row: keep the cached rows
        return replace(changed, frame=table.frame)
    rest = table.frame.where("split <> 'train'")
    for column, value in getattr(step, "fill", {}).items():
        if column in changed.frame.columns:
            # same type: a union would take the wider one and contradict the manifest
            rest = rest.withColumn(column, F.lit(value).cast(changed.frame.schema[column].dataType))
    return replace(changed, frame=changed.frame.unionByName(rest, allowMissingColumns=True))


def _looked_at(before: Table, after: Table) -> Table:
    """Counts the rows that a step refused now, while the rows they derive from are cached."""
    if after.refused is None or after.refused is before.refused:
        return after
    refused = cached(after.refused)
    refused.count()
    return replace(after, refused=refused)
