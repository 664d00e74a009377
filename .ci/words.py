"""Refuses the words of .ci/words.txt in names, comments, docstrings, messages and docs: of the repo, or of given files.

Prints `file:line: word -> what to write` for each and ends with 1.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

LIST = Path(__file__).with_name("words.txt")
KINDS = ("*.py", "*.md", "*.yaml", "*.html", "*.css", "*.sh", "*.toml", "Makefile")


class Entry(NamedTuple):
    advice: str
    allowed: list[re.Pattern[str]]


def entries(text: str) -> dict[str, Entry]:
    """The entry of each banned word or phrase."""
    found: dict[str, Entry] = {}
    entry = Entry("", [])
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace():
            entry.allowed.append(re.compile(line.strip()))
            continue
        words, _, advice = line.partition(" -> ")
        entry = Entry(advice, [])
        found |= dict.fromkeys(words.split(", "), entry)
    return found


def pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Matches a word also as a part of a name: after `_` or a lower-case letter, before `_` or an upper-case one."""
    forms = [form.replace(" ", r"[\s_]+") for word in words for form in (word, word.upper())]
    capitals = [word.capitalize().replace(" ", r"[\s_]+") for word in words]
    return re.compile(rf"(?<![A-Za-z])(?:{'|'.join(forms)})(?![a-z])|(?:{'|'.join(capitals)})(?![a-z])")


def refused(path: Path, known: dict[str, Entry], words: re.Pattern[str]) -> Iterator[str]:
    text = path.read_text(encoding="utf-8") + "\n"
    for match in words.finditer(text):
        begin = text.rfind("\n", 0, match.start()) + 1
        line, at = text[begin : text.find("\n", match.end())], match.start() - begin
        word = " ".join(re.split(r"[\s_]+", match[0].lower()))
        if not any(one.start() <= at < one.end() for right in known[word].allowed for one in right.finditer(line)):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {word} -> {known[word].advice}"


def main(files: list[str]) -> int:
    known = entries(LIST.read_text(encoding="utf-8"))
    words = pattern(list(known))
    if not files:
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *KINDS]
        files = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    found = [line for file in files if Path(file).is_file() for line in refused(Path(file), known, words)]
    print("\n".join(found) or f"{len(files)} files speak the language of the field")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
