"""Readers of one set of images: Millstream's feed, loops written by hand, and the loaders of others.

Each is two functions: `write` puts the images on disk in the reader's own format (not measured), `epochs` returns one
iterator an epoch, shuffled again in each. An iterator yields batches of B images. Readers of a peer are run
by the Python that has it installed, so imports stand inside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Epoch = Iterator[Any]
BATCH = 256
SHARDS = 64
READY = "ready\n"
"""What a contestant prints when it could begin."""
BYTES = "index_select, bytes"
WINDOW = 8192
"""Images among which readers that shuffle in a buffer do so."""


class Reader(NamedTuple):
    write: Callable[[Path, Images], None]
    epochs: Callable[..., Iterator[Epoch]]
    """Of (folder, images), and for readers that several processes share with `rank` and `ranks`."""


def nothing(folder: Path, images: Images) -> None:
    """Readers from memory need no file."""


def index_select(folder: Path, images: Images, rank: int = 0, ranks: int = 1) -> Iterator[Epoch]:
    """The good loop by hand: one gather a batch from a tensor in memory, made the model's numbers."""
    import torch

    whole = torch.from_numpy(images)
    while True:
        order = torch.randperm(len(whole))[rank::ranks].split(BATCH // ranks)
        yield (torch.index_select(whole, 0, some).to(torch.float32).mul_(1 / 255) for some in order)


def index_select_bytes(folder: Path, images: Images, rank: int = 0, ranks: int = 1) -> Iterator[Epoch]:
    """The same without making numbers of the bytes: what memory alone can do."""
    import torch

    whole = torch.from_numpy(images)
    while True:
        yield (
            torch.index_select(whole, 0, some) for some in torch.randperm(len(whole))[rank::ranks].split(BATCH // ranks)
        )


def fancy_index(folder: Path, images: Images, rank: int = 0, ranks: int = 1) -> Iterator[Epoch]:
    """The usual loop by hand."""
    import torch

    whole = torch.from_numpy(images)
    while True:
        yield (whole[some] for some in torch.randperm(len(whole))[rank::ranks].split(BATCH // ranks))


def torch_loader(folder: Path, images: Images) -> Iterator[Epoch]:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.from_numpy(images)), batch_size=BATCH, shuffle=True)
    while True:
        yield iter(loader)


def write_version(folder: Path, images: Images, shards: int = SHARDS) -> None:
    from millstream.tracking.dataset.records import Affine, Column
    from tests.datasets import make_dataset

    column = Column(
        name="image",
        dtype="uint8",
        layout="tensor",
        shape=images.shape[1:],
        axes="CHW",
        role="input",
        meaning="image",
        affine=Affine(factor=1 / 255),
    )
    make_dataset(folder, {"train": {"image": images}}, [column], shard_rows=-(-len(images) // shards))


def feed(folder: Path, rank: int, ranks: int, **fields: Any) -> Iterator[Epoch]:
    """Epochs of Millstream's feed; each plans, opens, starts its threads and ends them."""
    from millstream.tracking.dataset.version import Dataset
    from millstream.training.feed.feed import Feed
    from millstream.training.feed.plan.config import Reading

    dataset = Dataset.open(folder / "made" / "v1", folder)
    sample = int(np.prod(dataset.manifest.columns[0].shape))
    if fields["memory"] == "streamed":
        fields["window_mib"] = WINDOW * sample / (1 << 20)
    reading = Reading(seed=7, batch_size=BATCH, **fields)
    one = Feed(dataset, "train", dataset.manifest.signature(), reading, rank=rank, ranks=ranks)
    for epoch in range(1_000):
        one.seek(epoch)
        yield iter(one)


def feed_cached(folder: Path, images: Images, rank: int = 0, ranks: int = 1) -> Iterator[Epoch]:
    return feed(folder, rank, ranks, memory="cached", engine="arrow")


def feed_arrow(folder: Path, images: Images, rank: int = 0, ranks: int = 1) -> Iterator[Epoch]:
    return feed(folder, rank, ranks, memory="streamed", engine="arrow")


def feed_petastorm(folder: Path, images: Images, rank: int = 0, ranks: int = 1) -> Iterator[Epoch]:
    return feed(folder, rank, ranks, memory="streamed", engine="petastorm")


def bare_petastorm(folder: Path, images: Images) -> Iterator[Epoch]:
    """petastorm's own batch reader at the settings that were best here, in stored order; a row group is a batch."""
    import warnings

    from petastorm import make_batch_reader

    warnings.simplefilter("ignore")
    files = [f"file://{path}" for path in sorted(folder.glob("made/v1/split=train/*.parquet"))]
    shape = images.shape[1:]

    def epoch() -> Epoch:
        options: dict[str, Any] = {"workers_count": 8, "results_queue_size": 8, "num_epochs": 1}
        with make_batch_reader(
            files, schema_fields=["image"], reader_pool_type="thread", shuffle_row_groups=False, **options
        ) as reader:
            for group in reader:
                yield np.frombuffer(b"".join(group.image), np.uint8).reshape(-1, *shape)

    while True:
        yield epoch()


def write_litdata(folder: Path, images: Images) -> None:
    from litdata import optimize

    optimize(
        fn=_numbered(images), inputs=list(range(len(images))), output_dir=str(folder), chunk_bytes="8MB",
        num_workers=1,
    )  # fmt: skip


def _numbered(images: Images) -> Callable[[int], Any]:
    return _Numbered(images)


class _Numbered:
    """A function that another process can be handed."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __call__(self, number: int) -> Any:
        return {"image": self.images[number]}


def litdata(folder: Path, images: Images) -> Iterator[Epoch]:
    from litdata import StreamingDataLoader, StreamingDataset

    dataset = StreamingDataset(str(folder), shuffle=True)
    while True:
        yield iter(StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0))


def write_webdataset(folder: Path, images: Images) -> None:
    import webdataset

    with webdataset.ShardWriter(str(folder / "%05d.tar"), maxcount=-(-len(images) // SHARDS), verbose=0) as out:
        for number, image in enumerate(images):
            out.write({"__key__": f"{number:08d}", "npy": image})


def web_dataset(folder: Path, images: Images) -> Iterator[Epoch]:
    import webdataset

    files = [str(path) for path in sorted(folder.glob("*.tar"))]
    while True:
        read = webdataset.WebDataset(files, shardshuffle=len(files)).shuffle(WINDOW).decode().to_tuple("npy")
        yield iter(read.batched(BATCH))


def _without_torchvision() -> None:
    """Streaming imports it for datasets of its own, and it has no wheel for the CPU's torch."""
    import sys
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    def a_class(name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})

    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional"):
        module = sys.modules[name] = ModuleType(name)
        module.__spec__, module.__path__ = ModuleSpec(name, None), []
        module.__getattr__ = a_class  # type: ignore[method-assign]


def write_mosaic(folder: Path, images: Images) -> None:
    _without_torchvision()
    from streaming import MDSWriter

    with MDSWriter(out=str(folder), columns={"image": "ndarray"}, size_limit=8 << 20) as out:
        for image in images:
            out.write({"image": image})


def mosaic(folder: Path, images: Images) -> Iterator[Epoch]:
    _without_torchvision()
    from streaming import StreamingDataset
    from torch.utils.data import DataLoader

    dataset = StreamingDataset(local=str(folder), shuffle=True, batch_size=BATCH)
    while True:
        yield iter(DataLoader(dataset, batch_size=BATCH))


def write_parquet(folder: Path, images: Images) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for number, some in enumerate(np.array_split(images, SHARDS)):
        table = pa.table({"image": pa.array([one.tobytes() for one in some], pa.binary())})
        pq.write_table(table, folder / f"{number:05d}.parquet", compression="zstd", use_dictionary=False)


def hugging_face(folder: Path, images: Images) -> Iterator[Epoch]:
    from datasets import load_dataset

    files = [str(path) for path in sorted(folder.glob("*.parquet"))]
    dataset, shape = load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder)), images.shape[1:]

    def epoch(number: int) -> Epoch:
        for some in dataset.shuffle(seed=number).iter(BATCH):
            yield np.frombuffer(b"".join(some["image"]), np.uint8).reshape(-1, *shape)

    for number in range(1_000):
        yield epoch(number)


def ray_data(folder: Path, images: Images) -> Iterator[Epoch]:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    shape = images.shape[1:]

    def epoch() -> Epoch:
        read = ray.data.read_parquet(str(folder), shuffle="files")
        for some in read.iter_batches(batch_size=BATCH, local_shuffle_buffer_size=WINDOW):
            yield np.frombuffer(b"".join(some["image"]), np.uint8).reshape(-1, *shape)

    while True:
        yield epoch()


OWN = {
    "index_select": Reader(nothing, index_select),
    BYTES: Reader(nothing, index_select_bytes),
    "X[idx]": Reader(nothing, fancy_index),
    "torch DataLoader": Reader(nothing, torch_loader),
    "feed, cached": Reader(write_version, feed_cached),
    "feed, streamed, arrow": Reader(write_version, feed_arrow),
    "feed, streamed, petastorm": Reader(write_version, feed_petastorm),
    "petastorm, bare, unshuffled": Reader(write_version, bare_petastorm),
}
SHARED = ("index_select", "X[idx]", "feed, cached", "feed, streamed, arrow", "feed, streamed, petastorm")
"""Those that several processes share."""
PEERS = {
    "LitData": Reader(write_litdata, litdata),
    "WebDataset": Reader(write_webdataset, web_dataset),
    "MosaicML Streaming": Reader(write_mosaic, mosaic),
    "HF datasets": Reader(write_parquet, hugging_face),
    "Ray Data": Reader(write_parquet, ray_data),
}
READERS = OWN | PEERS
SETS = {"60,000 of 1x28x28": (60_000, (1, 28, 28)), "20,000 of 3x64x64": (20_000, (3, 64, 64))}


def made(name: str) -> Images:
    """A set of random bytes, the same in every process."""
    count, shape = SETS[name]
    return np.random.default_rng(7).integers(0, 256, (count, *shape), dtype=np.uint8)


def summary(**figures: Any) -> str:
    return json.dumps(figures)
