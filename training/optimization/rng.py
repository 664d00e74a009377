"""Sets torch's generators to a named place, so that what is drawn next follows from its name."""

from __future__ import annotations

import torch


def seed(value: int) -> None:
    """What `torch.manual_seed` does for the generators that are in use.

    That one also writes down a traceback for every kind of device that is not, to tell it should the device come: here
    a GPU is in use before the first batch, or never.
    """
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(value)
