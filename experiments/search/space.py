"""Search space: fields of a recipe, each a range or a list of values, mapped to the unit cube.

A strategy sees only the cube: a point has one coordinate in [0, 1] per field, which determines the field's value.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from millstream.tracking.errors import Fault
from millstream.tracking.recipe.schema import Located, config_of
from millstream.training.config.fit import Fit

SECTION = "search"
DIGITS = 4
"""Significant digits of the values, so that a command line reproduces them."""
RATE = "fit.optimizer.lr"
AROUND = 10.0
"""Factor around the recipe's learning rate that bounds the default search space."""
Point = tuple[float, ...]


class Range(BaseModel, frozen=True, extra="forbid"):
    """Numbers from `low` to `high`; integers if both are integers."""

    low: int | float = Field(description="smallest value")
    high: int | float = Field(description="largest value")
    log: bool = Field(False, description="sample uniformly on a logarithmic scale")

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"expected low < high, found {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log: expected low > 0, found {self.low}")
        return self

    def at(self, share: float) -> int | float:
        """The value at the coordinate `share` in [0, 1]."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        # every integer has an equal share of the range
        low, high = (self.low - 0.5, self.high + 0.5) if whole else (self.low, self.high)
        value = math.exp(math.log(low) + share * math.log(high / low)) if self.log else low + share * (high - low)
        if whole:
            return min(max(round(value), int(self.low)), int(self.high))
        return min(max(float(f"{value:.{DIGITS}g}"), float(self.low)), float(self.high))

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.low, self.high


class Values(BaseModel, frozen=True, extra="forbid"):
    """Categorical values, without an order."""

    values: tuple[Any, ...] = Field(min_length=2, description="values to try")

    def at(self, share: float) -> Any:
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values


class Written(BaseModel, frozen=True, extra="forbid"):
    """Section `search` of a recipe: {fit.optimizer.lr: {low: 0.01, high: 0.1}, fit.init: [he, zeros]}."""

    fields: dict[str, Range | Values] = Field(min_length=1)

    @field_validator("fields", mode="before")
    @classmethod
    def _lists_are_values(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            raise ValueError("expected fields, each with {low, high, log} or a list of values")
        wrong = [name for name, given in fields.items() if not isinstance(given, list | dict)]
        if wrong:
            raise ValueError(
                f"{wrong[0]}: expected {{low: ..., high: ..., log: true}} or a list, found {fields[wrong[0]]!r}"
            )
        return {name: {"values": given} if isinstance(given, list) else given for name, given in fields.items()}


@dataclass(frozen=True)
class Space:
    """The varied fields with their ranges or values."""

    fields: Mapping[str, Range | Values]

    def values(self, point: Point) -> dict[str, Any]:
        """Field values at a point of the unit cube."""
        return {name: range_.at(share) for (name, range_), share in zip(self.fields.items(), point, strict=True)}

    @property
    def choices(self) -> tuple[int | None, ...]:
        """Number of values of each categorical field; None for a range."""
        return tuple(len(range_.values) if isinstance(range_, Values) else None for range_ in self.fields.values())


def space_of(located: Located, more: Mapping[str, Any]) -> tuple[Space | None, list[Fault]]:
    """The search space of the recipe's `search`, overridden by `more`; the learning rate when both are empty.

    None with all faults, each with its location.
    """
    ranges = {**located.section(SECTION), **more}
    if not ranges:
        return _usual(located)
    fields: dict[str, Range | Values] = {}
    faults = []
    for field, given in ranges.items():
        written, wrong = config_of(Written, {"fields": {field: given}}, located, SECTION)
        # replace the location: the error has a path through the pydantic models, which is not in the recipe
        faults += [
            Fault(
                where=f"--over {field}" if field in more else located.where(f"{SECTION}.{field}"), message=fault.message
            )
            for fault in wrong
        ]
        fields |= written.fields if written else {}
    return (None if faults else Space(fields)), faults


def _usual(located: Located) -> tuple[Space | None, list[Fault]]:
    if str(located.section("network").get("name", "")).startswith("classical/"):
        message = "no field varies; name one there, or by --over 'network.depth={low: 2, high: 12}'"
        command = shlex.join(["millstream", "check", *located.words, "--fields"])
        return None, [located.fault(SECTION, f"{message}; `{command}` lists the fields")]
    rate = Fit.model_validate(located.section("fit")).optimizer.lr
    return Space({RATE: Range(low=rate / AROUND, high=rate * AROUND, log=True)}), []
