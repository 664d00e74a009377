"""Drafts the recipe of a table: a pure function of a sample."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from millstream.experiments.draft import choices
from millstream.experiments.draft.network import Reading, of_numbers, of_text
from millstream.experiments.draft.of_source import of_source
from millstream.experiments.draft.target import Target, chosen
from millstream.experiments.draft.yaml_text import Decision, Draft, commented, plain
from millstream.pipelines.samples.columns import Profile, null_markers, profile
from millstream.pipelines.samples.tables import Sample
from millstream.tracking.errors import BadData

RESERVED = ("sample_id", "parent_id", "op")
SPLITS = {"train", "valid", "test"}
BIRTHS = ("birth", "born", "dob")
EVENTS = ("date", "time", "timestamp", "created", "ordered", "datetime", "when", "start")
LEAST_TIMES = 20
MOST_LEAKING, LEAST_LEAKING = 50, 20
"""Different values of a column that may leak the target, and rows of a value that count as evidence."""
MOSTLY_MISSING = 0.98
YEAR_DAYS, WEEKS_DAYS = 366, 14
TEXT_NAMES = ("text", "review", "comment", "message", "title", "body", "description", "sentence", "tweet", "content")


@dataclass(frozen=True)
class Column:
    """A column of the draft: how it is declared (None: left out), and why."""

    profile: Profile
    declared: Mapping[str, Any] | None
    why: str

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def role(self) -> str:
        return str((self.declared or {}).get("role", "input"))


def draft(sample: Sample, files: Sequence[str], name: str, wanted: str | None = None) -> Draft:
    """The recipe of a table with these files; `name` is that of the dataset, `wanted` the target.

    Raises BadData for a table that cannot be read, and WrongRecipe where the target is open.
    """
    where = ", ".join(files)
    _check(sample, where)
    by_name = dict(zip(sample.names, sample.columns, strict=True))
    nulls = null_markers(by_name)
    profiles, usual = _profiles(sample, nulls)
    target = chosen([one for one in profiles if not _unfit(one.name)], wanted, where)
    columns = _without_leaks(sample, [_column(one, target, sample) for one in profiles], target)
    time, columns = _event(columns)
    text, columns = _read_text(columns, target)
    if not any(one.role == "input" for one in columns if one.declared is not None) and time is None:
        what = "; ".join(f"{one.name}: {one.why}" for one in columns[:8] if one.name != target.name)
        raise BadData.at(where, f"no column is left to predict {target.name!r} from ({what})")
    if text is not None and not sample.is_quoted and target.is_class:
        return _of_lines(sample, text, target, columns, files, name)
    smoke = choices.smoke_rows(sample.total, target.classes)
    split, why_split, doubts = _split(columns, target, sample, time, smoke)
    features = [] if text else _features(columns, time)
    reading = of_text(text, target) if text else of_numbers(target)
    steps = [*_feature_step(features), f"- split: {plain(split)}", *_later_steps(columns, features, sample, reading)]
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
    decisions = [Decision(one.name, _shown(one), one.why) for one in columns]
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


def _unfit(name: str) -> str:
    """Why a name cannot be that of a column."""
    if not name:
        return "it has no name"
    if name.lower() in RESERVED or (name.startswith("_") and name != "_id"):
        return "its name is reserved: rename it in the file"
    return ""


def _column(found: Profile, target: Target, sample: Sample) -> Column:
    if found.name == target.name:
        return Column(found, _declared_target(found, target), target.why)
    keep = {"type": found.type, "role": "key", **({"nullable": True} if found.missing else {})}
    left_out = None if sample.header or sample.format != "csv" else {"type": "string", "role": "key", "nullable": True}
    if problem := _unfit(found.name):
        return Column(found, None, f"left out: {problem}")
    if found.name == "split":
        if set(found.counts) <= SPLITS and not found.missing and "train" in found.counts:
            return Column(found, {"type": "string"}, "the split of each row")
        return Column(found, None, "left out: `split` is the name of the column with train, valid or test")
    if found.kind in ("empty", "constant", "nested"):
        return Column(found, left_out, f"left out: {found.evidence}")
    if found.missing > MOSTLY_MISSING * found.rows:
        return Column(found, left_out, f"left out: missing in {found.missing / found.rows:.1%} of the rows")
    if found.kind in ("key", "text"):
        return Column(found, {**keep, **_written(found)}, f"not read: {found.evidence}")
    declared: dict[str, Any] = {"type": found.type, **_written(found)}
    if found.missing or (not sample.is_complete and found.kind == "number"):
        declared["nullable"] = True
    return Column(found, declared, _with_missing(found))


def _declared_target(found: Profile, target: Target) -> dict[str, Any]:
    kind = "string" if target.is_class else found.type
    return {"type": kind, "role": "target", **({} if target.is_class else _written(found))}


def _written(found: Profile) -> dict[str, Any]:
    """How the numbers or times of a column are written, in the fields of its declaration."""
    if found.times is not None and any(found.times.forms):
        forms = list(found.times.forms)
        return {"form": forms[0] if len(forms) == 1 else forms}
    numbers = found.numbers
    if numbers is None or found.type == "string":
        return {}
    fields = {"prefix": numbers.prefix, "suffix": numbers.suffix, "thousands": numbers.thousands}
    number = {name: value for name, value in fields.items() if value}
    return {"number": number} if number else {}


def _with_missing(found: Profile) -> str:
    return f"{found.evidence}; missing in {found.missing:,} rows" if found.missing else found.evidence


def _event(columns: Sequence[Column]) -> tuple[Column | None, list[Column]]:
    """The column by whose time the rows are split, if any; it is then never null."""
    times = [
        one
        for one in columns
        if one.profile.times is not None
        and one.declared is not None
        and one.profile.missing <= one.profile.rows / 100
        and one.profile.distinct >= LEAST_TIMES
        and not any(word in one.name.lower() for word in BIRTHS)
    ]
    named = [one for one in times if any(word in one.name.lower() for word in EVENTS)]
    event = next(iter(named or times), None)
    if event is None or event.declared is None:
        return None, list(columns)
    declared = {name: value for name, value in event.declared.items() if name != "nullable"}
    event = replace(event, declared=declared)
    return event, [event if one.name == event.name else one for one in columns]


def _read_text(columns: Sequence[Column], target: Target) -> tuple[Profile | None, list[Column]]:
    """The text that the network reads, if it reads one; then the other columns are keys."""
    texts = [one for one in columns if one.profile.kind == "text"]
    inputs = [one for one in columns if one.declared is not None and one.role == "input" and one.profile.kind != "time"]
    named = [one for one in texts if one.name.lower() in TEXT_NAMES]
    if not texts or (inputs and not (named and len(inputs) <= 2)):
        return None, list(columns)
    text = max(named or texts, key=lambda one: one.profile.distinct)

    def one(column: Column) -> Column:
        if column.name == text.name:
            return Column(column.profile, {"type": "string"}, column.profile.evidence)
        if column in inputs:
            return Column(column.profile, {**(column.declared or {}), "role": "key"}, "not read, as the text is")
        return column

    return text.profile, [one(column) for column in columns]


def _split(
    columns: Sequence[Column], target: Target, sample: Sample, time: Column | None, smoke: int | None
) -> tuple[dict[str, Any], str, tuple[str, ...]]:
    """The split step, why, and doubts about it."""
    shares = {"valid": choices.VALID, "test": choices.TEST}
    given = next((one for one in columns if one.name == "split" and one.declared is not None), None)
    if given is not None:
        there = set(given.profile.counts)
        more = {} if "valid" in there else {"valid": choices.VALID}
        return {"by": "given", **more}, "the column `split`", ()
    if time is not None:
        doubt = f"rows are split by {time.name}: the latest are test, as when the model is used on new rows"
        return {"by": "time", "time": time.name, **shares}, f"{time.name} has the time of each row", (doubt,)
    groups = [
        one
        for one in columns
        if one.role == "key"
        and one.profile.is_id
        and not one.profile.missing
        and one.declared is not None
        and LEAST_TIMES < one.profile.distinct < 0.8 * one.profile.rows
    ]
    if groups:
        key = min(groups, key=lambda one: one.profile.distinct)
        doubt = f"rows with equal {key.name} stay in one split, as its rows may be alike; without: remove `key`"
        return {"by": "hash", "key": key.name, **shares}, f"several rows for each {key.name}", (doubt,)
    if choices.can_stratify(sample.total, target.classes, smoke):
        return {"by": "stratified", **shares}, "the same share of each class in each split", ()
    rare = [name for name, rows in target.classes.items() if rows < choices.LEAST_OF_CLASS]
    doubts = [
        f"{target.name}: {len(rare)} classes have few rows, as {name!r}: no model learns them" for name in rare[:1]
    ]
    return {"by": "hash", **shares}, "each row by itself, at random", tuple(doubts)


def _features(columns: Sequence[Column], event: Column | None) -> list[tuple[str, dict[str, Any]]]:
    """Parts of the times that a network may read, each with its expression."""
    taken = {one.name.lower() for one in columns}
    found = []
    for column in columns:
        times = column.profile.times
        if times is None or column.declared is None:
            continue
        for part, function in _parts(list(times.values.values()), is_event=event is not None and column is event):
            name = f"{column.name}_{part}"
            if name.lower() not in taken:
                quoted = "`" + column.name.replace("`", "``") + "`"
                feature = {"expression": f"{function}({quoted})", "type": "long"}
                more = {"nullable": True} if column.declared.get("nullable") else {}
                found.append((name, feature | more))
    return found


def _parts(times: Sequence[datetime], *, is_event: bool) -> Iterator[tuple[str, str]]:
    days = (max(times) - min(times)).days
    if days > YEAR_DAYS and not is_event and len({time.year for time in times}) > 1:
        yield "year", "year"
    if days > YEAR_DAYS and len({time.month for time in times}) > 1:
        yield "month", "month"
    if days > WEEKS_DAYS and len({time.weekday() for time in times}) > 1:
        yield "weekday", "dayofweek"
    if len({time.hour for time in times}) > 1:
        yield "hour", "hour"


def _feature_step(features: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    return ["- features:", "    add:", *(f"      {plain(name)}: {plain(one)}" for name, one in features)] * bool(
        features
    )


def _later_steps(
    columns: Sequence[Column], features: Sequence[tuple[str, dict[str, Any]]], sample: Sample, reading: Reading
) -> list[str]:
    """The steps that learn from train: missing values, categories, texts."""
    read = [one.declared or {} for one in columns if one.declared is not None and one.role == "input"]
    gaps = any(one.get("nullable") and one["type"] in ("long", "double") for one in read)
    gaps = gaps or any(feature.get("nullable") for _, feature in features)
    steps = list(reading.steps)
    if gaps and not steps:
        steps.append("- impute: {columns: numbers, method: median, indicator: true}")
    if any(one.declared is not None and one.declared["type"] == "string" and one.role != "key" for one in columns):
        steps.append("- encode: {columns: categories}")
    return steps


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


def _without_leaks(sample: Sample, columns: Sequence[Column], target: Target) -> list[Column]:
    """The columns, where an input of few values is a key if each value has one class alone: it is known afterwards."""
    if not target.is_class:
        return list(columns)
    values = dict(zip(sample.names, sample.columns, strict=True))
    truth = list(map(str, values[target.name]))

    def decides(column: Column) -> bool:
        if column.role != "input" or column.declared is None or not 2 <= column.profile.distinct <= MOST_LEAKING:
            return False
        classes: dict[str, Counter[str]] = defaultdict(Counter)
        for value, true in zip(values[column.name], truth, strict=True):
            classes[str(value)][true] += 1
        frequent = [found for found in classes.values() if found.total() >= LEAST_LEAKING]
        return all(len(found) == 1 for found in classes.values()) and len({one for f in frequent for one in f}) > 1

    return [_leaking(one, target.name) if decides(one) else one for one in columns]


def _leaking(column: Column, target: str) -> Column:
    why = f"not read: each of its values has one {target} alone"
    doubt = f"each of its values has one {target} alone, as of what is known afterwards; remove `role: key` to read it"
    found = replace(column.profile, doubts=(*column.profile.doubts, doubt))
    return Column(found, {**(column.declared or {}), "role": "key"}, why)


def _shown(column: Column) -> str:
    if column.declared is None:
        return "left out"
    what = {"input": column.profile.kind, "key": "key", "target": "target"}[column.role]
    return f"{what} ({column.declared['type']})"
