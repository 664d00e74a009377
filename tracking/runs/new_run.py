"""What a new run records of its recipe, and of the environment it runs in."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
from functools import cache

from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_NAME, MLFLOW_USER
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

from millstream.tracking.recipe.schema import Located
from millstream.tracking.runs import run_lock
from millstream.tracking.runs.aliases import user

STACK = ("torch", "pytorch-lightning", "pyspark", "petastorm", "pyarrow", "numpy", "pandas", "mlflow", "scikit-learn")


def name(located: Located) -> str:
    """Name of a run in the list of its experiment: recipe, budget and seed."""
    seed = located.section("fit").get("seed", 0)
    return f"{located.name.rpartition('/')[2]} {located.budget} seed {seed}"


def tags(located: Located) -> dict[str, str]:
    return {
        MLFLOW_USER: user(),
        MLFLOW_SOURCE_NAME: shlex.join(["millstream", "run", *located.words]),
        "recipe": located.name,
        "about": str(located.recipe.about)[:MAX_TAG_VAL_LENGTH],
        "budget": located.budget,
        "settings": located.fingerprint,
        "code_version": _code_version(),
        "stack": json.dumps(_stack()),
        **run_lock.process(),
    }


def _stack() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in STACK:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # petastorm is not part of the modern stack
    return versions


def _code_version() -> str:
    try:
        return importlib.metadata.version("millstream")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@cache
def installed() -> str:
    read = (package.metadata for package in importlib.metadata.distributions())  # parsed on each access
    packages = {f"{package['Name']}=={package['Version']}" for package in read}
    return "\n".join(sorted(packages, key=str.lower)) + "\n"


def as_yaml(located: Located) -> str:
    import yaml

    return str(yaml.safe_dump(located.resolved(), sort_keys=False, allow_unicode=True))
