"""Names in folders that nobody put there as data: what systems and programs keep beside it."""

from __future__ import annotations

from pathlib import PurePosixPath

_OF_SYSTEMS = frozenset(
    [
        *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
        *("@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    ]
)
"""In lower case; all others begin with a dot."""


def is_hidden(path: str | PurePosixPath) -> bool:
    """Whether a path below a folder is hidden, or lies in a folder that is."""
    return any(name.startswith(".") or name.lower() in _OF_SYSTEMS for name in PurePosixPath(path).parts)
