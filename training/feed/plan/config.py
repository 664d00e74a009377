"""How a split is read: what the order of batches follows from, and by which means they are brought."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Engine = Literal["petastorm", "arrow"]
Memory = Literal["auto", "cached", "streamed"]
Sampling = Literal["each", "weighted"]
MIB = 1 << 20
MOST_MIB = 1 << 40
"""More than there is; its bytes are still a whole number of 64 bits."""


class Reading(BaseModel, frozen=True, extra="forbid"):
    """The order follows from `seed`, `batch_size`, `lanes`, `window_mib`, `sampling` and `bucket_batches` alone."""

    seed: int = Field(0, ge=0, description="what every random draw follows from")
    batch_size: int = Field(128, ge=1, description="samples in a global batch, over all ranks")
    lanes: int | None = Field(
        None, ge=1, description="lanes of the feed; default: the largest of 8, 4, 2, 1 that divides"
    )
    window_mib: float = Field(
        256, gt=0, le=MOST_MIB, description="shuffle window of the feed; a split that fits is permuted as a whole"
    )
    sampling: Sampling = Field(
        "each",
        description="each train row once an epoch, or as often as its weight says, which the loss then leaves out; "
        "what is fitted at once draws nothing: it takes each row once, with its weight",
    )
    bucket_batches: int = Field(
        0, ge=0, description="batches among which sequences of like length change places to save padding; 0: none"
    )
    engine: Engine | None = Field(
        None, description="reader; default: petastorm where installed and it reads the columns' names"
    )
    memory: Memory = Field("auto", description="whether a split is held decoded; auto: if it fits")
    cache_mib: float = Field(2048, ge=0, le=MOST_MIB, description="memory for a split that is held decoded, a host")

    @property
    def window_bytes(self) -> int:
        return int(self.window_mib * MIB)

    @property
    def cache_bytes(self) -> int:
        return int(self.cache_mib * MIB)
