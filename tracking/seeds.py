"""Keyed randomness: every random draw follows from names, never from the order in which things happen."""

from __future__ import annotations

import hashlib


def key(*parts: object) -> int:
    """A number in 0 .. 2**64-1 that follows from `parts` alone, the same in every process and language.

    The first eight bytes, little endian, of the SHA-256 of the parts' texts joined by "|".
    """
    text = "|".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
