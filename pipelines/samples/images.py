"""What the images of a sample are: their sizes, and whether they have colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".jfif"]
)
LEAST_SIDE, MOST_SIDE, USUAL_SIDE = 8, 64, 32
NEARLY_ALL = 0.95


@dataclass(frozen=True)
class Images:
    """`side` in pixels is a size to read all images at, `channels` 1 for grey and 3 for colours."""

    tried: int
    read: int
    side: int
    channels: int
    shown: str
    doubt: str
    first_bad: str


def images_in(paths: Iterable[Path]) -> Images:
    """The sizes and colours of images; one that cannot be read is counted."""
    sizes: Counter[tuple[int, int]] = Counter()
    grey, bad, tried = 0, [], 0
    for path in paths:
        tried += 1
        try:
            with Image.open(path) as image:
                sizes[image.size] += 1
                grey += _is_grey(image)
        except Exception:  # each decoder has its own errors
            bad.append(path.name)
    if not sizes:
        return Images(tried, 0, USUAL_SIDE, 3, "", "", bad[0] if bad else "")
    smaller = sorted(min(size) for size in sizes.elements())[sizes.total() // 2]
    side = max(LEAST_SIDE, smaller if smaller <= USUAL_SIDE else MOST_SIDE if smaller >= MOST_SIDE else USUAL_SIDE)
    (width, height), most = sizes.most_common(1)[0]
    shown = (
        f"images of {width}x{height}"
        if most == sizes.total()
        else f"images of {len(sizes)} sizes, most {width}x{height}"
    )
    doubts = []
    if bad:
        doubts.append(f"{len(bad)} of {tried} images cannot be read, as {bad[0]!r}: they are quarantined")
    if max(width, height) > 1.5 * min(width, height):
        doubts.append("the images are no squares: their centre is read; `resize: stretch` or `pad` reads all of them")
    channels = 1 if grey >= NEARLY_ALL * sizes.total() else 3
    return Images(tried, sizes.total(), side, channels, shown, "; ".join(doubts), bad[0] if bad else "")


def _is_grey(image: Image.Image) -> bool:
    """Whether an image has no colours, whatever its format: at a few pixels."""
    if image.mode in ("1", "L", "LA", "I", "I;16", "F"):
        return True
    small = image.convert("RGB").resize((8, 8))
    spread = np.ptp(np.asarray(small, dtype=np.int16), axis=2)
    return bool(spread.max() <= 2)
