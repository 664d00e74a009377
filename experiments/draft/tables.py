"""Drafts the recipe of a table: a pure function of a sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from millstream.experiments.draft import choices
from millstream.experiments.draft.columns import Column, declared_as, read_text, shown, unfit, without_leaks
from millstream.experiments.draft.network import of_numbers, of_text
from millstream.experiments.draft.of_source import of_source
from millstream.experiments.draft.steps import event_of, feature_step, later_steps, split_of, time_features
from millstream.experiments.draft.target import Target, chosen
from millstream.experiments.draft.yaml_text import Decision, Draft, commented, plain
from millstream.pipelines.samples.columns import Profile, null_markers, profile
from millstream.pipelines.samples.tables import Sample
from millstream.tracking.errors import BadData


def draft(sample: Sample, files: Sequence[str], name: str, wanted: str | None = None) -> Draft:
    """The recipe of a table with these files; `name` is that of the dataset, `wanted` the target.

    Raises BadData for a table that cannot be read, and WrongRecipe where the target is open.
    """
    where = ", ".join(files)
    _check(sample, where)
    by_name = dict(zip(sample.names, sample.columns, strict=True))
    nulls = null_markers(by_name)
    profiles, usual = _profiles(sample, nulls)
    target = chosen([one for one in profiles if not unfit(one.name)], wanted, where)
    columns = without_leaks(sample, [declared_as(one, target, sample) for one in profiles], target)
    time, columns = event_of(columns)
    text, columns = read_text(columns, target)
    if not any(one.role == "input" for one in columns if one.declared is not None) and time is None:
        what = "; ".join(f"{one.name}: {one.why}" for one in columns[:8] if one.name != target.name)
        raise BadData.at(where, f"no column is left to predict {target.name!r} from ({what})")
    if text is not None and not sample.is_quoted and target.is_class:
        return _of_lines(sample, text, target, columns, files, name)
    smoke = choices.smoke_rows(sample.total, target.classes)
    split, why_split, doubts = split_of(columns, target, sample, time, smoke)
    features = [] if text else time_features(columns, time)
    reading = of_text(text, target) if text else of_numbers(target)
    steps = [*feature_step(features), f"- split: {plain(split)}", *later_steps(columns, features, sample, reading)]
    doubts = (*_doubts(sample, columns, target), *doubts, *reading.doubts)
    lines = [
        *_head(sample, target, files),
        f"about: {plain(f'{target.name} of {name}')}",
        "data:",
        f"  name: {name}",
        "  source:",
        *_source(sample, columns, files, nulls, usual),
        "  steps:",
        *(f"    {step}" for step in steps),
        f"task: {plain({'name': target.task, 'target': target.name})}  # {target.why}",
        *reading.lines(smoke),
        "# pass: {test/"
        + ("accuracy" if target.is_class else "rmse")
        + ": ...}  # the mark that a champion must reach",
    ]
    decisions = [Decision(one.name, shown(one), one.why) for one in columns]
    decisions += [Decision("split", str(split["by"]), why_split), Decision("network", reading.network, reading.why)]
    return Draft(target.task, reading.network, "\n".join(lines) + "\n", tuple(decisions), doubts)


def _of_lines(
    sample: Sample, text: Profile, target: Target, columns: Sequence[Column], files: Sequence[str], name: str
) -> Draft:
    """Texts between tabs with quotation marks in them, which a table would read as quotes."""
    tsv = {"text": text.name, "label": target.name}
    more = {"encoding": sample.encoding} if sample.encoding != "utf-8" else {}
    source: dict[str, Any] = {"name": "text", "mode": "tsv", "files": [{"name": file} for file in files], **more}
    source["tsv"] = tsv if sample.header else {"columns": list(sample.names), **tsv}
    reading = of_text(replace(text, name="text"), target)
    others = [one.name for one in columns if one.name not in tsv.values()]
    doubts = [f"the columns {others} are not read, as the text is"] if others else []
    doubts += _doubts(sample, [one for one in columns if one.name in tsv.values()], target)
    why = f"{text.evidence}, with quotation marks"
    return of_source(source, target.classes, sample.total, reading, why, name, doubts=tuple(doubts))


def _check(sample: Sample, where: str) -> None:
    names = [name for name in sample.names if name]
    twice = [name for name, count in Counter(names).items() if count > 1]
    twins = [name for name, count in Counter(one.lower() for one in names).items() if count > 1]
    if twice:
        raise BadData.at(f"{where}:1", f"the columns {twice} come twice in the header; give each its own name")
    if twins:
        both = [name for name in names if name.lower() in twins]
        raise BadData.at(f"{where}:1", f"the columns {both} differ in case alone; give each its own name")
    if len(names) < 2:
        found = f"one column, {names[0]!r}" if names else "no named column"
        raise BadData.at(
            where, f"{found}: is there a delimiter (comma, semicolon, tab)? a table has a target and inputs"
        )
    if sample.rows < choices.LEAST_ROWS:
        odd = f"; {len(sample.odd)} rows have another number of values ({sample.odd[0]})" if sample.odd else ""
        what = "row has" if sample.rows == 1 else "rows have"
        raise BadData.at(
            where,
            f"{sample.rows} {what} the columns {names[:8]}{odd}: at least {choices.LEAST_ROWS} are needed, for "
            "train, valid and test",
        )


def _profiles(sample: Sample, nulls: Sequence[str]) -> tuple[list[Profile], str]:
    """The profiles of the columns, and the decimal mark that most of them use."""
    pairs = list(zip(sample.names, sample.columns, strict=True))
    usual = "," if sample.delimiter == ";" else "."
    profiles = [profile(name, values, nulls, usual) for name, values in pairs]
    marks = Counter(one.numbers.decimal for one in profiles if one.numbers and not one.numbers.is_whole)
    if marks and (most := marks.most_common(1)[0][0]) != usual:
        usual = most
        profiles = [profile(name, values, nulls, usual) for name, values in pairs]
    return profiles, usual if marks and sample.format == "csv" else "."


def _source(
    sample: Sample, columns: Sequence[Column], files: Sequence[str], nulls: Sequence[str], usual: str
) -> list[str]:
    lines = ["name: table", f"files: {plain([{'name': file} for file in files])}"]
    if sample.format != "csv":
        lines.append(f"format: {sample.format}")
    else:
        lines += [f"delimiter: {plain(sample.delimiter)}"] * (sample.delimiter != ",")
        lines += ["encoding: latin-1"] * (sample.encoding == "latin-1")
        lines += ["header: false"] * (not sample.header)
        lines += [f"decimal: {plain(usual)}"] * (usual != ".")
        lines += [f'"null": {plain(list(nulls))}  # texts of a missing value'] * (tuple(nulls) != ("",))
    declared = [
        (f"{plain(one.name)}: {plain(one.declared)}", one.why)
        if one.declared is not None
        else ("", f"{one.name}: {one.why}")
        for one in columns
    ]
    return [*(f"    {line}" for line in lines), "    columns:", *commented(declared, "      ")]


def _head(sample: Sample, target: Target, files: Sequence[str]) -> list[str]:
    return [
        f"# Drafted by `millstream init` from {sample.how} of {', '.join(files)[:80]}.",
        "# Change any line: `millstream check` reports what does not fit, `millstream fields` all fields.",
    ]


def _doubts(sample: Sample, columns: Sequence[Column], target: Target) -> tuple[str, ...]:
    found = list(target.doubts)
    if not sample.header:
        found.append(f"the file has no header, so its columns are called {columns[0].name}, ...: give them their names")
    if sample.encoding == "latin-1":
        found.append("the file is not UTF-8; it is read as latin-1: look at the accents")
    if sample.odd:
        found.append(f"{len(sample.odd)} rows have another number of values ({sample.odd[0]}): they are quarantined")
    for one in columns:
        found += [f"{one.name}: {doubt}" for doubt in one.profile.doubts if one.declared is not None]
        if one.profile.kind == "text" and one.role == "key":
            found.append(f"{one.name}: texts are not read beside other columns; a recipe of texts alone reads them")
        if one.profile.kind == "constant" and not sample.is_complete:
            found.append(f"{one.name}: one value in the sample; declare it if it varies in the file")
    if target.classes and (doubt := choices.imbalance(target.name, target.classes)):
        found.append(doubt)
    return tuple(found)
