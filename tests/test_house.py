"""The house keeps its rules: a thing is found by its name, and has a test beside it."""

import ast
import importlib
from pathlib import Path

import pytest
from mlflow.types import ColSpec
from pyspark.sql.pandas.types import from_arrow_type

from millstream.pipelines import score
from millstream.tracking.recipe.plugins import class_of
from millstream.tracking.runs import model_logging

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipelines", "training", "tracking", "verbs")
PARTS = (
    "pipelines/sources",
    "pipelines/steps",
    "training/networks",
    "training/tasks",
    "training/environments",
    "experiments/search",
)


def modules():
    return sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", [path for path in modules() if path.name == "__init__.py"], ids=str)
def test_no_package_hides_anything_in_its_init(path):
    tree = ast.parse((ROOT / path).read_text())
    assert [node for node in tree.body if not isinstance(node, ast.Expr)] == []


@pytest.mark.parametrize("path", [path for path in modules() if path.name != "__init__.py"], ids=str)
def test_every_module_has_a_docstring(path):
    assert ast.get_docstring(ast.parse((ROOT / path).read_text()))


@pytest.mark.parametrize("folder", PARTS)
def test_every_part_is_named_in_a_test(folder):
    tests = "\n".join(path.read_text() for path in (ROOT / "tests" / folder).rglob("test_*.py"))
    parts = [path.stem for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py"]
    assert parts
    assert [part for part in parts if part not in tests and not part.startswith("_")] == []


@pytest.mark.parametrize("path", sorted((ROOT / "training/tasks").rglob("[a-z]*.py")), ids=lambda path: path.stem)
def test_what_a_task_returns_has_a_type_in_the_registry_and_on_spark(path):
    module = importlib.import_module(".".join(("millstream", *path.relative_to(ROOT).with_suffix("").parts)))
    for kind in {*class_of(module).outputs.values(), *class_of(module).generated.values()}:
        assert ColSpec(model_logging.output_type(kind), "made").name == "made"
        assert from_arrow_type(score.arrow_type(kind)).simpleString()


def test_docker_is_no_package():
    # it would hide the library of that name, which mlflow needs
    assert not (ROOT / "docker" / "__init__.py").exists()


@pytest.mark.security
def test_nothing_is_unpickled():
    tests = (path for path in modules())
    found = [
        (str(path), node.lineno)
        for path in tests
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any(
            name.partition(".")[0] in ("pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal")
            for name in [*(one.name for one in node.names), getattr(node, "module", None) or ""]
        )
    ]
    assert found == []
