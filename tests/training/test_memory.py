import subprocess
import sys

import numpy as np
import pytest
import torch

from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import TrainingFailed
from millstream.training.checkpoints import archive
from millstream.training.memory import report_out_of_memory
from tests.datasets import make_dataset
from tests.forkserver import python

LEAK = """
import resource, sys
from pathlib import Path
import pytorch_lightning as lightning
import torch
from tests.training.fitted import fitted, rows
from millstream.tracking.errors import TrainingFailed
from millstream.training.memory import report_out_of_memory

class Leak(lightning.Callback):
    held = []
    def on_train_batch_start(self, trainer, task, batch, index):
        if trainer.current_epoch == 1:
            if not self.held:
                pages = int(Path("/proc/self/statm").read_text().split()[0])
                resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (256 << 20),) * 2)
            self.held.append(torch.zeros(1 << 24))

folder = Path(sys.argv[1])
try:
    with report_out_of_memory("a recipe"):
        fitted(folder, rows(folder / "rows"), Leak())
except TrainingFailed as failed:
    print(failed)
    sys.exit(failed.exit_code)
"""

STREAM = """
import sys
from pathlib import Path
from millstream.tracking.dataset.version import Dataset
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.config import Reading
from millstream.training.memory import keep_freed_memory

def stream(name, epochs):
    folder = Path(sys.argv[1])
    dataset = Dataset.open(folder / name / "v1", folder)
    reading = Reading(seed=1, batch_size=64, cache_mib=BUDGET, window_mib=BUDGET / 4, memory=MEMORY, engine="arrow")
    feed = Feed(dataset, "train", dataset.manifest.signature(), reading)
    for _ in range(epochs):
        for batch in feed:
            pass
    return feed.memory

def peak():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024

BUDGET, MEMORY = float(sys.argv[2]), "streamed"
keep_freed_memory()
stream("small", 1)  # what is loaded once
before, MEMORY = peak(), "auto"
print(stream("large", 6), peak() - before)
"""
BUDGET_MIB = 128
IMAGE = Column(
    name="image", dtype="uint8", layout="tensor", shape=(3, 32, 32), axes="CHW", role="input", meaning="image"
)


@pytest.mark.slow
def test_what_is_streamed_takes_no_more_memory_than_was_allowed(tmp_path):
    draw = np.random.default_rng(0)
    for name, mib in (("small", 2), ("large", 5 * BUDGET_MIB)):
        images = draw.integers(0, 256, ((mib << 20) // 3072, *IMAGE.shape), np.uint8)
        # about a MiB, and no two of one size, as those of a real set
        sizes = draw.integers(250, 420, len(images) // 300)
        rows = {"train": {"image": images[: sizes.sum()]}}
        make_dataset(tmp_path, rows, (IMAGE,), shard_rows=sizes.tolist(), name=name)
    words = [sys.executable, "-c", STREAM, str(tmp_path), str(BUDGET_MIB)]
    found = subprocess.run(words, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-3000:]
    memory, more_mib = found.stdout.split()
    assert memory == "streamed"
    assert float(more_mib) < 1.2 * BUDGET_MIB


@pytest.mark.fault
def test_a_host_without_memory_is_reported_with_what_to_lower_and_the_checkpoint_is_kept(tmp_path):
    process = python("-c", LEAK, str(tmp_path))
    out, err = process.communicate()
    assert process.returncode == 5, err[-3000:]
    assert "a recipe: no memory left on the host" in out
    assert "fit.accumulate" in out
    newest = archive.newest_whole(tmp_path / "run", pytest.fail)
    assert archive.step_of(newest) == 5  # the end of the first epoch


def test_a_device_without_memory_is_distinguished_from_other_errors():
    with pytest.raises(TrainingFailed, match="no memory left on the device"), report_out_of_memory("a recipe"):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="shapes"), report_out_of_memory("a recipe"):
        raise RuntimeError("shapes do not match")
