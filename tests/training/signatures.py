"""Small signatures for tests: what a network knows of a dataset of images, a table or of texts."""

from __future__ import annotations

from millstream.tracking.dataset.manifest import Manifest, Source
from millstream.tracking.dataset.records import Affine, Column
from millstream.tracking.dataset.signature import InputField, Signature


def target(classes: int) -> Column:
    return Column(
        name="label",
        dtype="int64",
        role="target",
        meaning="category",
        classes=tuple(f"class {at}" for at in range(classes)),
    )


def number(name: str, role: str = "input", affine: Affine | None = None) -> Column:
    return Column(name=name, dtype="float32", role=role, meaning="number", affine=affine)


def category(name: str, size: int) -> Column:
    return Column(name=name, dtype="int64", role="input", meaning="category", classes=tuple(map(str, range(size))))


def image(*shape: int) -> Column:
    return Column(name="image", dtype="uint8", layout="tensor", shape=shape, axes="CHW", role="input", meaning="image")


def series(name: str, steps: int, channels: int) -> Column:
    shape = {"layout": "tensor", "axes": "TC", "shape": (steps, channels)}
    return Column.model_validate({"name": name, "dtype": "float32", "role": "input", "meaning": "series", **shape})


def tokens(longest: int, size: int) -> Column:
    vocabulary = ("(pad)", "(unknown)", *(chr(97 + at) for at in range(size - 2)))
    return Column(
        name="tokens",
        dtype="int64",
        layout="list",
        shape=(longest,),
        role="input",
        meaning="tokens",
        vocabulary=vocabulary,
    )


def signature(*columns: Column) -> Signature:
    targets = [column.name for column in columns if column.role == "target"]
    return manifest(*columns).signature(*targets[:1])


def manifest(*columns: Column) -> Manifest:
    source = Source(name="test", config={}, licence="none", origin="made in a test", files=())
    return Manifest(
        name="test",
        version="0",
        seed=0,
        created="2026-01-01T00:00:00+00:00",
        source=source,
        steps=(),
        columns=columns,
        splits={},
        checks=(),
        quarantine={},
    )


__all__ = ["InputField", "category", "image", "manifest", "number", "signature", "target", "tokens"]
