"""Recipes written on the spot."""

from __future__ import annotations

from pathlib import Path

WHOLE = """\
about: a test
data:
  source: {name: digits}
  steps:
    - split: {by: stratified, valid: 0.1, test: 0.2}
    - scale: {column: image, method: unit, high: 16}
task: {name: classify, target: label}
network: {name: cnn/lenet, channels: [4, 8]}
fit: {epochs: 2, batch_size: 64, seed: 3, optimizer: {name: adam, lr: 1.0e-3}}
budgets:
  smoke: {fit.epochs: 1}
  full: {fit.epochs: 9}
pass: {test/accuracy: ">= 0.9", test/loss: "<= 1"}
"""


def write(folder: Path, text: str = WHOLE, *changes: tuple[str, str], name: str = "mine.yaml") -> Path:
    """The recipe as a file, with texts replaced; each text must be there."""
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file
