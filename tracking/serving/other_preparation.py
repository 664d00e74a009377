"""Prepared rows of one dataset version as the preparation of another would have made them from the same raw rows.

So a model can be measured on a version whose steps learned other values than those that it was trained with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile

import pandas as pd

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.windows import Windows
from millstream.tracking.errors import BadData
from millstream.tracking.serving.replay import Change, brought, path


def is_same(made_by: Manifest, wanted: Manifest) -> bool:
    """Whether both prepare the inputs of `wanted` alike; maps that the feed applies do not count."""
    undone, redone = _differing(made_by, wanted)
    return not undone and not redone


def reprepared(prepared: pd.DataFrame, made_by: Manifest, wanted: Manifest) -> pd.DataFrame:
    """Rows prepared by `made_by`, as `wanted` prepares them. Columns that both prepare alike are untouched.

    A category that is unknown to `made_by` stays unknown. Raises BadData for a transform that cannot be undone exactly,
    or a column that `made_by` lacks.
    """
    undone, redone = _differing(made_by, wanted)
    lossy = [one.name for one in undone if not one.kind.is_exact(one.learned)]
    lossy += [one.name for one in redone if one.is_computed]
    if lossy or Windows.of(wanted.steps):
        message = f"columns {lossy} are prepared" if lossy else "its windows are cut from columns that are prepared"
        raise BadData.at("preparation", f"{message} by other learned values, and cannot be restored exactly")
    if missing := sorted({one.name for one in [*undone, *redone]} - set(prepared)):
        raise BadData.at("preparation", f"columns {missing} are missing; the version has {list(prepared)}")
    frame = prepared.copy()
    for one in reversed(undone):
        frame = one.kind.backward(frame, one.name, one.learned)
    for one in redone:
        frame = one.kind.forward(frame, one.name, one.learned)
    return frame


def _differing(made_by: Manifest, wanted: Manifest) -> tuple[list[Change], list[Change]]:
    """The transforms of `made_by` to undo, and those of `wanted` to apply: of each input, behind those that both share.

    Raises BadData if steps that look at other rows differ.
    """
    if brought(made_by) != brought(wanted) or Windows.of(made_by.steps) != Windows.of(wanted.steps):
        raise BadData.at("preparation", "its steps that look at other rows are not the same")
    undone, redone = list[Change](), list[Change]()
    theirs, ours = _by_column(made_by), _by_column(wanted)
    for name in ours.keys() | {column.name for column in wanted.columns if column.role == "input"}:
        pairs = zip(theirs[name], ours[name], strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        undone += theirs[name][shared:]
        redone += ours[name][shared:]
    return _in_order(undone, made_by), _in_order(redone, wanted)


def _by_column(manifest: Manifest) -> defaultdict[str, list[Change]]:
    """The transforms of each column that is no target, in step order."""
    targets = {column.name for column in manifest.columns if column.role == "target"}
    found: defaultdict[str, list[Change]] = defaultdict(list)
    for one in path(manifest)[1]:
        if one.name not in targets:
            found[one.name].append(one)
    return found


def _in_order(changes: Sequence[Change], manifest: Manifest) -> list[Change]:
    return [one for one in path(manifest)[1] if one in changes]
