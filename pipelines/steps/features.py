"""Derived columns, each computed by a Spark SQL expression over a row or a window of rows."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import BaseModel, Field, field_validator
from pyspark.sql import functions as F

from millstream.pipelines.checks.static_leakage import LOOK_BACK
from millstream.pipelines.spark.frames import escaped
from millstream.pipelines.sql import expressions
from millstream.pipelines.sql.expressions import refused_word, unreadable
from millstream.pipelines.sql.formulas import formula_of
from millstream.pipelines.table import Derived, DerivedColumns, Doubt, Learned, Place, Reach, Reached, Roles, Table
from millstream.tracking.dataset.records import Column, Computed, Meaning, Role, Served
from millstream.tracking.errors import BadData, Fault

_DTYPES = {"double": "float64", "long": "int64", "string": "string"}


class Feature(BaseModel, frozen=True, extra="forbid"):
    expression: str = Field(description="Spark SQL over the columns; window functions are allowed")
    type: Literal["double", "long", "string"] = Field("double", description="type of the new column")
    role: Role = Field("input", description="what a network does with the column")
    unit: str = Field("", description="unit of the values")
    nullable: bool = Field(
        False,
        exclude_if=lambda nullable: not nullable,
        description="whether a null result is allowed, for `impute` or `encode` to handle later",
    )

    @field_validator("expression")
    @classmethod
    def _plain(cls, expression: str) -> str:
        if word := refused_word(expression):
            raise ValueError(f"{word!r} has no place in a feature; compute it from columns and values")
        return expression

    @property
    def value(self) -> str:
        return f"CAST({self.expression} AS {self.type.replace('long', 'bigint')})"

    def column(self, name: str) -> Column:
        meaning: Meaning = "category" if self.type == "string" else "number"
        return Column(name=name, dtype=_DTYPES[self.type], role=self.role, meaning=meaning, unit=self.unit)


class Features(BaseModel, frozen=True, extra="forbid"):
    """Adds the columns. A null result is an error, reported with its count, unless the column is a key or `nullable`.

    | amount | add: {cents: {expression: amount * 100, type: long}} -> | amount | cents |
    |   1.25 |                                                         |   1.25 |   125 |
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "any"
    served: ClassVar[Served] = "replayed"
    train_only: ClassVar[bool] = False
    lazy: ClassVar[bool] = True

    add: dict[str, Feature] = Field(
        min_length=1, description="name: its expression, which may use the features before it"
    )

    @property
    def looks_around(self) -> bool:
        return any(expressions.has_window(feature.expression) for feature in self.add.values())

    def reaches(self, before: Reached) -> dict[str, Reach]:
        """The features that read later rows or whole groups; a window with an ORDER BY reads earlier rows alone."""
        known, reaching = dict(before), dict[str, Reach]()
        for name, feature in self.add.items():
            read = [known[other] for other in _read_of(set(known), expressions.names_in(feature.expression))]
            looks_ahead = expressions.looks_ahead(feature.expression) or any(one.looks_ahead for one in read)
            groups = (*expressions.groups_in(feature.expression), *(group for one in read for group in one.groups))
            if looks_ahead or groups:
                known[name.lower()] = reaching[name] = Reach(feature.role, looks_ahead, groups)
        return reaching

    def leaks(self, roles: Roles, derived: DerivedColumns) -> list[str]:
        """Leakage: an input computed from the target of its own row, and a window over the rows of every split.

        The target of earlier rows may be read. A column computed from it that is read through another window may return
        to its own row, as by `lead` after `lag`, so that this counts as leakage.
        """
        own, _ = self._followed(roles, derived)
        makers = {name.lower(): f"{name} (of the step {how.step} before)" for name, how in derived.items()}
        leaks = []
        for name, feature in self.add.items():
            if expressions.reads_all_rows(feature.expression):
                message = "a window without PARTITION BY and ORDER BY, or by constants, reads the rows of every split"
                leaks.append(f"{name}: {message}; {LOOK_BACK}")
            if name in own and feature.role == "input":
                read = ", ".join(makers.get(other, other) for other in own[name])
                advice = "read it some rows or days back (lag, ... PRECEDING), or give the feature another role"
                leaks.append(f"{name}: is computed from the target {read} of its own row; {advice}")
        return leaks

    def derives(self, roles: Roles, derived: DerivedColumns) -> DerivedColumns:
        """The features computed from the target, of their own row or of others."""
        own, earlier = self._followed(roles, derived)
        return {name: Derived("features", is_delayed=name in earlier) for name in (*own, *earlier)}

    def _followed(self, roles: Roles, derived: DerivedColumns) -> tuple[dict[str, list[str]], list[str]]:
        """The features computed from the target of their own row, with the columns they read it from; and those
        computed from the target of earlier rows alone."""
        now = {name.lower() for name, role in roles.items() if role == "target"}
        now |= {name.lower() for name, how in derived.items() if not how.is_delayed}
        delayed = {name.lower() for name, how in derived.items() if how.is_delayed}
        own, earlier = dict[str, list[str]](), []
        for name, feature in self.add.items():
            expression = feature.expression
            read = _read_of(now, expressions.own_names_in(expression))
            read += _read_of(delayed, expressions.names_in_windows(expression))
            if read:
                own[name] = read
                now.add(name.lower())
            elif _read_of(now | delayed, expressions.names_in(expression)):
                earlier.append(name)
                delayed.add(name.lower())
        return own, earlier

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def computed(self, table: Table) -> dict[str, Computed]:
        formulas = dict[str, Computed]()
        for name, feature in self.add.items():
            scalars = {column.name: column for column in table.columns if column.layout == "scalar"}
            formula = formula_of(table.frame, feature.value, scalars)
            if formula is not None and feature.role in ("input", "key"):
                reads = tuple(scalars[read] for read in sorted(formula.inputs))
                formulas[name] = Computed(formula=formula, role=feature.role, reads=reads, nullable=feature.nullable)
            table = table.replacing(table.frame.withColumn(name, F.expr(feature.value)), feature.column(name))
        return formulas

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData with every expression that cannot be computed, and for a column that exists already."""
        faults: list[Fault] = []
        for name, feature in self.add.items():
            where = f"step features, {name!r}"
            try:
                table.check_new(where, name)
            except BadData as error:
                faults.extend(error.faults)
                continue
            if problem := unreadable(table.frame, feature.value):
                faults.append(Fault(where=where, message=f"{feature.expression}: {problem}"))
                continue
            table = table.replacing(table.frame.withColumn(name, F.expr(feature.value)), feature.column(name))
        BadData.unless_empty(faults)
        message = "null in {rows} rows; use coalesce, or nullable: true and `impute` after the split"
        doubts = [
            Doubt(f"step features, {name!r}", F.expr(f"{escaped(name)} IS NULL"), message)
            for name, feature in self.add.items()
            if feature.role != "key" and not feature.nullable
        ]
        return replace(table, doubts=(*table.doubts, *doubts))


def _read_of(derived: set[str], names: set[str]) -> list[str]:
    """The columns computed from the target that are read."""
    return sorted(derived if expressions.EVERYTHING in names else derived & names)
