"""The frame that follows a sequence, and sequences that are generated frame by frame.

Axes: B rows, T frames, C values of a frame.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"next": "Array(double)"}
    """Probability of each value of the frame after the last one that is not empty: padding at the end is not read."""
    generated: ClassVar = {"frames": "Array(double)"}
    """Values 0 and 1 of all frames, flattened frame by frame."""
    steps: int
    """T"""
    values: int
    """C"""

    def predict(self, network: Any, *inputs: Any) -> Columns:
        (frames_BTC,) = inputs
        place_T = torch.arange(1, frames_BTC.shape[1] + 1, device=frames_BTC.device)
        lengths_B = ((frames_BTC != 0).any(dim=2) * place_T).amax(dim=1).clamp(min=1)
        scores_BTC, _ = network.each_step(frames_BTC, lengths_B)
        last_BC = scores_BTC[torch.arange(len(lengths_B), device=lengths_B.device), lengths_B - 1]
        return {"next": list(as_numpy(torch.sigmoid(last_BC).double()))}

    @torch.no_grad()
    def generate(self, network: Any, count: int, seed: int) -> Columns:
        """Each frame is drawn given those before it; the frame before the first one is empty."""
        device = next(network.parameters()).device
        generator = torch.Generator().manual_seed(seed)
        frame_B1C, state, frames = torch.zeros(count, 1, self.values, device=device), None, []
        for _ in range(self.steps):
            scores_B1C, state = network.each_step(frame_B1C, None, state)
            # drawn on the host: the same on any device
            draw_B1C = torch.rand(count, 1, self.values, generator=generator).to(device)
            frame_B1C = (draw_B1C < torch.sigmoid(scores_B1C)).to(scores_B1C.dtype)
            frames.append(frame_B1C)
        return {"frames": list(as_numpy(torch.cat(frames, dim=1).flatten(start_dim=1).double()))}
