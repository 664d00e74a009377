"""Images of environments, drawn from observations without a window or game engine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


class CartPole:
    """A cart on a track with a pole on it (Barto, Sutton & Anderson 1983)."""

    WIDTH, HEIGHT = 240, 160
    REACH = 2.4
    """half the length of the track, in metres"""
    POLE = 1.0
    """length in metres"""

    def rendered(self, observation: NDArray[Any]) -> NDArray[np.uint8]:
        """Image (H, W, 3) of (cart position in m, its speed, pole angle in rad clockwise, its speed)."""
        scale = self.WIDTH / (2.2 * self.REACH)
        ground = self.HEIGHT * 0.75
        x = self.WIDTH / 2 + float(observation[0]) * scale
        angle = float(observation[2])
        tip = (x + math.sin(angle) * self.POLE * scale * 1.6, ground - math.cos(angle) * self.POLE * scale * 1.6)
        image = Image.new("RGB", (self.WIDTH, self.HEIGHT), "white")
        draw = ImageDraw.Draw(image)
        draw.line((0, ground, self.WIDTH, ground), fill="grey", width=1)
        draw.rectangle((x - 16, ground - 9, x + 16, ground + 9), fill="#0072B2")
        draw.line((x, ground, *tip), fill="#D55E00", width=6)
        return np.asarray(image)


CARTPOLE = CartPole()
