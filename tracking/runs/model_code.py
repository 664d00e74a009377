"""The modules of Millstream that a model needs to predict, found from their imports, and what they require.

MLflow puts a copy of them first on the import path, so that the model loads where no Millstream is installed. Nothing
is imported to find them: only the statements that run on import are followed, and none for type checkers.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "millstream"


def needed(roots: Iterable[str]) -> tuple[str, ...]:
    """The modules `roots` and all that importing them imports of Millstream, sorted."""
    found: set[str] = set()
    left = list(roots)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [one for one in _imported(name) if _is_own(one)]
    return tuple(sorted(found))


def requirements(modules: Iterable[str]) -> list[str]:
    """The packages that the modules import, pinned to what is installed here; without the label of a local build."""
    packages = {one.partition(".")[0] for module in modules for one in _imported(module) if not _is_own(one)}
    names = {_distribution(one) for one in packages - sys.stdlib_module_names}
    # a local build (2.13.0+cpu) is on no index
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in sorted(names)]


def write(modules: Iterable[str], folder: Path) -> Path:
    """Copy the sources below `folder`; returns the package. Its `__init__.py` files are empty: the aliases of former
    names are for models without code."""
    for module in modules:
        file = folder.joinpath(*module.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_source(module).read_bytes())
        for package in file.relative_to(folder).parents[:-1]:
            (folder / package / "__init__.py").touch()
    return folder / PACKAGE


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


def _source(module: str) -> Path:
    """The file of a module, in a checkout, an editable install or a wheel."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    return Path(spec.origin)


@cache
def _imported(module: str) -> tuple[str, ...]:
    """The modules that a module imports as it is imported itself; without packages, which hold no code."""
    body = ast.parse(_source(module).read_bytes()).body
    return tuple(one for statement in _run_on_import(body) for one in _named(statement))


def _run_on_import(body: Iterable[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from _run_on_import(statement.orelse)
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _run_on_import(one for one in ast.iter_child_nodes(statement) if isinstance(one, ast.stmt))


def _named(statement: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The modules of an import statement: what is imported from a package may be a module or a value of it."""
    if isinstance(statement, ast.Import):
        yield from (one.name for one in statement.names)
        return
    package = statement.module or ""
    if not _is_own(package):
        yield package
        return
    if _source(package).name != "__init__.py":
        yield package
        return
    yield from (f"{package}.{one.name}" for one in statement.names)


def _distribution(package: str) -> str:
    """The distribution that holds a package; the one of the same name, where several do."""
    holders = _distributions().get(package, [])
    return package if package in holders or not holders else holders[0]


@cache
def _distributions() -> dict[str, list[str]]:
    """The distributions of each importable name."""
    return dict(importlib.metadata.packages_distributions())
