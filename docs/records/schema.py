"""What a record of a measurement holds: one frozen model for each folder of `docs/records/<page>/<kind>/`.

A field that was not written down when the figure was measured is left out of the file, and is None here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

HERE = Path(__file__).parent


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(Strict):
    """A value of `machines.json`."""

    processor: str
    cores: int = Field(ge=1)
    memory: str
    accelerator: str | None = None
    note: str | None = None


class Figure(Strict):
    """One number."""

    name: str = Field(description="the metric as it is logged (`test/accuracy`), or what was measured")
    value: float | None = None
    unit: str | None = None
    deviation: float | None = Field(None, description="standard deviation over splits or episodes")
    low: float | None = Field(None, description="the lowest of several")
    high: float | None = Field(None, description="the highest of several")
    target: str | None = Field(None, pattern=r"^(>=|<=) -?[\d.]+", description="the pass mark or aim: `>= 0.97`")


class Reference(Figure):
    """A number of somebody else: a publication, another program, a baseline."""

    source: str
    note: str | None = None


class Record(Strict):
    """How a figure was measured."""

    command: str | None = None
    seeds: tuple[int, ...] = ()
    commit: str | None = Field(None, pattern=r"^[0-9a-f]{7,40}$", description="of the code that was measured")
    recorded: str | None = Field(None, description="the commit that first wrote the figure down, with its date")
    machine: str | None = Field(None, description="a key of `machines.json`")
    load: str | None = Field(None, description="what else ran on the machine, threads")
    note: str | None = None


class Run(Record):
    """A recipe from raw files to its model."""

    recipe: str
    data: str
    measured: tuple[Figure, ...]
    how: str | None = Field(None, description="how it was measured, where it is not the test split, once")
    references: tuple[Reference, ...] = ()
    minutes: float | None = None
    repeated: str | None = Field(None, description="what a second run in another home yielded")
    weights: str | None = Field(None, description="SHA-256 over all parameters, its first 12 digits")
    headline: bool = Field(False, description="whether it stands in the README")


class Row(Strict):
    variant: str
    figures: tuple[Figure, ...]


class Study(Record):
    """What several variants of one recipe, or several recipes on one dataset version, reached."""

    study: str
    about: str
    rows: tuple[Row, ...]
    minutes: float | None = None
    conclusion: str | None = None


class Dataset(Record):
    """What `prepare` published."""

    recipe: str
    version: str
    rows: str = Field(description="of train, valid, test")
    seconds: float


class Check(Record):
    """A property that was measured, or the time that a command took."""

    check: str
    result: str


class Choice(Record):
    """How a setting was chosen."""

    recipe: str
    choice: str


class Benchmark(Record):
    """A speed or size, against a target or other programs."""

    area: str
    what: str
    measured: tuple[Figure, ...]
    references: tuple[Reference, ...] = ()


class Attempt(Record):
    """What was tried to make something faster or smaller."""

    area: str
    tried: str
    result: str
    kept: bool


class Fault(Record):
    """A fault that a test brings about."""

    area: str
    fault: str
    must: str = Field(description="what must happen")
    tests: tuple[str, ...] = Field(description="files of tests, from the root of the repository")
    times: str = Field(description="how often `make test` does it")
    soak: str | None = Field(None, description="how often `make soak` does it, where that is more")


class BadInput(Record):
    input: str
    tests: tuple[str, ...]
    cases: str


class Security(Record):
    case: str
    tests: tuple[str, ...] = Field((), description="none where `note` states what checks it")


class Soak(Record):
    """A run of tests in full numbers."""

    what: str
    times: str | None = None
    minutes: str | None = None
    result: str


class Mended(Record):
    """A fault of ours that returned wrong results without an error, or lost work."""

    fault: str
    root: str | None = None
    searched: str | None = Field(None, description="for its like")
    elsewhere: str | None = Field(None, description="where else it stood")
    tests: tuple[str, ...] = ()


R = TypeVar("R", bound=Record)


def read(kind: str, model: type[R]) -> list[R]:
    """The records of `docs/records/<kind>/*.json` in the order of their names."""
    records = []
    for file in sorted((HERE / kind).glob("*.json")):
        try:
            records.append(model.model_validate_json(file.read_text()))
        except ValidationError as error:
            raise SystemExit(f"{file}: {error}") from None
    return records


def machines() -> dict[str, Machine]:
    described = json.loads((HERE / "machines.json").read_text())
    return {key: Machine.model_validate(value) for key, value in described.items()}
