"""The feeds of a dataset version, as Lightning asks for them."""

from __future__ import annotations

import pytorch_lightning as lightning

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.dataset.version import Dataset
from millstream.training.config.fit import Fit
from millstream.training.distributed.ranks import Ranks
from millstream.training.feed.feed import Feed


class Splits(lightning.LightningDataModule):
    """One feed a split, each rank its lanes; `train` is shuffled, `valid` and `test` come in stored order."""

    def __init__(self, dataset: Dataset, signature: Signature, fit: Fit) -> None:
        super().__init__()
        self.dataset = dataset
        self.signature = signature
        self.fit = fit
        self._feeds: dict[str, Feed] = {}

    def feed(self, split: str) -> Feed:
        """The feed of a split for this rank, made once."""
        if split not in self._feeds:
            self._feeds[split] = self.make(split, shuffle=split == "train")
        return self._feeds[split]

    def make(self, split: str, *, shuffle: bool, place: Ranks | None = None) -> Feed:
        """A new feed of a split, in the planned order or as it is stored; of this rank, which the trainer knows."""
        place = place or Ranks()
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (place.rank, place.ranks)
        whole = (self.dataset, split, self.signature, self.fit)
        return Feed(*whole, rank=rank, ranks=ranks, shuffle=shuffle, shared=ranks > 1)

    def train_dataloader(self) -> Feed:
        return self.feed("train")

    def val_dataloader(self) -> Feed:
        return self.feed("valid")

    def test_dataloader(self) -> Feed:
        return self.feed("test")
