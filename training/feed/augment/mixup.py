"""Mixup on the fly: mixes each train sample with another, for a `mixup` step with `where: feed`.

Source: Zhang et al. 2018, arXiv 1710.09412. Differs from it: the partner is drawn per sample from the same lane and
window, not from the batch; so it does not depend on the number of ranks. Axis: S slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from millstream.tracking.augmentations.mix import between, is_mixable
from millstream.tracking.augmentations.op import generator_of
from millstream.tracking.dataset.records import Step
from millstream.tracking.errors import BadData
from millstream.tracking.seeds import key
from millstream.training.feed.augment.contract import Slots
from millstream.training.feed.plan.batch_order import Rows
from millstream.training.feed.read.columns import Block
from millstream.training.feed.read.windows import Stored


@dataclass(frozen=True)
class Mixing:
    """`number` is the index among the layers."""

    alpha: float
    number: int
    text: None = None

    def over(self, stored: Stored, slots: Slots) -> Stored:
        is_sample_S = np.array([one is not None for one in slots.ids_S])
        others = [np.flatnonzero((slots.lanes_S == lane) & is_sample_S) for lane in range(int(slots.lanes_S.max()) + 1)]

        def mixed(some: slice | Rows) -> tuple[Tensor, ...]:
            wanted = np.arange(len(slots.ids_S))[some]
            partners, shares = self._drawn(wanted, others, slots)
            pairs = zip(stored(some), stored(partners), strict=True)
            return tuple(torch.from_numpy(between(own.numpy(), other.numpy(), shares)) for own, other in pairs)

        return mixed

    def _drawn(self, wanted: Rows, others: Sequence[Rows], slots: Slots) -> tuple[Rows, NDArray[np.float64]]:
        """Partner slot and own weight of each slot; an empty slot, or the only one of its lane, is left unmixed."""
        partners, shares = wanted.copy(), np.ones(len(wanted))
        for at, slot in enumerate(wanted.tolist()):
            lane = others[slots.lanes_S[slot]]
            if slots.ids_S[slot] is None or len(lane) < 2:
                continue
            draw = generator_of(key(slots.seed, "mixup in feed", slots.epoch, slots.ids_S[slot], self.number))
            shares[at] = draw.beta(self.alpha, self.alpha)
            # any of the others: its own index is skipped
            own, other = int(np.searchsorted(lane, slot)), int(draw.integers(len(lane) - 1))
            partners[at] = lane[other + (other >= own)]
        return partners, shares


def mixing_of(step: Step, blocks: Sequence[Block], number: int) -> Mixing:
    """The mixup layer of a step. Raises BadData for a column whose values cannot be interpolated."""
    columns = (column for block in blocks for column in block.field.columns)
    odd = sorted({column.name for column in columns if not is_mixable(column)})
    if odd:
        message = f"{odd}: nothing is between two of them; encode them with method: onehot before it"
        raise BadData.at("step mixup", message)
    return Mixing(float(step.config["alpha"]), number)
