"""No-op profiler and precision plugin that remove Lightning's per-hook overhead, which slows small networks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.profilers import PassThroughProfiler

_NOTHING = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Records no times. Lightning enters a profiler context some forty times a step, each creating a generator."""

    def profile(self, action_name: str) -> Any:
        return _NOTHING


class PlainPrecision(Precision):
    """Steps in float32, without hooks between loss and step: `descend` does its own clipping and checks."""

    def optimizer_step(  # type: ignore[override]  # as Lightning's own narrows that of Fabric
        self, optimizer: Any, model: Any, closure: Callable[[], Any], **named: Any
    ) -> Any:
        return optimizer.step(closure=closure, **named)
