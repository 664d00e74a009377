"""Models that were registered under the names of before still load, and a user's own `training` stays theirs."""

import subprocess
import sys

LOAD = """
import importlib, millstream
found = importlib.import_module("training.serve")
print(found._load_pyfunc is importlib.import_module("millstream.pyfunc")._load_pyfunc)
import training
print(getattr(training, "OWN", "none"))
"""


def loaded(cwd):
    command = [sys.executable, "-c", LOAD]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout.split()


def test_the_former_loader_leads_to_the_present_one(tmp_path):
    assert loaded(tmp_path) == ["True", "none"]


def test_a_folder_of_the_users_own_of_that_name_is_not_hidden(tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").write_text("OWN = 'mine'\n")
    assert loaded(tmp_path) == ["True", "mine"]
