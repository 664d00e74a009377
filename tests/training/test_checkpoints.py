import os
import pickle

import pytest
import torch

from tracking.faults import BadEnvironment, TrainingFailed
from training import checkpoints


def test_what_is_saved_is_loaded_again(tmp_path):
    content = {"weights": torch.arange(5.0), "epoch": 3}
    checkpoints.save(content, tmp_path / "deep" / "last.ckpt")
    found = checkpoints.load(tmp_path / "deep" / "last.ckpt")
    assert found["epoch"] == 3
    assert torch.equal(found["weights"], content["weights"])
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["last.ckpt"]


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    torch.save({"trap": Trap()}, tmp_path / "last.ckpt")
    with pytest.raises(TrainingFailed, match="not a whole checkpoint"):
        checkpoints.load(tmp_path / "last.ckpt")
    assert not (tmp_path / "trapped").exists()
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(TrainingFailed):
        checkpoints.load(tmp_path / "plain.ckpt")
    assert not (tmp_path / "trapped").exists()


def test_a_cut_off_checkpoint_is_told_with_its_name(tmp_path):
    path = tmp_path / "last.ckpt"
    checkpoints.save({"weights": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(TrainingFailed, match=r"last\.ckpt"):
        checkpoints.load(path)


@pytest.mark.fault
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    import resource

    path = tmp_path / "last.ckpt"
    checkpoints.save({"weights": torch.zeros(10)}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # a write beyond the limit fails as on a full quota, with EFBIG in place of ENOSPC; SIGXFSZ is ignored by Python
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises((BadEnvironment, OSError, RuntimeError)):
            checkpoints.save({"weights": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.equal(checkpoints.load(path)["weights"], torch.zeros(10))
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
