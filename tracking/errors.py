"""What can go wrong, told so that the reader knows where, what was found and what would do.

Each kind carries the exit code of the command (0 and 1 are not faults: done, done under the pass mark).
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel


class Fault(BaseModel, frozen=True, extra="forbid"):
    """One thing that is wrong: `where` is a file with its line, a shard, a setting; `message` says what would do."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class Refusal(Exception):
    """Work that was not begun or not finished, with all of its faults at once."""

    exit_code: ClassVar[int]

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults

    @classmethod
    def at(cls, where: object, message: str) -> Refusal:
        """The refusal for a single fault."""
        return cls(Fault(where=str(where), message=message))

    @classmethod
    def unless_empty(cls, faults: Iterable[Fault]) -> None:
        """Raise one refusal that carries all of `faults`, if there are any."""
        found = tuple(faults)
        if found:
            raise cls(*found)

    @property
    def answer(self) -> dict[str, Any]:
        """What a program is told, as plain values."""
        faults = [fault.model_dump() for fault in self.faults]
        return {"error": type(self).__name__, "faults": faults, "ok": False, "exit": self.exit_code}

    def __reduce__(self) -> tuple[type[Refusal], tuple[Fault, ...]]:
        # an exception that crosses a process boundary (Spark worker, spawned rank) keeps its faults
        return type(self), self.faults


class WrongRecipe(Refusal):
    """The command or the recipe is wrong."""

    exit_code = 2


class BadData(Refusal):
    """Data are missing, corrupt or refused."""

    exit_code = 3


class BadEnvironment(Refusal):
    """Something of the environment is missing or full: Java, disk, the tracking server."""

    exit_code = 4


class TrainingFailed(Refusal):
    """Training broke: a loss that is not a number, no memory."""

    exit_code = 5


class Stopped(Exception):
    """Training was stopped by a signal; its state is in `checkpoint`."""

    def __init__(self, number: int, checkpoint: Path) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; state saved in {checkpoint}")
        self.number = number
        self.checkpoint = checkpoint
        self.exit_code = 128 + number


class Ended(Exception):
    """Work that ended in other processes, which have said why: their answer, and the exit code that goes with it."""

    def __init__(self, answer: dict[str, Any], exit_code: int) -> None:
        super().__init__(str(answer.get("error", f"ended with {exit_code}")))
        self.answer = answer
        self.exit_code = exit_code


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends work as Ctrl-C does: libraries that clean up after the one do so after the other."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, those that it was raised from, and those during whose handling it came: each once, nearest first.

    Each once, since an error can be raised from itself, or from one that came of it.
    """
    left = [error] if error is not None else []
    seen: set[int] = set()
    while left:
        one = left.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [cause for cause in (one.__cause__, one.__context__) if cause is not None]


def interrupt_of(error: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C or SIGTERM that an error is, or during whose cleaning up it came."""
    return next((one for one in causes(error) if isinstance(one, KeyboardInterrupt)), None)
