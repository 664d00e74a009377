"""Import hook for models that were registered before the packages moved below `millstream`.

Such a model names its loader `training.serve`, which MLflow imports. The hook resolves it to `millstream.pyfunc`; a
package `training` of the user takes precedence.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LOADER = "training.serve"
PACKAGE = LOADER.partition(".")[0]


class _Former(MetaPathFinder, Loader):
    """The last finder of `sys.meta_path`: called for `training` only when no other finder has it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=name == PACKAGE) if name in (LOADER, PACKAGE) else None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == LOADER:
            vars(module)["_load_pyfunc"] = importlib.import_module("millstream.pyfunc")._load_pyfunc


def register() -> None:
    """Install the finder; idempotent within a process."""
    if not any(isinstance(finder, _Former) for finder in sys.meta_path):
        sys.meta_path.append(_Former())
