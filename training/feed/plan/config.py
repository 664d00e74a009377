"""Recipe fields of reading a split: the order of batches, the engine, memory."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

Engine = Literal["petastorm", "arrow"]
Memory = Literal["auto", "cached", "streamed"]
Sampling = Literal["each", "weighted"]
Order = Literal["shuffled", "contiguous"]
MIB = 1 << 20
MOST_MIB = 1 << 40
"""Upper bound whose bytes still fit a 64-bit integer."""


class Reading(BaseModel, frozen=True, extra="forbid"):
    """The order depends on `order`, `seed` and `batch_size`, and if it is shuffled on `lanes`, `window_mib`, `sampling`
    and `bucket_batches`."""

    seed: int = Field(0, ge=0, description="random seed")
    batch_size: int = Field(128, ge=1, description="samples in a global batch, over all ranks")
    lanes: int | None = Field(
        None, ge=1, description="lanes of the feed; default: the largest of 8, 4, 2, 1 that divides the batch size"
    )
    order: Order = Field(
        "shuffled",
        description="shuffled; contiguous: each slot of a batch continues the sequence of the same slot of the last "
        "batch, for a recurrent state that is carried on (data with the step `window`)",
    )
    window_mib: float = Field(
        256, gt=0, le=MOST_MIB, description="shuffle window of the feed, in MiB; a split that fits is fully permuted"
    )
    sampling: Sampling = Field(
        "each",
        description="each: every train row once per epoch; weighted: rows sampled in proportion to their weight, which "
        "the loss then ignores (an estimator always uses each row once, with its weight)",
    )
    bucket_batches: int = Field(
        0,
        ge=0,
        description="length bucketing: batches within which sequences are sorted by length to save padding; 0: off",
    )
    engine: Engine | None = Field(
        None,
        description="Parquet reader; default: petastorm if installed and able to read the column names, else arrow",
    )
    memory: Memory = Field("auto", description="cached: keep the decoded split in memory; auto: if it fits cache_mib")
    cache_mib: float = Field(2048, ge=0, le=MOST_MIB, description="memory per host for a cached split, in MiB")

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        excluded = {"sampling: weighted": self.sampling == "weighted", "bucket_batches": self.bucket_batches > 0}
        for name, is_set in excluded.items():
            if self.order == "contiguous" and is_set:
                raise ValueError(f"order: contiguous keeps sequences whole, and {name} does not; leave one of them out")
        return self

    @property
    def window_bytes(self) -> int:
        return int(self.window_mib * MIB)

    @property
    def cache_bytes(self) -> int:
        return int(self.cache_mib * MIB)
