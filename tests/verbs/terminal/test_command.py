"""However a verb breaks off: a line or two, an exit code, no trace, and an end."""

import json
import re
from pathlib import Path

import click
import pytest

from millstream.tracking.errors import BadData, Terminated, causes, interrupt_of
from millstream.verbs.terminal.command import Verbs, verb


def from_itself():
    error = ValueError("round")
    raise error from error


def from_each_other():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def from_what_it_interrupts():
    try:
        raise Terminated
    except Terminated:
        raise OSError("while cleaning up") from None


@pytest.fixture
def ended(capfd):
    """How a command ends whose verb does `work`: code, answer, stderr."""

    def end(work):
        group = Verbs()
        work.__name__ = "work"
        verb(group, click.echo)(work)
        with pytest.raises(SystemExit) as code:
            group(["work", "--json"], prog_name="test")
        out, err = capfd.readouterr()
        return code.value.code, json.loads(out.splitlines()[-1]), err

    return end


@pytest.mark.parametrize("work", [from_itself, from_each_other])
def test_an_error_that_came_of_itself_ends_the_command(ended, work):
    code, answer, err = ended(work)
    assert (code, answer["error"]) == (4, "BadEnvironment")
    assert len(err.splitlines()) == 1
    assert "an unexpected error, report it" in err


def test_an_error_that_nobody_foresaw_is_a_line_with_the_file_of_its_trace(ended):
    def work():
        return {}["nosuch"]

    code, answer, err = ended(work)
    (fault,) = answer["faults"]
    assert code == 4
    assert fault["where"].startswith(f"{__file__}:")
    assert "KeyError: 'nosuch'" in fault["message"]
    assert "Traceback" not in err
    trace = Path(re.search(r"trace in (\S+)", fault["message"])[1])
    assert "Traceback" in trace.read_text()
    trace.unlink()


def test_a_file_that_may_not_be_read_is_named(ended, tmp_path):
    def work():
        (tmp_path / "a folder").mkdir()
        (tmp_path / "a folder").read_text()

    code, answer, _ = ended(work)
    assert (code, answer["faults"][0]["where"]) == (4, str(tmp_path / "a folder"))


def test_an_interrupt_is_seen_behind_what_it_broke(ended):
    assert ended(from_what_it_interrupts)[0] == 143


def test_each_cause_comes_once_nearest_first():
    first, second, third = ValueError(1), ValueError(2), KeyboardInterrupt()
    first.__cause__, first.__context__, second.__context__, third.__context__ = second, third, first, third
    assert list(causes(first)) == [first, second, third]
    assert interrupt_of(first) is third
    assert list(causes(None)) == []


def test_a_refusal_that_was_raised_from_itself_is_reported(ended):
    def work():
        refused = BadData.at("a file", "is damaged; get it again")
        raise refused from refused

    code, _, err = ended(work)
    assert (code, err) == (3, "a file: is damaged; get it again\n")
