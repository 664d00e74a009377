"""Sets torch's generators to a named place, so that what is drawn next follows from its name."""

from __future__ import annotations

import torch


def seed(value: int) -> None:
    """What `torch.manual_seed` does for the generators that are in use.

    That one also leaves a note, with a traceback, for every kind of device that is not: as dear as a small network's
    step, and kept for ever.
    """
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(value)
