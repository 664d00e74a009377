import os
import signal

import pytest
import pytorch_lightning as lightning

from millstream.tracking.errors import Stopped
from millstream.training.checkpoints import archive
from tests.training.fitted import BATCHES, fitted, rows


class Signal(lightning.Callback):
    """Sends this process a signal during a step."""

    def __init__(self, epoch, index):
        self.place = (epoch, index)

    def on_train_batch_start(self, trainer, task, batch, index):
        if (trainer.current_epoch, index) == self.place:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_train_end(self, trainer, task):
        if self.place == (4, -1):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("epoch", "index"),
    [(1, 2), (1, BATCHES - 1), (3, BATCHES - 1), (4, -1)],
    ids=["inside", "last batch", "last epoch", "over"],
)
def test_a_signal_ends_a_run_where_it_can_be_resumed(tmp_path, epoch, index):
    dataset, fit = rows(tmp_path / "rows"), {"schedule": {"name": "plateau", "patience": 1, "least": 1.0}}
    handler = signal.getsignal(signal.SIGTERM)
    whole = fitted(tmp_path / "whole", dataset, fit=fit)
    with pytest.raises(Stopped, match="stopped by SIGTERM; state saved in") as stopped:
        fitted(tmp_path / "stopped", dataset, Signal(epoch, index), fit=fit)
    assert signal.getsignal(signal.SIGTERM) == handler
    assert stopped.value.exit_code == 143
    assert archive.step_of(stopped.value.checkpoint) == epoch * BATCHES + index + 1
    again = fitted(tmp_path / "again", dataset, start=stopped.value.checkpoint, fit=fit)
    assert again.weights == whole.weights
    assert again.history.curves == whole.history.curves
