"""The linter of words: names and prose in the field's terms, with what to write instead."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "words.py"
BANNED = "to" + "ld"  # in two parts, so that this file passes


def checked(*files):
    return subprocess.run([sys.executable, SCRIPT, *files], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (f"def _{BANNED}_end(run): ...", BANNED),
        (f"class {BANNED.title()}Once: ...", BANNED),
        (f"{BANNED.upper()} = 3", BANNED),
        (f"# the user is {BANNED} of it", BANNED),
        ('"""A row is p' + 'ut\n    aside."""', "p" + "ut aside"),
    ],
    ids=["name", "class", "constant", "comment", "phrase over two lines"],
)
def test_a_banned_word_is_refused_with_its_line_and_what_to_write(tmp_path, line, word):
    file = tmp_path / "made.py"
    file.write_text(f"import math\n\n{line}\n")
    refused = checked(file)
    assert refused.returncode == 1
    assert refused.stdout.startswith(f"{file}:3: {word} -> ")


def test_a_right_use_passes_and_another_in_the_same_line_does_not(tmp_path):
    file = tmp_path / "made.md"
    file.write_text("Accuracy at ch" + "ance level. A power l" + "aw. Untoldness, outlawed, mischance.\n")
    assert (checked(file).returncode, checked(file).stdout) == (0, "1 files speak the language of the field\n")
    file.write_text("At ch" + "ance level, with a ch" + "ance of .5\n")
    assert checked(file).stdout.count("\n") == 1


def test_the_list_names_a_replacement_for_each_word():
    known = runpy.run_path(str(SCRIPT))["entries"](SCRIPT.with_name("words.txt").read_text())
    assert BANNED in known
    assert all(entry.advice for entry in known.values())
