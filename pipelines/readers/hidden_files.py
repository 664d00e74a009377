"""Hidden files: names that operating systems and programs create in data folders."""

from __future__ import annotations

from pathlib import PurePosixPath

_OF_SYSTEMS = frozenset(
    [
        *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
        *("@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    ]
)
"""Lower case; all other hidden names begin with a dot."""


def is_hidden(path: str | PurePosixPath) -> bool:
    """Whether a relative path is hidden, or below a hidden folder."""
    return any(name.startswith(".") or name.lower() in _OF_SYSTEMS for name in PurePosixPath(path).parts)
