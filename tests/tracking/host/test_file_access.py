"""Files that this user may not write. A process without the rights of root tries it, whoever runs the tests."""

import json
import os
import sqlite3
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from millstream.tracking.host import file_access
from millstream.verbs.terminal.command import Verbs, verb

CAPABILITIES = "-dac_override,-dac_read_search,-fowner"
PLAIN = ["setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES] if os.geteuid() == 0 else []

TRY = """
import json, sqlite3, sys
from pathlib import Path
from millstream.tracking.host import file_access
from millstream.tracking.host.file_lock import alone
home, what = Path(sys.argv[1]), sys.argv[2]
try:
    if what == "store":
        sqlite3.connect(home / "tracking.db").execute("INSERT INTO runs VALUES (2)")
    elif what == "folder":
        (home / "spool" / "deep").mkdir(parents=True)
    else:
        with alone(home / ".tracking.lock"):
            pass
except (OSError, sqlite3.Error) as error:
    refused = file_access.refusal(error, home / "tracking.db")
    print(json.dumps(refused.answer["faults"][0] | {"exit": refused.exit_code}))
"""


@pytest.fixture
def home(tmp_path):
    """A home that its owner alone may write."""
    home = tmp_path / "home"
    home.mkdir()
    with sqlite3.connect(home / "tracking.db") as store:
        store.execute("CREATE TABLE runs (id INTEGER)")
    (home / ".tracking.lock").touch(mode=0o444)
    (home / "tracking.db").chmod(0o444)
    home.chmod(0o555)
    yield home
    home.chmod(0o755)


def tried(home, what):
    command = [*PLAIN, sys.executable, "-c", TRY, str(home), what]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(out) if out else None


@pytest.mark.fault
@pytest.mark.parametrize(("what", "where"), [("store", "tracking.db"), ("folder", "spool")])
def test_what_may_not_be_written_is_reported_with_its_owner(home, what, where):
    found = tried(home, what)
    assert found["exit"] == 4
    assert found["where"].startswith(str(home / where))
    owner = file_access.owner(home / where if what == "store" else home)
    assert f"belongs to {owner}" in found["message"]
    assert "MILLSTREAM_HOME" in found["message"]


@pytest.mark.fault
def test_a_lock_of_another_user_is_taken_by_who_may_read_it(home):
    assert tried(home, "lock") is None


def test_the_owner_is_named_as_the_machine_names_it(tmp_path):
    path = tmp_path / "file"
    path.touch(mode=0o640)
    user, rest = file_access.owner(path).split(":")
    assert (user, rest.rpartition(", ")[2]) == (file_access.user(os.geteuid()), "-rw-r-----")
    assert file_access.user(4_000_000_000) == "4000000000"  # nobody has it


@click.group(cls=Verbs)
def cli():
    pass


@verb(cli, print)
def write():
    raise RuntimeError("not saved") from PermissionError(13, "Permission denied", "/nowhere/of/mine")


def test_a_command_that_may_not_write_a_file_ends_with_4_and_no_trace():
    done = CliRunner().invoke(cli, ["write"])
    assert done.exit_code == 4
    assert "/nowhere/of/mine: " in done.output
    assert "Traceback" not in done.output
