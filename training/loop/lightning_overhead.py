"""Parts of Lightning without what nobody listens to here: a small network's step would wait for it at every hook."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.profilers import PassThroughProfiler

_NOTHING = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Notes no times. Lightning asks for a context some forty times a step, and would make a generator of each."""

    def profile(self, action_name: str) -> Any:
        return _NOTHING


class PlainPrecision(Precision):
    """Steps in float32, with no hook between a loss and its step: our own step clips and looks by itself."""

    def optimizer_step(  # type: ignore[override]  # as Lightning's own narrows that of Fabric
        self, optimizer: Any, model: Any, closure: Callable[[], Any], **named: Any
    ) -> Any:
        return optimizer.step(closure=closure, **named)
