"""Params of a run: nested data flattened, in requests that a tracking store accepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from mlflow.entities import Param
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH

from millstream.tracking.recipe.store_names import param_name
from millstream.tracking.runs.mlflow_store import Client

LETTERS_AT_ONCE = 200_000
"""Characters of params per request; MLflow and most proxies accept 1 MB."""


def log_params(client: Client, run_id: str, values: Mapping[str, str]) -> None:
    for params in _batches(values):
        client.log_batch(run_id, params=params)


def log_more_params(client: Client, run_id: str, values: Mapping[str, str]) -> None:
    """Log the params that a run does not have: MLflow refuses another value of one that it has."""
    known = client.get_run(run_id).data.params
    log_params(client, run_id, {name: value for name, value in values.items() if name not in known})


def flatten(tree: Any) -> dict[str, str]:
    """Leaves of nested data by dotted path, as param names; lists of plain values are one leaf."""
    params: dict[str, str] = {}
    for path, leaf in _leaves(tree):
        params[param_name(path, params)] = leaf
    return params


def _batches(values: Mapping[str, str]) -> Iterator[list[Param]]:
    params = [Param(name, value[:MAX_PARAM_VAL_LENGTH]) for name, value in values.items()]
    while params:
        letters = accumulate(len(param.key) + len(param.value) for param in params[:MAX_PARAMS_TAGS_PER_BATCH])
        fitting = max(1, sum(total <= LETTERS_AT_ONCE for total in letters))
        yield params[:fitting]
        del params[:fitting]


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(tree, dict):
        inside = tree.items()
    elif isinstance(tree, list) and any(isinstance(item, dict | list) for item in tree):
        inside = enumerate(tree)
    if not inside:
        yield path, str(tree)
    for key, value in inside:
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
