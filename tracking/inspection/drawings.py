"""Inline images (PNG) and plots (SVG) for the report page. They contain no text from the data.

Axes: C colours (or channels of a series), H rows of pixels, W columns, T time steps.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from millstream.tracking.inspection.spread import Spread

MASK = (255, 96, 0)
MOST_CURVES = 8
POINTS = 240
WIDTH, HEIGHT = 260, 76
WIDE, LANE = 330, 26


def image_markup(image_CHW: NDArray[Any], low: float, high: float, mask_HW: NDArray[Any] | None = None) -> Markup:
    """An `img` of an image in which `low` to `high` map to black to white, with the mask overlaid where it is not 0."""
    colours = image_CHW[:3] if len(image_CHW) >= 3 else np.repeat(image_CHW[:1], 3, axis=0)
    shares = np.clip((colours.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
    pixels_HWC = (shares.transpose(1, 2, 0) * 255).round()
    if mask_HW is not None:
        veiled = 0.45 * pixels_HWC + 0.55 * np.array(MASK)
        pixels_HWC = np.where((mask_HW != 0)[..., None], veiled, pixels_HWC)
    return _image(pixels_HWC.astype(np.uint8))


def curves(series_TC: NDArray[Any]) -> Markup:
    """The first channels over time, stacked, each scaled from its own minimum to its maximum."""
    lines, count = [], min(MOST_CURVES, series_TC.shape[1])
    height = LANE * count
    for at in range(count):
        values = series_TC[:: max(1, len(series_TC) // POINTS), at].astype(np.float64)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        y = LANE * (at + 1) - 3 - (values - low) / max(high - low, 1e-12) * (LANE - 6)
        x = np.linspace(2, WIDE - 2, len(values))
        points = " ".join(f"{one:.1f},{other:.1f}" for one, other in zip(x, y, strict=True) if np.isfinite(other))
        lines.append(Markup('<polyline class="line c{}" points="{}"/>').format(at, points))
    return Markup('<svg class="curve" width="{0}" height="{1}" viewBox="0 0 {0} {1}">{2}</svg>').format(
        WIDE, height, Markup("").join(lines)
    )


def roll(series_TK: NDArray[Any]) -> Markup:
    """An `img` of a many-channel series as a heat map: time from left to right, the first channel at the bottom."""
    low, high = float(np.nanmin(series_TK)), float(np.nanmax(series_TK))
    shown = series_TK[:: max(1, len(series_TK) // (2 * POINTS))].T[::-1]
    return image_markup(shown[None], low, high)


def histogram(spreads: Mapping[str, Spread]) -> Markup:
    """Histogram of shares of rows: bars for the first split, lines for the others, all with the first split's bins."""
    first = next(iter(spreads.values()))
    tallest = max(max(_shares(spread)) for spread in spreads.values())
    width = (WIDTH - 4) / len(first.bins)
    drawn = [
        Markup('<rect class="bar s0" x="{:.2f}" y="{:.1f}" width="{:.2f}" height="{:.1f}"/>').format(
            2 + at * width,
            HEIGHT - share / tallest * (HEIGHT - 4),
            max(0.8, width - 0.6),
            share / tallest * (HEIGHT - 4),
        )
        for at, share in enumerate(_shares(first))
    ]
    for number, other in list(enumerate(spreads.values()))[1:]:
        steps = [
            f"{2 + (at + edge) * width:.1f},{HEIGHT - share / tallest * (HEIGHT - 4):.1f}"
            for at, share in enumerate(_shares(other))
            for edge in (0, 1)
        ]
        drawn.append(Markup('<polyline class="line s{}" points="{}"/>').format(number, " ".join(steps)))
    return Markup('<svg class="histogram" viewBox="0 0 {} {}">{}</svg>').format(WIDTH, HEIGHT, Markup("").join(drawn))


def bar(share: float, number: int = 0) -> Markup:
    """A bar filled to this share."""
    filled = Markup('<rect class="bar s{}" x="0" y="0" width="{:.2f}" height="10"/>').format(number, 100 * share)
    return Markup('<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none">{}</svg>').format(filled)


def stacked(shares: Sequence[float]) -> Markup:
    """A stacked bar with segments of these shares."""
    starts = np.cumsum([0.0, *shares])
    parts = [
        Markup('<rect class="bar s{}" x="{:.3f}" y="0" width="{:.3f}" height="10"/>').format(
            at, 100 * start, 100 * share
        )
        for at, (start, share) in enumerate(zip(starts, shares, strict=False))
    ]
    return Markup('<svg class="stacked" viewBox="0 0 100 10" preserveAspectRatio="none">{}</svg>').format(
        Markup("").join(parts)
    )


def _shares(spread: Spread) -> list[float]:
    total = max(1, sum(spread.bins))
    return [count / total for count in spread.bins]


def _image(pixels_HWC: NDArray[np.uint8]) -> Markup:
    out = io.BytesIO()
    Image.fromarray(pixels_HWC).save(out, "PNG", optimize=True)
    source = base64.b64encode(out.getvalue()).decode()
    kind = "pixels" if max(pixels_HWC.shape[:2]) < 64 else "photo"
    return Markup('<img class="{}" alt="" src="data:image/png;base64,{}">').format(kind, source)
