"""Errors with location, finding and remedy.

Each class carries the exit code of the command (0 and 1 are not errors: passed, and below the pass mark).
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel


class Fault(BaseModel, frozen=True, extra="forbid"):
    """A single fault: `where` is a file with its line, a shard or a setting; `message` has finding and remedy."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class Refusal(Exception):
    """Base of errors that stop work before or during it, with all faults at once."""

    exit_code: ClassVar[int]

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults

    @classmethod
    def at(cls, where: object, message: str) -> Refusal:
        """An error with a single fault."""
        return cls(Fault(where=str(where), message=message))

    @classmethod
    def unless_empty(cls, faults: Iterable[Fault]) -> None:
        """Raise one error with all `faults`, if there are any."""
        found = tuple(faults)
        if found:
            raise cls(*found)

    @property
    def answer(self) -> dict[str, Any]:
        """The error as plain values, for machine-readable output."""
        faults = [fault.model_dump() for fault in self.faults]
        return {"error": type(self).__name__, "faults": faults, "ok": False, "exit": self.exit_code}

    def __reduce__(self) -> tuple[type[Refusal], tuple[Fault, ...]]:
        # keeps the faults of an exception pickled across processes (Spark worker, spawned rank)
        return type(self), self.faults


class WrongRecipe(Refusal):
    """The command or the recipe is invalid."""

    exit_code = 2


class BadData(Refusal):
    """Data are missing, corrupt or refused."""

    exit_code = 3


class BadEnvironment(Refusal):
    """Something in the environment is missing or full: Java, disk, the tracking server."""

    exit_code = 4


class TrainingFailed(Refusal):
    """Training failed: NaN loss, out of memory."""

    exit_code = 5


class Stopped(Exception):
    """Training was stopped by a signal; its state is in `checkpoint`."""

    def __init__(self, number: int, checkpoint: Path) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; state saved in {checkpoint}")
        self.number = number
        self.checkpoint = checkpoint
        self.exit_code = 128 + number


class Ended(Exception):
    """Work ended in other processes, which have reported why; carries their answer and exit code."""

    def __init__(self, answer: dict[str, Any], exit_code: int) -> None:
        super().__init__(str(answer.get("error", f"ended with {exit_code}")))
        self.answer = answer
        self.exit_code = exit_code


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C: libraries that clean up after the one do so after the other."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes and contexts (`__cause__`, `__context__`), nearest first.

    Each once, since chains can be cyclic.
    """
    left = [error] if error is not None else []
    seen: set[int] = set()
    while left:
        current = left.pop(0)
        if id(current) not in seen:
            seen.add(id(current))
            yield current
            left += [cause for cause in (current.__cause__, current.__context__) if cause is not None]


def interrupt_of(error: BaseException | None) -> KeyboardInterrupt | None:
    """The KeyboardInterrupt (Ctrl-C or SIGTERM) in the chain of an error, if any."""
    return next((one for one in causes(error) if isinstance(one, KeyboardInterrupt)), None)
