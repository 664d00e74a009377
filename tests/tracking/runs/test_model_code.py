"""The modules that a model takes along: those that loading it imports, and no others."""

import subprocess
import sys
from pathlib import Path

import pytest

from millstream.tracking.runs import model_code

TRANSFORMS = [f"millstream.tracking.transforms.{name}" for name in ("encode", "impute", "scale")]
KINDS = {
    "trees": ["millstream.training.networks.classical.xgboost", "millstream.training.predictions.classify"],
    "a network": [
        "millstream.training.networks.rnn.gru",
        "millstream.training.predictions.distributional",
        "millstream.training.serving.network",
        *TRANSFORMS,
    ],
}
IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
own = [one for one in sys.modules.values() if one.__name__.startswith("millstream")]
print(*sorted(one.__name__ for one in own if not hasattr(one, "__path__")))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_the_modules_are_those_that_importing_them_brings(kind):
    roots = ["millstream.pyfunc", *KINDS[kind]]
    command = [sys.executable, "-c", IMPORT, *roots]
    imported = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    # the package itself registers the aliases of former names, which a model with code has no use for
    assert list(model_code.needed(roots)) == [name for name in imported if name != "millstream.former_names"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules: `a` imports `b` when it runs, and `c` for type checkers or in a function alone."""
    folder = tmp_path / "madeup"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "a.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "import json, numpy.linalg\n"
        "if TYPE_CHECKING:\n    from madeup import c\n    import torch\nelse:\n    import pandas\n"
        "try:\n    from madeup.b import VALUE\nexcept ImportError:\n    import sklearn.tree\n"
        "def later():\n    from madeup import c\n    import scipy\n"
    )
    (folder / "b.py").write_text("VALUE = 1\n")
    (folder / "c.py").write_text("import mlflow\n")
    monkeypatch.setattr(model_code, "PACKAGE", "madeup")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_what_only_type_checkers_or_calls_import_is_not_followed(package):
    assert model_code.needed(["madeup.a"]) == ("madeup.a", "madeup.b")
    names = [one.partition("==")[0] for one in model_code.requirements(["madeup.a", "madeup.b"])]
    assert names == ["numpy", "pandas"]  # nor the alternative to an import that succeeds


def test_a_copy_is_of_real_files_with_packages_that_do_nothing(tmp_path):
    modules = model_code.needed(["millstream.training.networks.cnn.lenet"])
    copy = model_code.write(modules, tmp_path / "copied")
    files = {path.relative_to(copy.parent) for path in copy.rglob("*.py")}
    assert {".".join(path.with_suffix("").parts) for path in files if path.name != "__init__.py"} == set(modules)
    assert not [path for path in copy.rglob("*") if path.is_symlink() or path.name == "__pycache__"]
    assert all((copy.parent / path).read_bytes() == b"" for path in files if path.name == "__init__.py")
    lenet = Path("training/networks/cnn/lenet.py")
    assert (copy / lenet).read_bytes() == (Path(__file__).parents[3] / lenet).read_bytes()
    assert (copy / "training" / "networks" / "__init__.py").exists()
