import subprocess
import sys

import pytest
import torch

from tracking.faults import TrainingFailed
from training import checkpoints
from training.memory import told_when_short

LEAK = """
import resource, sys
from pathlib import Path
import pytorch_lightning as lightning
import torch
from tests.training.fitted import fitted, rows
from tracking.faults import TrainingFailed
from training.memory import told_when_short

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
    with told_when_short("a recipe"):
        fitted(folder, rows(folder / "rows"), Leak())
except TrainingFailed as failed:
    print(failed)
    sys.exit(failed.exit_code)
"""


@pytest.mark.fault
def test_a_host_without_memory_is_told_with_what_to_lower_and_the_checkpoint_is_kept(tmp_path):
    found = subprocess.run([sys.executable, "-c", LEAK, str(tmp_path)], capture_output=True, text=True)
    assert found.returncode == 5, found.stderr[-3000:]
    assert "a recipe: no memory left on the host" in found.stdout
    assert "fit.accumulate" in found.stdout
    newest = checkpoints.newest_whole(tmp_path / "run", pytest.fail)
    assert checkpoints.step_of(newest) == 5  # the end of the first epoch


def test_a_device_without_memory_is_told_apart_from_other_errors():
    with pytest.raises(TrainingFailed, match="no memory left on the device"), told_when_short("a recipe"):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="shapes"), told_when_short("a recipe"):
        raise RuntimeError("shapes do not match")
