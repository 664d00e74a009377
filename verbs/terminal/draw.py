"""Terminal tables; rich is imported only when there is something to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.tracking.host.terminal_text import printable

Row = Sequence[Any]
MOST_ROWS = 25
"""Rows of a table of tried values or trials."""


def plain(result: Any) -> dict[str, Any]:
    return dict(result.model_dump() if hasattr(result, "model_dump") else result)


def table(title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=Text(title), title_justify="left")
    for at, name in enumerate(columns):
        # a word that is longer than its column is wrapped
        drawn.add_column(Text(printable(name)), no_wrap=at == 0, overflow="fold" if at else "ellipsis")
    for row in rows:
        # Text: a label with brackets in it is shown, not read as markup
        drawn.add_row(*(Text(printable(str(cell))) for cell in row))
    echo(drawn)


def echo(what: Any, *, markup: bool = True) -> None:
    from rich.console import Console

    shown = printable(what) if isinstance(what, str) else what
    Console().print(shown, markup=markup, highlight=False, soft_wrap=isinstance(what, str))


def short(value: Any, most: int = 60) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def bar(share: float) -> str:
    return "█" * max(1 if share else 0, round(24 * share))


def histogram(bins: Sequence[int]) -> str:
    """A histogram in one line of at most 14 characters."""
    width = -(-len(bins) // 14)
    sums = [sum(bins[at : at + width]) for at in range(0, len(bins), width)]
    return "".join("▁▂▃▄▅▆▇█"[min(7, 8 * count // max(1, max(sums)))] for count in sums)


def mib(size: int) -> str:
    return f"{size / (1 << 20):.1f}"


def marks(wanted: Mapping[str, str]) -> str:
    return ", ".join(f"{metric} {mark}" for metric, mark in wanted.items())
