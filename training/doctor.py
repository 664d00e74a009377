"""Whether this machine can train: torch, a GPU, the feed's engines."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import torch

from tracking.doctor import Check


def checks() -> Iterator[Check]:
    yield Check(name="torch", ok=True, found=f"{torch.__version__}, {torch.get_num_threads()} threads")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none; training runs on the processor"
    yield Check(name="gpu", ok=True, found=gpu)
    engines = "petastorm and arrow" if importlib.util.find_spec("petastorm") else "arrow (petastorm is not installed)"
    yield Check(name="feed", ok=True, found=engines)
