"""Whether a model loads and predicts from its own code and requirements, tried in a process of its own.

The process sees no checkout, no installed Millstream and no variable of Python's. Its modules of Millstream may import
only what the model requires. MLflow loads it there, as it does for a user.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

WITHIN_S = 300
TRY = """
import builtins, pathlib, sys
folder, *allowed = sys.argv[1:]
sys.meta_path[:] = [one for one in sys.meta_path if "__editable__" not in getattr(one, "__module__", "")]
plain, known = builtins.__import__, {*allowed, *sys.stdlib_module_names, "millstream"}

def strict(name, globals=None, locals=None, fromlist=(), level=0):
    own = str((globals or {}).get("__name__", "")).startswith("millstream.")
    if own and not level and name.partition(".")[0] not in known:
        raise ImportError(f"{globals['__name__']} imports {name}, which the model does not require")
    return plain(name, globals, locals, fromlist, level)

import mlflow.pyfunc
builtins.__import__ = strict
model = mlflow.pyfunc.load_model(folder)
rows = model.input_example
found = model.predict(rows)
assert len(found) == len(rows), f"{len(found)} predictions of {len(rows)} rows"
elsewhere = [one for one in sys.modules.values() if one.__name__.partition(".")[0] == "millstream"
             and getattr(one, "__file__", None) and not pathlib.Path(one.__file__).is_relative_to(folder)]
assert not elsewhere, f"{elsewhere[0]} is no module of the model"
"""


def fault(folder: Path, code: tuple[str, ...]) -> str | None:
    """Why the MLflow model in `folder` with these modules does not predict its own input example; None if it does.

    Models of the same modules and requirements are tried once in a process.
    """
    return _fault(code, (folder / "requirements.txt").read_text(encoding="utf-8"), folder)


@cache
def _kinds() -> dict[tuple[tuple[str, ...], str], str | None]:
    """What was found of each kind of model that was tried."""
    return {}


def _fault(code: tuple[str, ...], requirements: str, folder: Path) -> str | None:
    kinds = _kinds()
    if (code, requirements) not in kinds:
        kinds[code, requirements] = _tried(folder, requirements)
    return kinds[code, requirements]


def _tried(folder: Path, requirements: str) -> str | None:
    command = [sys.executable, "-I", "-B", "-c", TRY, str(folder), *_packages(requirements)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, cwd=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if ran.returncode == 0 else (ran.stderr.strip().splitlines() or ["no message"])[-1]


def _packages(requirements: str) -> list[str]:
    """The importable names of the required distributions."""
    required = {re.split(r"[=<>~! ]", line)[0] for line in requirements.splitlines()}
    holders = importlib.metadata.packages_distributions()
    return [package for package, names in holders.items() if required & set(names)]
