"""Drafts the recipe of a source with a class column of its own: images, texts."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.experiments.draft import choices
from millstream.experiments.draft.network import Reading
from millstream.experiments.draft.yaml_text import Decision, Draft, plain


def of_source(
    source: Mapping[str, object],
    counts: Mapping[str, int],
    total: int,
    reading: Reading,
    why: str,
    name: str,
    doubts: tuple[str, ...] = (),
) -> Draft:
    """The recipe of a source whose class column is `label`; `counts` are the rows of each class in a sample."""
    smoke = choices.smoke_rows(total, counts)
    by = "stratified" if choices.can_stratify(total, counts, smoke) else "hash"
    few = [label for label, rows in counts.items() if rows < choices.LEAST_OF_CLASS]
    more = [f"{len(few)} classes have fewer than {choices.LEAST_OF_CLASS} samples, as {few[0]!r}"] if few else []
    imbalance = choices.imbalance("label", counts)
    split = {"by": by, "valid": choices.VALID, "test": choices.TEST}
    shown = ", ".join(f"{label} ({rows:,})" for label, rows in sorted(counts.items(), key=lambda one: -one[1])[:6])
    classes = f"{len(counts):,} classes: {shown}{', ...' if len(counts) > 6 else ''}"
    body = [
        f"# Drafted by `millstream init`: {total:,} samples, {why}.",
        f"# {classes}"[:118],
        "# Change any line: `millstream check` reports what does not fit, `millstream fields` all fields.",
        f"about: {plain(f'{name}, {len(counts)} classes')}",
        "data:",
        f"  name: {name}",
        *_source(source),
        "  steps:",
        f"    - split: {plain(split)}",
        *(f"    {step}" for step in reading.steps),
        *(["    - encode: {columns: [label]}"] if source["name"] == "text" else []),
        "task: {name: classify, target: label}",
        *reading.lines(smoke),
        "# pass: {test/accuracy: ...}  # the mark that a champion must reach",
    ]
    decisions = (
        Decision("classes", str(len(counts)), shown),
        Decision("samples", f"{total:,}", why),
        Decision("split", by, "the same share of each class in each split" if by == "stratified" else "at random"),
        Decision("network", reading.network, reading.why),
    )
    found = (*doubts, *more, *reading.doubts, *([imbalance] if imbalance else []))
    return Draft("classify", reading.network, "\n".join(body) + "\n", decisions, found)


def _source(source: Mapping[str, object]) -> list[str]:
    files = source.get("files")
    if not isinstance(files, list):
        return [f"  source: {plain(source)}"]
    rest = [f"    {name}: {plain(value)}" for name, value in source.items() if name != "files"]
    return ["  source:", *rest, "    files:", *(f"      - {plain(file)}" for file in files)]
