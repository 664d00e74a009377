import os
import pickle
import random
import signal
import time
import zipfile

import pytest
import torch
from torch import nn

from millstream.tracking.errors import BadEnvironment, TrainingFailed, WrongRecipe
from millstream.training.checkpoints import archive
from millstream.training.checkpoints.checkpoint_io import WholeCheckpoints
from millstream.training.checkpoints.provenance import Provenance
from millstream.training.distributed.ranks import Ranks
from tests.forkserver import python
from tests.training.fitted import fitted, rows


def test_what_is_saved_is_loaded_again(tmp_path):
    content = {"weights": torch.arange(5.0), "epoch": 3}
    archive.save(content, tmp_path / "deep" / "last.ckpt")
    found = archive.load(tmp_path / "deep" / "last.ckpt")
    assert found["epoch"] == 3
    assert torch.equal(found["weights"], content["weights"])
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["last.ckpt"]


def test_a_sealed_checkpoint_is_an_archive_that_torch_reads(tmp_path):
    path = tmp_path / "last.ckpt"
    archive.save({"weights": torch.arange(5.0)}, path)
    assert torch.equal(torch.load(path, weights_only=True)["weights"], torch.arange(5.0))
    assert zipfile.ZipFile(path).testzip() is None


@pytest.mark.security
def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    archive.save({"trap": Trap()}, tmp_path / "last.ckpt")  # sealed, as by somebody who knows how
    with pytest.raises(TrainingFailed, match="not a checkpoint of tensors"):
        archive.load(tmp_path / "last.ckpt")
    torch.save({"trap": Trap()}, tmp_path / "bare.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Trap()))
    for name in ("bare", "plain"):
        with pytest.raises(TrainingFailed, match="not a whole checkpoint"):
            archive.load(tmp_path / f"{name}.ckpt")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.fault
def test_a_flipped_bit_is_reported_wherever_it_is(tmp_path, soak):
    path, draw = tmp_path / "last.ckpt", random.Random(0)
    archive.save({"weights": torch.zeros(100), "epoch": 1}, path)
    whole = path.read_bytes()
    for at in draw.sample(range(8 * len(whole)), 2000 if soak else 200):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises(TrainingFailed, match=r"last\.ckpt: not a whole checkpoint"):
            archive.load(path)


@pytest.mark.fault
@pytest.mark.parametrize("size", [0, 30, 2000])
def test_a_cut_off_checkpoint_is_reported_with_its_name(tmp_path, size):
    path = tmp_path / "last.ckpt"
    archive.save({"weights": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(TrainingFailed, match=r"last\.ckpt"):
        archive.load(path)


@pytest.mark.fault
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    import resource

    path = tmp_path / "last.ckpt"
    archive.save({"weights": torch.zeros(10)}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # a write beyond the limit fails as on a full quota, with EFBIG in place of ENOSPC; SIGXFSZ is ignored by Python
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(BadEnvironment, match="the checkpoint before is kept") as refused:
            archive.save({"weights": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (fault,) = refused.value.faults
    assert fault.where == str(path)
    archive.save({"weights": torch.zeros(1_000_000)}, tmp_path / "large.ckpt")
    assert f"{(tmp_path / 'large.ckpt').stat().st_size} bytes to write" in fault.message
    (tmp_path / "large.ckpt").unlink()
    assert torch.equal(archive.load(path)["weights"], torch.zeros(10))
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


SAVE_FOR_EVER = """
import sys
from pathlib import Path
import torch
from millstream.training.checkpoints import archive
folder, step = Path(sys.argv[1]), 0
while True:
    step += 1
    archive.save({"weights": torch.full((200_000,), float(step))}, archive.path_of(folder, step))
    for old in archive.newest_first(folder)[2:]:
        old.unlink()
"""


@pytest.mark.fault
def test_a_process_killed_while_it_saves_leaves_a_whole_checkpoint(tmp_path, soak):
    draw = random.Random(1)
    for attempt in range(100 if soak else 1):
        folder = tmp_path / str(attempt)
        process = python("-c", SAVE_FOR_EVER, str(folder))
        while not archive.newest_first(folder):
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        newest = archive.newest_whole(folder, pytest.fail)
        assert float(archive.load(newest)["weights"][-1]) == archive.step_of(newest)
        archive.sweep(folder)
        assert all(file.name.startswith("step-") for file in folder.iterdir())


@pytest.mark.fault
def test_the_one_before_is_taken_and_reported_when_the_newest_is_damaged(tmp_path):
    for step in (7, 9, 100):
        archive.save({"step": step}, archive.path_of(tmp_path, step))
    newest = archive.path_of(tmp_path, 100)
    newest.write_bytes(newest.read_bytes()[:-10])
    # a clock that was set back has made the oldest look new
    os.utime(archive.path_of(tmp_path, 7), (2**31, 2**31))
    messages = []
    assert archive.newest_whole(tmp_path, messages.append) == archive.path_of(tmp_path, 9)
    assert len(messages) == 1
    assert str(newest) in messages[0]
    assert archive.newest_whole(tmp_path, pytest.fail) == archive.path_of(tmp_path, 9)
    assert (tmp_path / "step-00000100.ckpt.damaged").exists()


@pytest.mark.fault
def test_a_run_of_which_every_checkpoint_is_damaged_is_refused(tmp_path):
    assert archive.newest_whole(tmp_path, pytest.fail) is None
    archive.path_of(tmp_path, 3).write_bytes(b"not much")
    for _ in range(2):  # the second time it has been renamed already
        with pytest.raises(TrainingFailed, match="no whole checkpoint is left; train from the start with --fresh"):
            archive.newest_whole(tmp_path, lambda message: None)


@pytest.mark.bad_input
def test_a_checkpoint_of_other_code_is_refused_with_every_difference(tmp_path):
    def plugin(*layers):
        return WholeCheckpoints(
            Provenance(tmp_path / "recipe.yaml", {"dataset version": "v1"}), nn.Sequential(*layers), Ranks()
        )

    path = tmp_path / "step-00000001.ckpt"
    saved = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    plugin().save_checkpoint({"state_dict": saved.state_dict()}, path)
    with pytest.raises(WrongRecipe) as refused:
        plugin(nn.Linear(3, 5), nn.Linear(4, 2, bias=False), nn.PReLU()).load_checkpoint(path)
    reported = [fault.message.partition(" in this code")[0] for fault in refused.value.faults]
    assert reported == [
        "0.bias: shape (4,) in the checkpoint, shape (5,)",
        "0.weight: shape (4, 3) in the checkpoint, shape (5, 3)",
        "1.bias: shape (2,) in the checkpoint, missing",
        "2.weight: missing in the checkpoint, shape (1,)",
    ]
    assert (
        plugin(nn.Linear(3, 4), nn.Linear(4, 2)).load_checkpoint(path)["state_dict"].keys() == saved.state_dict().keys()
    )


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, [15, 20]),
        ({"keep_last": 3}, [10, 15, 20]),
        ({"checkpoint_every": 3, "keep_last": 3}, [15, 18, 20]),
        ({"checkpoint_every": 8, "keep_last": 9}, [8, 16, 20]),
    ],
    ids=str,
)
def test_the_last_checkpoints_are_kept(tmp_path, fields, kept):
    # 5 batches an epoch; none is taken after an epoch's last batch but once its rows of valid were looked at
    found = fitted(tmp_path, rows(tmp_path / "rows"), fit=fields)
    assert [archive.step_of(path) for path in archive.newest_first(found.job.folder)][::-1] == kept
