"""Seeds torch's random number generators."""

from __future__ import annotations

import torch


def seed(value: int) -> None:
    """`torch.manual_seed` for the generators in use only.

    `torch.manual_seed` also records a traceback for every device type not yet initialized, to seed it lazily: here a
    GPU is in use before the first batch, or never.
    """
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(value)
