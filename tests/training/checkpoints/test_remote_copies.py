import threading
import uuid

import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

from millstream.tracking.dataset.filesystems import Remote
from millstream.tracking.errors import BadEnvironment, TrainingFailed
from millstream.training.checkpoints import archive, remote_copies, uploads
from millstream.training.checkpoints.uploads import LAST_TRIES, Uploads


@pytest.fixture
def copies():
    """The folder of a run in a store in memory."""
    return Remote(f"memory://{uuid.uuid4().hex}/run")


def state(folder, step):
    path = archive.path_of(folder, step)
    archive.save({"step": step, "weights": torch.full((100,), float(step))}, path)
    return path


def best(folder, value):
    archive.save({"best": value}, folder / archive.BEST)
    return folder / archive.BEST


def put(copies, *files):
    for file in files:
        copies.system.put_file(str(file), f"{copies}/{file.name}")


def names(copies):
    return [one.name for one in copies.iterdir()]


def step_of(path):
    return archive.load(path)["step"]


def test_a_run_continues_in_an_empty_folder_from_the_newest_state_and_the_best_weights_with_it(copies, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    assert remote_copies.newest_whole(copies, other, pytest.fail) is None
    put(copies, state(one, 5), state(one, 12), best(one, 12))
    assert step_of(remote_copies.newest_whole(copies, other, pytest.fail)) == 12
    assert archive.load(other / archive.BEST) == {"best": 12}
    # its own state is ahead of the store: with it go its own best weights
    state(other, 20), best(other, 20)
    assert step_of(remote_copies.newest_whole(copies, other, pytest.fail)) == 20
    assert archive.load(other / archive.BEST) == {"best": 20}
    # the run was continued elsewhere
    put(copies, state(one, 30), best(one, 30))
    assert step_of(remote_copies.newest_whole(copies, other, pytest.fail)) == 30
    assert archive.load(other / archive.BEST) == {"best": 30}


def test_best_weights_of_an_earlier_state_are_not_taken_for_those_of_the_one_that_is_brought(copies, tmp_path):
    state(tmp_path / "other", 5), best(tmp_path / "other", 5)
    put(copies, state(tmp_path / "one", 30))
    remote_copies.newest_whole(copies, tmp_path / "other", pytest.fail)
    assert not (tmp_path / "other" / archive.BEST).exists()


@pytest.mark.fault
@pytest.mark.parametrize("damage", [lambda whole: whole[:-9], lambda whole: b"x" + whole[1:], lambda whole: b""])
def test_a_damaged_copy_is_never_taken_and_set_aside_in_the_store(copies, tmp_path, damage):
    one, other = tmp_path / "one", tmp_path / "other"
    newest = state(one, 12)
    put(copies, state(one, 5), newest)
    copies.system.pipe_file(f"{copies}/{newest.name}", damage(newest.read_bytes()))
    messages = []
    assert step_of(remote_copies.newest_whole(copies, other, messages.append)) == 5
    assert f"{copies}/{newest.name}" in messages[0]
    assert names(copies) == ["step-00000005.ckpt", "step-00000012.ckpt.damaged"]
    assert step_of(remote_copies.newest_whole(copies, other, pytest.fail)) == 5
    # its own is whole: the copy is not looked at
    put(copies, state(other, 7))
    copies.system.pipe_file(f"{copies}/step-00000007.ckpt", b"")
    assert step_of(remote_copies.newest_whole(copies, other, pytest.fail)) == 7


@pytest.mark.fault
def test_a_state_that_is_damaged_here_is_brought_from_the_store(copies, tmp_path):
    put(copies, state(tmp_path, 5))
    archive.path_of(tmp_path, 5).write_bytes(b"not much")
    messages = []
    assert step_of(remote_copies.newest_whole(copies, tmp_path, messages.append)) == 5
    assert len(messages) == 1


@pytest.mark.fault
def test_a_run_of_which_every_copy_is_damaged_is_refused(copies, tmp_path):
    copies.system.pipe_file(f"{copies}/step-00000005.ckpt", b"not much")
    for _ in range(2):
        with pytest.raises(TrainingFailed, match="no whole checkpoint is left"):
            remote_copies.newest_whole(copies, tmp_path, str)


@pytest.fixture
def slow(monkeypatch):
    """A store that takes nothing before it is opened; the names of what arrived, in order."""
    put_file, opened, arrived = MemoryFileSystem.put_file, threading.Event(), []

    def slowly(system, here, there, **more):
        opened.wait()
        put_file(system, here, there, **more)
        arrived.append(there.rpartition("/")[2])

    monkeypatch.setattr(MemoryFileSystem, "put_file", slowly)
    return opened, arrived


def test_training_waits_for_its_last_state_only_and_best_weights_arrive_before_the_states_after_them(
    copies, tmp_path, slow
):
    opened, arrived = slow
    with Uploads(copies, keep=2) as sending:
        sending.add(state(tmp_path, 1))
        for step in range(2, 9):  # all of this while the first one is on its way
            sending.add(state(tmp_path, step))
            if step in (3, 6):
                sending.add(best(tmp_path, step))
        opened.set()
    last = ["best.ckpt", "step-00000008.ckpt"]
    assert arrived in ([*last], ["step-00000001.ckpt", *last])
    assert archive.load(tmp_path / archive.BEST) == {"best": 6}
    assert copies.system.cat_file(f"{copies}/best.ckpt") == (tmp_path / archive.BEST).read_bytes()
    assert names(copies) == sorted(arrived)


def test_so_many_states_stay_in_the_store(copies, tmp_path):
    put(copies, *(state(tmp_path, step) for step in (1, 2, 3)))
    with Uploads(copies, keep=2) as sending:
        sending.add(state(tmp_path, 4))
    assert names(copies) == ["step-00000003.ckpt", "step-00000004.ckpt"]


@pytest.fixture
def broken(monkeypatch):
    """A store that refuses so many uploads."""
    put_file, left = MemoryFileSystem.put_file, [0]

    def refuse(*words, **more):
        left[0] -= 1
        if left[0] >= 0:
            raise OSError("the store is down")
        put_file(*words, **more)

    monkeypatch.setattr(MemoryFileSystem, "put_file", refuse)
    monkeypatch.setattr(uploads, "PAUSE_S", 0.0)
    return left


@pytest.mark.fault
def test_a_store_that_comes_back_gets_the_last_state(copies, tmp_path, broken, capsys):
    broken[0] = LAST_TRIES - 1
    with Uploads(copies, keep=2) as sending:
        sending.add(state(tmp_path, 3))
    assert names(copies) == ["step-00000003.ckpt"]
    assert capsys.readouterr().err.count("training continues") == 1


@pytest.mark.fault
def test_a_training_whose_last_state_does_not_arrive_has_not_ended_well(copies, tmp_path, broken, capsys):
    broken[0] = 10**6

    def sent(path, interrupt):
        with Uploads(copies, keep=2) as sending:
            sending.add(path)
            if interrupt:
                raise KeyboardInterrupt

    with pytest.raises(BadEnvironment, match=r"the store is down.*step-00000003\.ckpt is kept: resume on this host"):
        sent(state(tmp_path, 3), interrupt=False)
    # an error of training is the one that is raised
    with pytest.raises(KeyboardInterrupt):
        sent(state(tmp_path, 4), interrupt=True)
    assert "step-00000004.ckpt is kept" in capsys.readouterr().err
