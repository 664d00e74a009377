"""Keyed randomness: each random draw is seeded by names, never by the order of execution."""

from __future__ import annotations

import hashlib


def key(*parts: object) -> int:
    """A seed in 0 .. 2**64-1 derived from `parts` alone, the same in every process and language.

    The first eight bytes, little endian, of the SHA-256 of the parts' texts joined by "|".
    """
    text = "|".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
