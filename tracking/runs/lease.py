"""Lease of a run: shows in the tracking store who works on it, for hosts that do not see each other's locks.

The holder renews the tag `lease`. Where a run's state lies in a store, so that any host can resume it, each process
that takes the run records a param `lease.N` first, N counting up: MLflow accepts one value for a param, so of several
that take a run at the same time one succeeds, and an earlier holder that wakes up finds that it has lost the run. The
tag `lease.released` is the N that was released last.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from millstream.tracking.errors import BadEnvironment
from millstream.tracking.runs.mlflow_store import Client
from millstream.tracking.runs.store_errors import INVALID, StoreError
from millstream.tracking.settings import LONGEST_LEASE_S

TAG, RELEASED = "lease", "lease.released"
FIRST = "taken"
"""Token of the process that started a run."""
RENEWALS = 6
"""Renewals in the time of a lease."""
LONG_OVER = 10
"""A lease that was not renewed for so many times its length is over, without watching it."""
_PARAM = re.compile(r"lease\.(\d+)")


class Holder(BaseModel, frozen=True, extra="forbid"):
    """The process that works on a run; times are UTC by the clock of its host."""

    host: str
    pid: int
    since: AwareDatetime
    renewed: AwareDatetime
    seconds: float = Field(gt=0, le=LONGEST_LEASE_S)
    """Length of the lease, from its last renewal."""

    @classmethod
    def here(cls, seconds: float) -> Holder:
        now = _now()
        return cls(host=socket.gethostname(), pid=os.getpid(), since=now, renewed=now, seconds=seconds)

    @classmethod
    def of(cls, run: Run) -> Holder | None:
        """None for a run that nobody holds."""
        with suppress(ValidationError):
            return cls.model_validate_json(run.data.tags.get(TAG, ""))
        return None

    @property
    def age_s(self) -> float:
        """Seconds since the last renewal, by the clocks of both hosts."""
        return (_now() - self.renewed).total_seconds()

    @property
    def is_long_over(self) -> bool:
        """Whether the lease has ended so long ago that differences of clocks do not matter."""
        return self.age_s > LONG_OVER * self.seconds

    def __str__(self) -> str:
        return f"host {self.host} (process {self.pid}, lease renewed {self.renewed:%Y-%m-%d %H:%M:%S} UTC)"


def newest(run: Run) -> tuple[int, str]:
    """Number and token of the process that took the run last."""
    taken = {int(match[1]): value for name, value in run.data.params.items() if (match := _PARAM.fullmatch(name))}
    last = max(taken, default=1)
    return last, taken.get(last, FIRST)


def is_released(run: Run) -> bool:
    """Whether the process that took the run last has released it, or is the one that started it, which shows its lease
    from the beginning."""
    last = newest(run)[0]
    return last == 1 or run.data.tags.get(RELEASED) == str(last)


def release(client: Client | MlflowClient, run: Run) -> None:
    """Release the lease of a process that took the run last; it can be taken at once."""
    last = newest(run)[0]
    if last > 1:
        client.set_tag(run.info.run_id, RELEASED, str(last))
    if TAG in run.data.tags:
        client.delete_tag(run.info.run_id, TAG)


def record(client: Client, run: Run) -> str | None:
    """Take a run in the state in which it was read; returns the token, or None if another process has taken it since.

    Raises StoreError if the store does not answer, or refuses it for another reason.
    """
    number = newest(run)[0] + 1
    token = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex[:8]}"
    try:
        client.log_param(run.info.run_id, f"lease.{number}", token)
    except StoreError as error:
        if error.code == INVALID:  # it has that param
            return None
        raise
    return token


def is_over(client: Client, run: Run, seconds: float, say: Callable[[str], None]) -> bool:
    """Whether the lease of a run has ended; waits until it has, or was renewed. `seconds` is the length of one that is
    not shown, because its process ended, or has not come so far.

    It has ended when it was released, or not renewed for its length by the clocks of both hosts, nor for a third of
    it while this process watched: so a clock that is wrong by less than that takes a run from nobody.
    """
    held = Holder.of(run)
    if held.is_long_over if held else is_released(run):
        return True
    wait_s = min(held.seconds, max(held.seconds / 3, held.seconds - held.age_s)) if held else seconds
    holder = f"held by {held}" if held else f"being taken by {newest(run)[1]}"
    say(f"run {run.info.run_id} is {holder}; waiting for at most {wait_s:.0f} s until that lease ends")
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        time.sleep((held.seconds if held else seconds) / RENEWALS / 4)
        now = client.get_run(run.info.run_id)
        renewed = Holder.of(now)
        if newest(now) != newest(run) or (renewed and renewed != held):
            return False
        if renewed is None and is_released(now):
            return True
    return True


class Lease:
    """The lease that this process holds on a run; a thread renews it until it is released."""

    def __init__(self, client: Client, run_id: str, holder: Holder, token: str) -> None:
        self.client, self.run_id, self.token = client, run_id, token
        self.is_lost = False
        """Whether another process has taken the run."""
        self._holder = holder
        self._renewed_s = _clock_s()
        self._one_at_a_time = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="lease", daemon=True).start()

    def check(self) -> None:
        """Raises BadEnvironment if the run was lost, looking at the store if the lease was not renewed in time.

        A store that does not answer is not an error: nobody can take a run without it.
        """
        if _clock_s() - self._renewed_s > self._holder.seconds:
            with suppress(StoreError):
                self._renew()
        self.refuse_if_lost()

    def refuse_if_lost(self) -> None:
        """Raises BadEnvironment if the run was lost, as far as is known."""
        if self.is_lost:
            message = f"another process has taken it, since its lease was not renewed for {self._holder.seconds:.0f} s"
            raise BadEnvironment.at(f"run {self.run_id}", f"{message}; this one ends, and changes nothing in the run")

    def release(self) -> None:
        """End the lease: the run can be taken at once."""
        with self._one_at_a_time:
            if not self._ended.is_set():
                self._ended.set()
                with suppress(StoreError):  # it runs out
                    run = self.client.get_run(self.run_id)
                    if newest(run)[1] == self.token:
                        release(self.client, run)

    def stop(self) -> None:
        """Renew it no more: it runs out."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._holder.seconds / RENEWALS) and not self.is_lost:
            with suppress(StoreError):  # tried again
                self._renew()

    def _renew(self) -> None:
        with self._one_at_a_time:
            if self._ended.is_set():
                return
            if newest(self.client.get_run(self.run_id))[1] != self.token:
                self.is_lost = True
                return
            self._holder = self._holder.model_copy(update={"renewed": _now()})
            self.client.set_tag(self.run_id, TAG, self._holder.model_dump_json())
            self._renewed_s = _clock_s()


def _now() -> datetime:
    return datetime.now(UTC)


def _clock_s() -> float:
    """Seconds that pass also while the host is suspended, where the system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
