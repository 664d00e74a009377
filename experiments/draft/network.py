"""The network of a draft, with its training and the sizes of a smoke run."""

from __future__ import annotations

from dataclasses import dataclass

from millstream.experiments.draft.target import Target
from millstream.experiments.draft.yaml_text import plain
from millstream.pipelines.samples.columns import Profile

MANY_CLASSES = 20
SHORT_WORDS = 3
FEW_IMAGES = 5000
LONGEST_WORDS, LONGEST_LETTERS = 400, 200


@dataclass(frozen=True)
class Reading:
    """How the columns are read: by which network, after which steps."""

    network: str
    fields: dict[str, object]
    fit: dict[str, object]
    smoke: dict[str, object]
    why: str
    steps: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    others: str = ""
    """Another network to try, as a comment."""

    def lines(self, limit: int | None) -> list[str]:
        smoke = ({"data.source.limit": limit} if limit else {}) | self.smoke
        return [
            f"network: {plain({'name': self.network, **self.fields})}  # {self.why}",
            *([f"# or {self.others}"] if self.others else []),
            f"fit: {plain(self.fit)}",
            "budgets:",
            f"  smoke: {plain(smoke)}",
        ]


def of_numbers(target: Target) -> Reading:
    """Boosted trees, with fewer rounds for many classes: each round has a tree for each."""
    rounds = 300 if len(target.classes) <= MANY_CLASSES else max(20, 6000 // len(target.classes))
    return Reading(
        "classical/xgboost",
        {"rounds": rounds, "depth": 6, "rate": 0.1},
        {"batch_size": 1024, "seed": 1},
        {"network.rounds": min(rounds, 50)},
        "boosted trees: the usual best on tables",
        others="network: {name: mlp/mlp, hidden: [128, 128]}, with the last step `- scale: {columns: numbers, method: "
        "standard}`",
    )


def of_text(text: Profile, target: Target) -> Reading:
    """A network over the words of a text, or over the characters of a short one."""
    words = sorted(len(one.split()) for one in text.counts)
    letters = sorted(len(one) for one in text.counts)
    return read_text(text.name, words, letters)


def read_text(name: str, words: list[int], letters: list[int]) -> Reading:
    """By the sorted lengths of texts, in words and letters."""
    if words[len(words) // 2] < SHORT_WORDS:
        longest = min(LONGEST_LETTERS, max(8, letters[int(0.99 * (len(letters) - 1))]))
        step = {"columns": [name], "by": "characters", "longest": longest, "too_long": "truncate"}
        return Reading(
            "rnn/gru",
            {"embedding": 32, "hidden": 128, "both_ways": True, "dropout": 0.3},
            {"epochs": 15, "batch_size": 128, "seed": 1, "clip": 1.0, "optimizer": {"name": "adamw", "lr": 2.0e-3}}
            | {"schedule": {"name": "onecycle"}},
            {"fit.epochs": 10},
            "short texts, read letter by letter",
            (f"- tokenize: {plain(step)}",),
        )
    longest = min(LONGEST_WORDS, max(8, words[int(0.95 * (len(words) - 1))] * 5 // 4))
    step = {"columns": [name], "by": "words", "lower": True, "longest": longest, "too_long": "truncate"}
    return Reading(
        "cnn/textcnn",
        {"embedding": 128, "maps": 100},
        {"epochs": 6, "batch_size": 64, "seed": 1, "keep": "best", "optimizer": {"name": "adamw", "lr": 1.0e-3}},
        {},
        "convolutions over words",
        (f"- tokenize: {plain(step)}",),
    )


def read_images(side: int, channels: int, count: int) -> Reading:
    """A small convolutional network, with flipped and shifted copies for images in colour."""
    epochs = 30 if count < FEW_IMAGES else 12
    augment = "- augment: {where: feed, ops: [{flip: 0.5}, {crop: 4}]}  # for photographs; not for letters or digits"
    return Reading(
        "cnn/lenet",
        {"channels": [16, 32], "norm": "batch", "dropout": 0.2},
        {"epochs": epochs, "batch_size": 64, "seed": 1, "optimizer": {"name": "adamw", "lr": 2.0e-3}}
        | {"schedule": {"name": "onecycle"}},
        {"fit.epochs": 8},
        "a small convolutional network",
        (*((augment,) if channels > 1 else ()), "- scale: {column: image, method: unit}"),
        others="network: {name: cnn/resnet, depth: 20}: slower, and better with many images",
    )
