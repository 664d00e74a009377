"""Translates Spark's analyzed plan of a row-wise expression into a formula that serving computes without Spark."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.tracking.formulas.cells import is_decimal, scale_of
from millstream.tracking.formulas.expressions import COLUMN, LITERAL, Formula

_REPLACED = "org.apache.spark.sql.catalyst.expressions.RuntimeReplaceable"


def formula_of(frame: DataFrame, expression: str, columns: Collection[str]) -> Formula | None:
    """The formula of an expression over `columns` of the frame; None when serving cannot reproduce it.

    That is the case for other rows or columns, and for operators that are not known in `tracking`.
    """
    # only by py4j can Python reach Spark's analyzer
    plan = frame.select(F.expr(expression).alias("value"))._jdf.queryExecution().analyzed()
    value, gateway = plan.expressions().head(), frame.sparkSession.sparkContext._gateway
    if value.getClass().getSimpleName() != "Alias":  # computed by a plan below, from other rows
        return None
    formula = _formula(value.child(), gateway)
    return formula if formula is not None and formula.is_known and formula.inputs.keys() <= set(columns) else None


def _formula(node: Any, gateway: Any) -> Formula | None:
    kind = node.dataType().catalogString()
    if node.foldable():
        return _constant(node.eval(None), kind)
    name = node.getClass().getSimpleName()
    if name == "AttributeReference":
        return Formula(operator=COLUMN, type=kind, value=node.name())
    if is_instance_of(gateway, node, _REPLACED):
        return _formula(node.replacement(), gateway)
    if _is_strict(node):
        return None
    children = node.children()
    parts = [_formula(children.apply(at), gateway) for at in range(children.size())]
    if name == "UnixTimestamp":  # the second argument is a format for strings
        parts = parts[:1]
    known = [part for part in parts if part is not None]
    return Formula(operator=name, type=kind, of=tuple(known)) if len(known) == len(parts) else None


def _constant(value: Any, kind: str) -> Formula | None:
    if value is not None and is_decimal(kind):
        value = int(f"{value.toJavaBigDecimal():.{scale_of(kind)}f}".replace(".", ""))
    elif value is not None and kind == "string":
        value = value.toString()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    is_plain = value is None or isinstance(value, bool | int | float | str)
    return Formula(operator=LITERAL, type=kind, value=value) if is_plain else None


def _is_strict(node: Any) -> bool:
    """Whether an operator has ANSI or TRY semantics, not the legacy ones (overflow wraps, errors are null)."""
    try:
        return str(node.evalMode().toString()) != "LEGACY"
    except Py4JError:  # has no evaluation mode
        return False
