"""What a search varies: fields of a recipe, each in a range or among values, as a cube of unit sides.

A strategy knows the cube alone: a point has a coordinate in 0 .. 1 for each field, whose value follows from it.
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
"""Significant ones of a number that is tried, so that a command can say it."""
RATE = "fit.optimizer.lr"
AROUND = 10.0
"""How many times smaller and larger than the recipe's the learning rates are that are tried where nothing is said."""
Point = tuple[float, ...]


class Range(BaseModel, frozen=True, extra="forbid"):
    """Numbers from `low` to `high`; whole ones where both are whole."""

    low: int | float = Field(description="least value")
    high: int | float = Field(description="greatest value")
    log: bool = Field(False, description="every factor is as likely, not every difference")

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"expected low < high, found {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log: expected low > 0, found {self.low}")
        return self

    def at(self, share: float) -> int | float:
        """The value at a share of the way, 0 .. 1."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        # every whole number has as much room as another
        low, high = (self.low - 0.5, self.high + 0.5) if whole else (self.low, self.high)
        found = math.exp(math.log(low) + share * math.log(high / low)) if self.log else low + share * (high - low)
        if whole:
            return min(max(round(found), int(self.low)), int(self.high))
        return min(max(float(f"{found:.{DIGITS}g}"), float(self.low)), float(self.high))

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.low, self.high


class Values(BaseModel, frozen=True, extra="forbid"):
    """A few values, of which none is nearer to another."""

    values: tuple[Any, ...] = Field(min_length=2, description="what is tried")

    def at(self, share: float) -> Any:
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values


class Written(BaseModel, frozen=True, extra="forbid"):
    """The section `search` of a recipe: {fit.optimizer.lr: {low: 0.01, high: 0.1}, fit.init: [he, zeros]}."""

    fields: dict[str, Range | Values] = Field(min_length=1)

    @field_validator("fields", mode="before")
    @classmethod
    def _lists_are_values(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            raise ValueError("expected fields, each with {low, high, log} or a list of values")
        wrong = [name for name, one in fields.items() if not isinstance(one, list | dict)]
        if wrong:
            raise ValueError(
                f"{wrong[0]}: expected {{low: ..., high: ..., log: true}} or a list, found {fields[wrong[0]]!r}"
            )
        return {name: {"values": one} if isinstance(one, list) else one for name, one in fields.items()}


@dataclass(frozen=True)
class Space:
    """The fields that vary, and what each of them may be."""

    fields: Mapping[str, Range | Values]

    def values(self, point: Point) -> dict[str, Any]:
        """The fields' values at a point."""
        return {name: one.at(share) for (name, one), share in zip(self.fields.items(), point, strict=True)}

    @property
    def choices(self) -> tuple[int | None, ...]:
        """How many values a field has where they have no order; None for a range."""
        return tuple(len(one.values) if isinstance(one, Values) else None for one in self.fields.values())


def space_of(located: Located, more: Mapping[str, Any]) -> tuple[Space | None, list[Fault]]:
    """What the recipe's `search` and then `more` say; where neither says a thing, the learning rate.

    Or every fault, with where it was written.
    """
    said = {**located.section(SECTION), **more}
    if not said:
        return _usual(located)
    found: dict[str, Range | Values] = {}
    faults = []
    for field, one in said.items():
        written, wrong = config_of(Written, {"fields": {field: one}}, located, SECTION)
        # the error names the way through the models, which nobody has written
        faults += [
            Fault(
                where=f"--over {field}" if field in more else located.where(f"{SECTION}.{field}"), message=fault.message
            )
            for fault in wrong
        ]
        found |= written.fields if written else {}
    return (None if faults else Space(found)), faults


def _usual(located: Located) -> tuple[Space | None, list[Fault]]:
    if str(located.section("network").get("name", "")).startswith("classical/"):
        told = "nothing is said of what varies; say it there, or by --over 'network.depth={low: 2, high: 12}'"
        command = shlex.join(["millstream", "check", *located.words, "--fields"])
        return None, [located.fault(SECTION, f"{told}; `{command}` lists the fields")]
    rate = Fit.model_validate(located.section("fit")).optimizer.lr
    return Space({RATE: Range(low=rate / AROUND, high=rate * AROUND, log=True)}), []
