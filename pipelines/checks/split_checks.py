"""Leakage checks of a dataset version, run before it is published.

The manifest keeps the figures of each check. A failed check refuses the version; duplicates are reported, not
refused: real data have them, and only the owner knows whether they are leakage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Protocol

from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F

from millstream.pipelines.ops.near_duplicates import Near, comparable, links
from millstream.pipelines.spark.frames import named
from millstream.pipelines.table import Table
from millstream.tracking.dataset.manifest import SPLITS, Check
from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.errors import BadData, Fault
from millstream.tracking.serving.text_normalization import alike

DAY_S = 86_400
SAME = Near(alike=0.98)
"""Near-duplicates: the same image encoded again, resized or brightened."""
COMPARED = 30_000
"""Largest number of rows that are always checked for near-duplicate images or texts: hashing takes seconds."""

_UNIQUE = "sample ids are unique"
_SAMPLES = "no sample or parent in two splits"
_MADE = "nothing synthetic outside train"
_PARENTS = "what is synthetic was made from train"
_FITS = "statistics are fitted on train"
_GROUPS = "no group in two splits"
_TIMES = "splits follow each other in time"
_EQUAL = "equal inputs in two splits"
_ALIKE = "classes that look alike"
_NEAR = "nearly equal inputs in train and another split"

MEND = {
    _UNIQUE: "rows share an id; give the source a key that names a row, or `validate` that its values are unique",
    _SAMPLES: "rows of one sample stand in two splits; split by a key that keeps them together",
    _MADE: "a step made rows of valid or test; rows are made of train, after the split",
    _PARENTS: "rows were made from rows of valid or test; make them of train, after the split",
    _FITS: "a step learned from rows outside train; a step's fit gets the train rows alone",
    _GROUPS: "the source's own splits part rows of one key; split by: hash, or leave the key out",
    _TIMES: "the splits overlap in time, or stand nearer than the gap; split by: time with this gap",
}
"""The remedy in the error of each check that can fail."""

_PARTNER = r'"(?:neighbour|partner)": ("(?:[^"\\]|\\.)*")'


@dataclass(frozen=True)
class Fit:
    """The number of rows that a step was fitted on, 0 if it learned nothing, and the number of train rows."""

    step: str
    seen: int
    train: int


def fits(done: Iterable[Fit]) -> Check:
    """Checks that each step that learned something was fitted on all train rows and no others."""
    learned = {f"{at}. {one.step}": one for at, one in enumerate(done, 1) if one.seen}
    figures = {name: {"seen": one.seen, "train": one.train} for name, one in learned.items()}
    return Check(name=_FITS, ok=all(one.seen == one.train for one in learned.values()), figures=figures)


class Splitting(Protocol):
    """What the checks read from the step that splits; `gap` is in days."""

    @property
    def by(self) -> str: ...
    @property
    def key(self) -> str | None: ...
    @property
    def time(self) -> str | None: ...
    @property
    def gap(self) -> float: ...
    def now(self, table: Table) -> SparkColumn: ...


def splitting(table: Table, split: Splitting) -> tuple[Check, ...]:
    """Checks of rows just split: no group in two splits, and splits in order of time."""
    checks = []
    if split.key is not None and table.column(split.key) is not None:
        checks.append(_groups(table, split.key))
    if split.by == "time":
        checks.append(_times(table, split))
    return tuple(checks)


def leakage(table: Table) -> tuple[Check, ...]:
    """Checks of the rows to publish: unique ids, a sample and its copies in one split, made rows in and from train."""
    first, last = F.min("split").alias("first"), F.max("split").alias("last")
    outside = F.expr("count_if(op IS NOT NULL AND split <> 'train') AS outside")
    family = F.coalesce(F.min("parent_id"), "sample_id").alias("family")
    ids = table.frame.groupBy("sample_id").agg(
        F.count("*").alias("n"), first, last, family, F.count("op").alias("made"), outside
    )
    sums = (F.sum(name).alias(name) for name in ("made", "outside"))
    families = ids.groupBy("family").agg(
        F.min("first").alias("first"), F.max("last").alias("last"), F.expr("count_if(n > 1) AS doubled"), *sums
    )
    row = families.agg(F.sum("doubled"), F.expr("count_if(first <> last)"), F.sum("made"), F.sum("outside")).collect()[
        0
    ]
    doubled, shared, made, synthetic = (value or 0 for value in row)
    parents = _parents(table) if made else {"train": 0, "elsewhere": 0, "left out since": 0}
    return (
        Check(name=_UNIQUE, ok=doubled == 0, figures={"doubled": doubled}),
        Check(name=_SAMPLES, ok=shared == 0, figures={"shared": shared}),
        Check(name=_MADE, ok=synthetic == 0, figures={"synthetic": synthetic}),
        Check(name=_PARENTS, ok=parents["elsewhere"] == 0, figures=parents),
        Check(name=_EQUAL, ok=True, figures={"contents": _equal_inputs(table)}),
        *(Check(name=_NEAR, ok=True, figures=_near(table, name)) for name in comparable(table)),
    )


def alike_classes(columns: Iterable[Column], steps: Iterable[Step]) -> Iterator[Check]:
    """The classes of a column that differ only in case, blanks or look-alike characters: perhaps one class."""
    names = {column.name: column.classes for column in columns if column.classes}
    encoded = (item for step in steps if step.name == "encode" for item in step.learned.items())
    names |= {name: tuple(learned["means"]) for name, learned in encoded if "means" in learned}
    for name, classes in names.items():
        if groups := alike(classes):
            such = [" ~ ".join(map(repr, group)) for group in groups[:3]]
            figures = {"column": name, "classes": sum(map(len, groups)), "such as": such}
            yield Check(name=_ALIKE, ok=True, figures=figures)


def refuse(checks: Iterable[Check]) -> None:
    """Raises BadData with every failed check, its figures and its remedy."""
    failed = [check for check in checks if not check.ok]
    BadData.unless_empty(Fault(where=f"check {one.name}", message=f"{one.figures}; {MEND[one.name]}") for one in failed)


def summary(checks: Iterable[Check]) -> Iterator[str]:
    """The lines to report: the count of passed checks, and each finding of the checks that cannot fail."""
    checks = tuple(checks)
    proofs = [check for check in checks if check.name in MEND]
    yield f"leakage: {sum(check.ok for check in proofs)} of {len(proofs)} checks hold"
    for check in checks:
        if check.name not in MEND and any(value for name, value in check.figures.items() if name != "column"):
            figures = ", ".join(f"{name} {value}" for name, value in check.figures.items())
            yield f"to look at: {check.name}: {figures}"


def _groups(table: Table, key: str) -> Check:
    groups = table.frame.groupBy(named(key)).agg(F.min("split").alias("first"), F.max("split").alias("last"))
    count, shared = groups.agg(F.count("*"), F.expr("count_if(first <> last)")).collect()[0]
    return Check(name=_GROUPS, ok=shared == 0, figures={"key": key, "groups": count, "shared": shared})


def _times(table: Table, split: Splitting) -> Check:
    """Checks that the last time of each split is more than the gap before the first time of the next."""
    now = split.now(table)
    ends_of = {row[0]: (row[1], row[2]) for row in table.frame.groupBy("split").agg(F.min(now), F.max(now)).collect()}
    ends = [ends_of[name] for name in SPLITS if name in ends_of]
    gaps = [start - last for (_, last), (start, _) in pairwise(ends)]
    column = table.column(str(split.time))
    numbers = column is not None and not column.dtype.startswith("datetime64") and column.dtype != "string"
    figures: dict[str, Any] = {
        "time": split.time,
        **{name: list(ends) if numbers else [_iso(end) for end in ends] for name, ends in ends_of.items()},
        "gap asked": f"{split.gap:g} days",
    }
    if gaps:
        figures["least gap"] = min(gaps) if numbers else f"{min(gaps) / 1e6 / DAY_S:.4g} days"
    return Check(name=_TIMES, ok=all(gap > 0 and gap >= split.gap * DAY_S * 1e6 for gap in gaps), figures=figures)


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()


def _parents(table: Table) -> dict[str, int]:
    """Counts of the origins (parent, neighbour, partner) of made rows: in train, elsewhere, or dropped since."""
    made = table.frame.where("op IS NOT NULL")
    # the op is JSON; that of a copy of a copy contains the earlier op
    texts = F.regexp_extract_all("op", F.lit(_PARTNER), F.lit(1))
    partners = F.transform(texts, lambda text: F.get_json_object(F.concat(F.lit('{"id": '), text, F.lit("}")), "$.id"))
    origins = made.select(F.explode(F.array_union(F.array("parent_id"), partners)).alias("origin")).distinct()
    known = table.frame.select(F.col("sample_id").alias("origin"), "split")
    counts = {row[0]: row[1] for row in origins.join(known, "origin", "left").groupBy("split").count().collect()}
    train, gone = counts.pop("train", 0), counts.pop(None, 0)
    return {"train": train, "elsewhere": sum(counts.values()), "left out since": gone}


def _equal_inputs(table: Table) -> int:
    """The number of distinct contents of all input columns that occur in more than one split."""
    inputs = [column for column in table.columns if column.role == "input"]
    if not inputs:
        return 0
    hashed = F.xxhash64(*(part for column in inputs for part in _parts(column))).alias("content")
    contents = table.frame.select(hashed, "split").groupBy("content")
    count: int = (
        contents.agg(F.min("split").alias("first"), F.max("split").alias("last")).where("first <> last").count()
    )
    return count


def _near(table: Table, column: str) -> dict[str, Any]:
    """Counts of validation and test rows with a near-duplicate in train, and an example pair for each split."""
    originals = table.replacing(table.frame.where("op IS NULL"))
    rows = originals.frame.count()
    if rows > COMPARED:
        message = f"{rows:,} rows, and more than {COMPARED:,} are compared by the step decontaminate alone"
        return {"column": column, "left out": message}
    side = F.expr(f"array_position(array{SPLITS!r}, split)")
    pairs = links(originals, column, SAME, side).toPandas()
    twins = pairs.sort_values(["side", "other", "one"]).drop_duplicates("other").groupby("side")
    counts = {SPLITS[side - 1]: int(count) for side, count in twins.size().items()}
    first = [f"{row.other} ~ {row.one}" for row in twins.head(1).itertuples()]
    return {"column": column, **counts, **({"such as": first} if first else {})}


def _parts(column: Column) -> list[SparkColumn]:
    """The hashed parts of a value: also whether it is null and the length of a list, which xxhash64 ignores."""
    value = named(column.name)
    return [value.isNull(), *([F.size(value)] if column.layout == "list" else []), value]
