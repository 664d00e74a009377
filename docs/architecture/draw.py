"""Draws the packages and their imports, as they are, into docs/architecture.md.

    python docs/architecture/draw.py [--check]

A box is a folder (or a file that stands at the root of its package), an arrow means that it imports another one. With
`--check` nothing is written, and the exit code is 1 when the page is not up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import grimp

ROOT = "millstream"
PAGE = Path(__file__).parents[1] / "architecture.md"
PACKAGES = ("pipelines", "training", "tracking", "experiments", "verbs")
BEGIN, END = "<!-- drawn: {} -->", "<!-- end of drawing -->"


def main() -> int:
    before = PAGE.read_text(encoding="utf-8")
    sys.path.insert(0, str(PAGE.parents[1]))  # this checkout, whatever is installed
    graph = grimp.build_graph(ROOT, cache_dir=None)
    after = before
    for name in ("packages", *PACKAGES[:4]):
        arrows = of_packages(graph) if name == "packages" else of_folders(graph, name)
        after = replaced(after, name, mermaid(arrows))
    if "--check" in sys.argv:
        return int(after != before)
    PAGE.write_text(after, encoding="utf-8")
    return 0


def of_packages(graph: grimp.ImportGraph) -> set[tuple[str, str]]:
    """The imports between the top folders."""
    return _between(graph, PACKAGES, lambda module: _part(module, 1))


def of_folders(graph: grimp.ImportGraph, package: str) -> set[tuple[str, str]]:
    """The imports between the folders of a package, and the files at its root."""
    inside = sorted({child.rpartition(".")[2] for child in graph.find_children(f"{ROOT}.{package}")})
    return _between(graph, inside, lambda module: _part(module, 2) if _part(module, 1) == package else "")


def mermaid(arrows: Iterable[tuple[str, str]]) -> str:
    """Without the arrows that follow from others: what is imported through a chain is not drawn again."""
    kept = _without_shortcuts(set(arrows))
    lines = [f"    {_node(one)} --> {_node(other)}" for one, other in sorted(kept)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def replaced(text: str, name: str, drawing: str) -> str:
    begin = BEGIN.format(name)
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(END)
    return f"{head}{begin}\n\n{drawing}\n\n{END}{tail}"


def _between(graph: grimp.ImportGraph, names: Iterable[str], of: Callable[[str], str]) -> set[tuple[str, str]]:
    known, arrows = set(names), set()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            one, other = of(importer), of(imported)
            if one in known and other in known and one != other:
                arrows.add((one, other))
    return arrows


def _part(module: str, at: int) -> str:
    """A part of a dotted name; empty where it has not so many."""
    parts = module.split(".")
    return parts[at] if len(parts) > at else ""


def _without_shortcuts(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    below: dict[str, set[str]] = {}
    for one, other in arrows:
        below.setdefault(one, set()).add(other)

    def reaches(start: str, goal: str, without: tuple[str, str]) -> bool:
        waiting, seen = [start], set[str]()
        while waiting:
            here = waiting.pop()
            for there in below.get(here, ()):
                if (here, there) == without or there in seen:
                    continue
                if there == goal:
                    return True
                seen.add(there)
                waiting.append(there)
        return False

    return {arrow for arrow in arrows if not reaches(*arrow, without=arrow)}


def _node(name: str) -> str:
    # `task` and `graph` are no names that Mermaid takes as they are
    return f'n_{name}["{name}"]'


if __name__ == "__main__":
    sys.exit(main())
