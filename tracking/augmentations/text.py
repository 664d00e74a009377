"""Text augmentations, each a pure function of the text and its sampled parameters.

Words are separated by single spaces; spaces are kept. A text never becomes empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from millstream.tracking.augmentations.op import Op, Parameters, draw_seed, generator_of

Synonyms = Mapping[str, Sequence[str]]


def synonyms(text: str, parameters: Parameters, *, table: Synonyms) -> str:
    """The text with a `share` of the words in `table` replaced by a synonym."""
    generator, words = generator_of(parameters["seed"]), text.split(" ")
    for at, word in enumerate(words):
        others = table.get(word) or table.get(word.lower())
        if others and generator.random() < parameters["share"]:
            words[at] = others[int(generator.integers(len(others)))]
    return " ".join(words)


def swap(text: str, parameters: Parameters) -> str:
    """The text with a `share` of its words swapped with the next; no word moves by more than one position."""
    generator, words = generator_of(parameters["seed"]), text.split(" ")
    at = 0
    while at + 1 < len(words):
        if generator.random() < parameters["share"]:
            words[at], words[at + 1] = words[at + 1], words[at]
            at += 1
        at += 1
    return " ".join(words)


def drop(text: str, parameters: Parameters) -> str:
    """The text without a `share` of its words; at least one word is kept."""
    generator, words = generator_of(parameters["seed"]), text.split(" ")
    draws = generator.random(len(words))
    filled = [at for at, word in enumerate(words) if word]
    if not filled:
        return text
    # the word with the highest draw is dropped last
    last = max(filled, key=lambda at: draws[at])
    return " ".join(word for at, word in enumerate(words) if at == last or draws[at] >= parameters["share"])


def characters(text: str, parameters: Parameters) -> str:
    """The text with a `share` of its characters mistyped: replaced, deleted, followed by another, or transposed.

    New characters are drawn from the text itself, so that the alphabet does not grow.
    """
    generator, alphabet = generator_of(parameters["seed"]), sorted(set(text))
    typed: list[str] = []
    at = 0
    while at < len(text):
        if generator.random() >= parameters["share"]:
            typed.append(text[at])
            at += 1
            continue
        mistake = int(generator.integers(4))
        other = alphabet[int(generator.integers(len(alphabet)))]
        typed += [[other], [], [text[at], other], [*reversed(text[at : at + 2])]][mistake]
        at += 2 if mistake == 3 else 1
    changed = "".join(typed)
    return changed if changed.strip() else text


def draw_share(share: float, generator: np.random.Generator) -> Parameters:
    return {"share": share, "seed": draw_seed(generator)}


def changes(table: Synonyms) -> dict[str, Op]:
    """All text ops, with the synonyms in `table`."""
    return {
        "synonyms": Op(draw_share, partial(synonyms, table=table), "share of the words that the table knows", 1),
        "swap": Op(draw_share, swap, "share of the words", 1),
        "drop": Op(draw_share, drop, "share of the words", 1),
        "characters": Op(draw_share, characters, "share of the characters", 1),
    }


CHANGES: dict[str, Op] = changes({})
