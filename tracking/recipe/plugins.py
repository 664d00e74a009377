"""Plugin lookup by path (source, step, network, task): the file is the registration.

`find("training.networks", "cnn/lenet")` is the module `training/networks/cnn/lenet.py`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.resources
from collections.abc import Iterable, Iterator
from importlib.resources.abc import Traversable
from types import ModuleType

LISTED = 24
"""Maximum number of names in a message; beyond it, only the nearest are listed."""
NEAREST = 6


class UnknownPart(LookupError):
    """Unknown plugin name; the message suggests the nearest."""


def names(package: str) -> list[str]:
    """All plugins below a package, as `family/name`, sorted."""
    return sorted(_below(importlib.resources.files(package), ""))


def find(package: str, name: object) -> ModuleType:
    """The module of the plugin called `name`. Raises UnknownPart as `check_name` does."""
    check_name(package, name)
    return importlib.import_module(f"{package}.{str(name).replace('/', '.')}")


def check_name(package: str, name: object) -> None:
    """Raises UnknownPart with the nearest names if `package` has no plugin called `name`; imports nothing.

    A name is looked up in the folder's listing and never converted to a path, so it cannot lead out of the package.
    """
    known = names(package)
    if name not in known:
        noun = package.rpartition(".")[2].removesuffix("s")
        raise UnknownPart(f"{name!r}: no such {noun}; {suggest(str(name), known)}")


def class_of(module: ModuleType) -> type:
    """The class named after its file: `steps/scale.py` holds `Scale`, `tasks/deep_q.py` holds `DeepQ`."""
    stem = module.__name__.rpartition(".")[2]
    found: type = getattr(module, "".join(word.capitalize() for word in stem.split("_")))
    return found


def suggest(wrong: str, known: Iterable[str]) -> str:
    """`did you mean 'hidden'? known: ...`, or only the known names if none is near; long lists are shortened."""
    every = sorted(known)
    if not every:
        return "none is known"
    # also match by the last part: `lenet` suggests `cnn/lenet`
    by_last = {name.rpartition("/")[2]: name for name in reversed(every)}
    near = difflib.get_close_matches(wrong, every, n=1) or [
        by_last[last] for last in difflib.get_close_matches(wrong.rpartition("/")[2], by_last, n=1)
    ]
    shown = every if len(every) <= LISTED else sorted(difflib.get_close_matches(wrong, every, n=NEAREST, cutoff=0))
    more = f" and {len(every) - len(shown)} more" if len(every) > len(shown) else ""
    listed = f"known: {', '.join(shown)}{more}"
    return f"did you mean {near[0]!r}? {listed}" if near else listed


def _below(folder: Traversable, family: str) -> Iterator[str]:
    """Module names below a folder; works for zipped packages too, as on the workers of a cluster."""
    for path in folder.iterdir():
        if path.is_dir():
            yield from _below(path, f"{family}{path.name}/")
        elif path.name.endswith(".py") and not path.name.startswith("_"):
            yield f"{family}{path.name.removesuffix('.py')}"
