import os
import signal
import textwrap
import time

import numpy as np
import psutil
import pytest

from millstream.tracking.errors import BadEnvironment
from millstream.training.feed.read.shared_memory import shared_arrays, sweep
from tests.forkserver import python

LAYOUT = [((1000, 3), np.dtype("<f4")), ((1000,), np.dtype("int64"))]
PROCESS = textwrap.dedent(
    """
    import os, sys, time
    from pathlib import Path
    import numpy as np
    from millstream.training.feed.read.shared_memory import shared_arrays
    layout = [((1000, 3), np.dtype("<f4")), ((1000,), np.dtype("int64"))]
    def fill(arrays):
        print("fills", flush=True)
        if "dies" in sys.argv:
            os.kill(os.getpid(), 9)
        while "waits" in sys.argv and not Path(sys.argv[1], "continue").exists():
            time.sleep(0.01)
        arrays[0][:] = 1.5
        arrays[1][:] = np.arange(1000)
    arrays = shared_arrays("split", layout, fill, Path(sys.argv[1]))
    print("whole" if arrays[0].min() == 1.5 and arrays[1][-1] == 999 else "torn", flush=True)
    while not Path(sys.argv[1], f"{os.getpid()} may go").exists():
        time.sleep(0.01)
    """
)


def started(folder, *words):
    return python("-c", PROCESS, str(folder), *words)


def end(folder, process):
    (folder / f"{process.pid} may go").touch()
    process.communicate()


def test_processes_share_one_copy_that_one_of_them_filled_and_the_last_removes(tmp_path):
    processes = [started(tmp_path, "waits") for _ in range(4)]
    while not all(uses(process, "split") for process in processes):
        time.sleep(0.01)
    (tmp_path / "continue").touch()
    outputs = [[process.stdout.readline().strip()] for process in processes]
    for process, lines in zip(processes, outputs, strict=True):
        if lines == ["fills"]:
            lines.append(process.stdout.readline().strip())
    assert sorted(outputs) == [["fills", "whole"], ["whole"], ["whole"], ["whole"]]
    (held,) = tmp_path.glob("millstream-*/*")
    assert held.parent.stat().st_mode & 0o077 == 0
    for process in processes[:3]:
        end(tmp_path, process)
    assert held.exists()
    end(tmp_path, processes[3])
    assert not held.exists()


def uses(process, name):
    return any(one.path.endswith(f"/{name}") for one in psutil.Process(process.pid).open_files())


MANY = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import numpy as np
    from millstream.training.feed.read.shared_memory import shared_arrays
    for at in range(int(sys.argv[2])):
        number = at % 3
        arrays = shared_arrays(f"split {number}", [((50,), np.dtype("int64"))], lambda held: held[0].fill(number),
                               Path(sys.argv[1]))
        assert (arrays[0] == number).all()
        del arrays
    """
)


@pytest.mark.fault
def test_processes_come_and_go_at_any_moment_and_none_fails(tmp_path, soak):
    rounds = 20_000 if soak else 500
    running = [python("-c", MANY, str(tmp_path), str(rounds)) for _ in range(4)]
    assert [process.communicate()[1] for process in running] == [""] * 4
    assert list(tmp_path.glob("millstream-*/*")) == []


@pytest.mark.fault
def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path):
    killed = started(tmp_path)
    assert [killed.stdout.readline().strip() for _ in range(2)] == ["fills", "whole"]
    (left,) = tmp_path.glob("millstream-*/*")
    assert sweep(left.parent) == []
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert left.exists()
    assert sweep(left.parent) == ["split"]
    assert not left.exists()


@pytest.mark.fault
def test_a_copy_whose_maker_died_in_the_middle_is_never_taken_for_whole(tmp_path):
    waiting = started(tmp_path, "dies")
    assert waiting.wait() == -signal.SIGKILL
    next_one = started(tmp_path)
    assert [next_one.stdout.readline().strip() for _ in range(2)] == ["fills", "whole"]
    end(tmp_path, next_one)


@pytest.mark.fault
def test_a_full_memory_file_system_is_reported_before_anything_is_written(tmp_path):
    layout = [((1 << 50,), np.dtype("uint8"))]
    with pytest.raises(BadEnvironment, match=r"no room for a split of 1,125,899,906,842,\d+ bytes"):
        shared_arrays("split", layout, lambda arrays: None, tmp_path)


@pytest.mark.security
def test_a_folder_that_others_can_write_into_is_not_used(tmp_path):
    folder = tmp_path / f"millstream-{os.getuid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(BadEnvironment, match="not a folder of yours alone"):
        shared_arrays("split", LAYOUT, lambda arrays: None, tmp_path)
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadEnvironment, match="not a folder of yours alone"):
        shared_arrays("split", LAYOUT, lambda arrays: None, tmp_path)


def test_arrays_of_another_layout_or_name_are_others(tmp_path):
    first = shared_arrays("one", LAYOUT, lambda arrays: arrays[1].fill(1), tmp_path)
    second = shared_arrays("two", LAYOUT, lambda arrays: arrays[1].fill(2), tmp_path)
    again = shared_arrays("one", LAYOUT, lambda arrays: arrays[1].fill(3), tmp_path)
    assert (first[1][0], second[1][0], again[1][0]) == (1, 2, 1)
    again[1][5] = 7
    assert first[1][5] == 7
