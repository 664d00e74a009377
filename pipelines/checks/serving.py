"""How a served model applies a step: what its class declares, checked against what it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.pipelines.spark.frames import named
from millstream.pipelines.table import Deriving, Place, Step, Table
from millstream.tracking.dataset.records import Column, Served, Serving
from millstream.tracking.errors import BadData
from millstream.tracking.recipe import plugins
from millstream.tracking.serving.replay import TRANSFORMS


def undeclared(name: str, step: type) -> Iterator[str]:
    """The declarations that the class of a step lacks."""
    for field, kind in (("place", Place), ("served", Served)):
        if getattr(step, field, None) not in get_args(kind):
            yield f"its class declares no {field}; expected one of {', '.join(get_args(kind))}"
    if getattr(step, "served", None) == "replayed" and name not in plugins.names(TRANSFORMS):
        yield f"is served: replayed, and there is no {TRANSFORMS}.{name} that does"


def serving(name: str, step: Step, before: Table, after: Table) -> Serving:
    """The serving entry of the manifest. Raises BadData for a step that declares `same` and changed inputs."""
    if step.served == "replayed":
        computed = step.computed(before) if isinstance(step, Deriving) else {}
        made = {column.name for column in after.columns if before.column(column.name) is None}
        left = sorted(made - computed.keys()) if isinstance(step, Deriving) else []
        return Serving(does="replayed", computed=computed, brought=tuple(left))
    changed = _changed(before.columns, after.columns)
    if step.served == "brought":
        return Serving(does="brought", brought=tuple(one for one in changed if after.column(one) is not None))
    changed = changed or _changed_values(before, after)
    if changed:
        message = f"changes the inputs {changed} and declares served: same; a model would be served other values"
        raise BadData.at(f"step {name}", f"{message}: declare replayed or brought")
    return Serving(does="same")


def _changed(before: Sequence[Column], after: Sequence[Column]) -> list[str]:
    """The input columns that were added, removed or changed in schema."""
    one, other = ({column.name: column for column in columns if column.role == "input"} for columns in (before, after))
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _changed_values(before: Table, after: Table) -> list[str]:
    """The input columns in which a row, matched by sample_id, has another value than before."""
    names = [column.name for column in before.columns if column.role == "input"]
    if not names or _is_handed_on(before.frame, after.frame, names):
        return []
    one, other = (
        table.frame.select(
            "sample_id", *(F.xxhash64(value.isNull(), value).alias(f"{side}{at}") for at, value in enumerate(values))
        )
        for side, table in (("one", before), ("other", after))
        if (values := [named(name) for name in names])
    )
    differ = (F.count_if(F.col(f"one{at}") != F.col(f"other{at}")) for at in range(len(names)))
    counts = one.join(other, "sample_id").agg(*differ).collect()[0]
    return [name for name, count in zip(names, counts, strict=True) if count]


def _is_handed_on(before: DataFrame, after: DataFrame, names: Sequence[str]) -> bool:
    """Whether the columns are certainly unchanged, so that no row has to be compared.

    Spark assigns a computed column a new expression id. Only a union keeps the ids of its first side.
    """
    plans = [frame._jdf.queryExecution().analyzed() for frame in (before, after)]
    one, other = map(_numbers, plans)
    return all(one[name] == other[name] for name in names) and not _has_union(plans[1], plans[0])


def _numbers(plan: Any) -> dict[str, Any]:
    output = plan.output()
    columns = (output.apply(at) for at in range(output.size()))
    return {column.name(): column.exprId().id() for column in columns}


def _has_union(plan: Any, until: Any) -> bool:
    """Whether a plan has a union above the plan `until`, from which it is built."""
    if plan.equals(until):
        return False
    if plan.getClass().getSimpleName() == "Union":
        return True
    children = plan.children()
    return any(_has_union(children.apply(at), until) for at in range(children.size()))
