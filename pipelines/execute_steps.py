"""Takes a table through its steps: what each learned and did, and what shows that it leaked nothing.

Rows are kept in memory from one step to the next. Steps that only add columns are done together, by one pass over the
rows, before the first step that is none, or with it, where that one chooses among the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.pipelines.checks import split_checks, static_leakage
from millstream.pipelines.checks.serving import serving
from millstream.pipelines.steps.split import Split
from millstream.pipelines.table import Learned, Planning, Rows, Step, Table, Telling
from millstream.tracking.dataset import records
from millstream.tracking.dataset.manifest import Check
from millstream.tracking.errors import BadData, Fault

Say = Callable[[str], None]


@dataclass(frozen=True)
class Done:
    """What a step did, and what shows that it leaked nothing."""

    record: records.Step
    fit: split_checks.Fit
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Flow:
    """A table between two steps, and its rows by split. They are in memory where `kept` is the table's frame.

    `memory` is what Spark was told to keep for that: the frame itself, or what a source had kept already. `telling` are
    the columns that the steps so far have computed from the target.
    """

    table: Table
    kept: DataFrame | None = None
    rows: Rows | None = None
    memory: DataFrame | None = None
    telling: Telling = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table) -> Flow:
        """The flow from a source on. Raises BadData for what it left to be looked at."""
        if table.held is None:
            return cls(table).settled()
        rows = table.counted()
        told = replace(table, held=None, doubts=(), rows=sum(rows.values()))
        return cls(told, table.frame, rows, table.held)

    def settled(self) -> Flow:
        """This flow with its rows in memory, and counted. Raises BadData for what a step left to be looked at."""
        if self.table.frame is self.kept:
            return self
        frame = self.table.frame.persist()
        rows = replace(self.table, frame=frame).counted()
        if self.memory is not None:
            self.memory.unpersist()
        table = replace(self.table, frame=frame, doubts=(), rows=sum(rows.values()))
        return Flow(table, frame, rows, frame, self.telling)

    def through(self, name: str, step: Step, seed: int, say: Say) -> tuple[Flow, Done]:
        """The flow after a step. What it learns, it learns from train; a `train_only` step meets no other row."""
        started = time.monotonic()
        is_lazy = getattr(step, "lazy", False)
        before = self if is_lazy or getattr(step, "chooses", False) else self.settled()
        table, rows = before.table, before.rows or {}
        roles = {column.name: column.role for column in table.columns}
        BadData.unless_empty(
            Fault(where=f"step {name}", message=told) for told in static_leakage.of_step(step, roles, self.telling)
        )
        train = replace(table, frame=table.frame.where("split = 'train'"))
        learned = step.fit(train, seed)
        fit = split_checks.Fit(name, seen=train.frame.count() if learned else 0, train=rows.get("train", 0))
        for line in step.plan(learned) if isinstance(step, Planning) else ():
            say(line)
        after = replace(
            before,
            table=_looked_at(table, _applied(step, table, train, learned, seed)),
            telling=static_leakage.telling_after(step, roles, self.telling),
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
        told = f"{record.seconds:.1f} s" if after.kept is after.table.frame else "with the next step"
        say(f"{name}: {record.rows_in:,} rows in, {record.rows_out:,} out, {told}")
        return after, Done(record, fit, split_checks.splitting(after.table, step) if isinstance(step, Split) else ())


def _applied(step: Step, table: Table, train: Table, learned: Learned, seed: int) -> Table:
    if not step.train_only:
        return step.apply(table, learned, seed)
    changed = step.apply(train, learned, seed)
    if changed.frame is train.frame:  # a step may change what columns mean, and no row: then the kept rows stay
        return replace(changed, frame=table.frame)
    rest = table.frame.where("split <> 'train'")
    for column, value in getattr(step, "fill", {}).items():
        if column in changed.frame.columns:
            # of the same type: a union of two would be of the wider one, and not what the manifest says
            rest = rest.withColumn(column, F.lit(value).cast(changed.frame.schema[column].dataType))
    return replace(changed, frame=changed.frame.unionByName(rest, allowMissingColumns=True))


def _looked_at(before: Table, after: Table) -> Table:
    """The rows that a step refused are counted now, while the rows that they come from are in memory."""
    if after.refused is None or after.refused is before.refused:
        return after
    refused = after.refused.persist()
    refused.count()
    return replace(after, refused=refused)
