"""One run of a recipe, from preparation to model, over restarts: what MLflow remembers of it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from matplotlib.figure import Figure
from mlflow.entities import Param
from mlflow.entities import Run as MlflowRun
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH, MAX_TAG_VAL_LENGTH

from millstream.tracking.dataset.class_balance import plans
from millstream.tracking.dataset.filesystems import Place
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.errors import BadEnvironment, Stopped, WrongRecipe
from millstream.tracking.figures.balance import balance
from millstream.tracking.host import file_access
from millstream.tracking.host.disk_full import is_full
from millstream.tracking.recipe.schema import Located
from millstream.tracking.recipe.store_names import param_name
from millstream.tracking.runs import run_lock
from millstream.tracking.runs.dataset_input import Input, log_input
from millstream.tracking.runs.metric_spool import CLOSE_WITHIN_S, Spool, file_of, send
from millstream.tracking.runs.mlflow_store import Client, experiment, open_store
from millstream.tracking.runs.registry import Entry, log_model
from millstream.tracking.runs.run_lock import Hold
from millstream.tracking.runs.store_errors import StoreError, shown
from millstream.tracking.settings import Settings

LETTERS_AT_ONCE = 200_000
"""Of params in one request; MLflow takes 1 MB, and so do most proxies."""
LEAVE_WITHIN_S = 5.0
"""How long a run that is stopped or fails waits for its store: less than others, as who stops it may kill it next."""
ENDED = frozenset(["ended", "go_on"])
"""Tags of a run that did not come to its end: why, and how it goes on."""
STACK = ("torch", "pytorch-lightning", "pyspark", "petastorm", "pyarrow", "numpy", "pandas", "mlflow", "scikit-learn")


Told = TypeVar("Told")


class Run:
    """A run in the store. As a context it ends as it was left: finished, failed, or stopped with the way to go on."""

    def __init__(self, client: Client, settings: Settings, found: MlflowRun, located: Located, hold: Hold) -> None:
        self.client = client
        self.settings = settings
        self.id = str(found.info.run_id)
        self.name = str(found.info.run_name)
        self.located = located
        self.resumed = False
        """Whether it goes on from where another process left it."""
        self.go_on = shlex.join(["millstream", "train", *located.words, "--resume", self.id])
        """The command that goes on with it."""
        self._hold = hold
        self._is_handed_over = False
        self._refusal: StoreError | None = None
        """What the store answered, the last time, in the place of taking what it was told."""
        self.spool = Spool(settings, self.id)
        self.spool.start(client)

    @classmethod
    def start(cls, settings: Settings, located: Located, *, parent: str | None = None) -> Self:
        """A new run in the experiment of the recipe's name, with the resolved recipe.

        Raises BadEnvironment when the store cannot be reached, or does not take a run, its params or its files. What it
        answers later stops no run: what it does not take waits in the spool.
        """
        client = open_store(settings)
        tags = _tags(located) | ({"mlflow.parentRunId": parent} if parent else {})
        found = client.create_run(experiment(client, settings, located.name), tags=tags)
        hold = _held(settings, found)
        try:
            for params in _params(located.resolved()):
                client.log_batch(found.info.run_id, params=params)
            client.log_text(found.info.run_id, _yaml(located), "recipe.yaml")
            client.log_text(found.info.run_id, _installed(), "environment.txt")
        except StoreError:
            with suppress(StoreError):
                client.set_terminated(found.info.run_id, "FAILED")
            hold.release()
            raise
        return cls(client, settings, found, located, hold)

    @classmethod
    def resume(cls, settings: Settings, located: Located, run_id: str) -> Self:
        """A run that was stopped, killed or failed, opened again. Raises WrongRecipe when there is none of that id, it
        is of another recipe, or another process works on it."""
        client = open_store(settings)
        found = named(client, located, run_id)
        hold = _held(settings, found)
        _tell_left(client, settings, run_id)
        return cls._again(client, settings, found, located, hold)

    @classmethod
    def unfinished(
        cls,
        settings: Settings,
        located: Located,
        tags: Mapping[str, str],
        has_state: Callable[[Path], bool],
        *,
        only_newest: bool = False,
    ) -> Self | None:
        """The newest run with these tags that was stopped or killed and left a state behind, opened again.

        Passed over are runs that failed, since they would fail again, those that another process works on, and those of
        which `out_of_reach` tells.
        """
        client = open_store(settings)
        within = [experiment(client, settings, located.name)]
        run_lock.reap(client, settings, within)
        runs = _with_tags(client, within, tags)
        for found in runs[:1] if only_newest else runs:
            folder = settings.checkpoints / str(found.info.run_id)
            is_left = (
                found.info.status == "KILLED" and has_state(folder) and file_access.is_writable(*run_lock.files(folder))
            )
            hold = Hold.take(folder) if is_left else None
            if hold is None:
                continue
            _tell_left(client, settings, str(found.info.run_id))
            # it may have been finished by another process before we held it, or when the store did not answer
            if client.get_run(found.info.run_id).info.status == "KILLED":
                return cls._again(client, settings, found, located, hold)
            hold.release()
        return None

    @classmethod
    def _again(cls, client: Client, settings: Settings, found: MlflowRun, located: Located, hold: Hold) -> Self:
        run = cls(client, settings, found, located, hold)
        run.resumed = True
        client.update_run(run.id, status="RUNNING")
        for name in ENDED & client.get_run(run.id).data.tags.keys():
            client.delete_tag(run.id, name)  # it goes on
        run.tag(**run_lock.process())
        return run

    @property
    def folder(self) -> Path:
        """Where its checkpoints lie."""
        return self.settings.checkpoints / self.id

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        self.spool.add(values, step)

    def tag(self, **tags: str) -> None:
        def now() -> None:
            for name, value in cut.items():
                self.client.set_tag(self.id, name, value)

        cut = {name: value[:MAX_TAG_VAL_LENGTH] for name, value in tags.items()}
        self._tell(now, lambda: self.spool.add_tags(cut))

    def _tell(self, now: Callable[[], Told], later: Callable[[], None]) -> Told | None:
        """Tell the store. Where it is gone, or refuses that, it waits in the spool, and there is no answer."""
        if not self.spool.is_behind:
            try:
                return now()
            except StoreError as error:
                if is_full(error):
                    raise
                self._refusal = error
                self.spool.refusal = error
        later()
        return None

    @property
    def _reason(self) -> str:
        """Why something waits in the spool."""
        refusal = self.spool.refusal or self._refusal
        return str(refusal) if refusal else f"{shown(self.client.uri)}: the tracking store does not answer"

    def dataset(self, manifest: Manifest, folder: Place) -> None:
        """Log the dataset version as the run's input, with our digest; its manifest, checks and class counts."""
        given = Input.of(manifest, folder)
        self._tell(lambda: log_input(self.client, self.id, given), lambda: self.spool.add_input(given))
        self.tag(dataset=manifest.name, dataset_version=manifest.version)
        self.text("manifest.json", manifest.text())
        self.text(
            "leakage.txt", "".join(f"{one.name}: {one.ok} {json.dumps(one.figures)}\n" for one in manifest.checks)
        )
        for at, plan in enumerate(plans(manifest.steps), 1):
            self.figure(f"balance_{at}", balance(plan))

    def figure(self, name: str, figure: Figure) -> None:
        """A picture, as `figures/<name>.png`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.png"
            figure.savefig(path, dpi=120)
            self._artifact(path, "figures")

    def text(self, name: str, content: str) -> None:
        self.content(name, content.encode())

    def content(self, name: str, content: bytes) -> None:
        """An artifact at the path `name`."""
        path = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / path.name
            target.write_bytes(content)
            self._artifact(target, str(path.parent) if path.parent != Path() else "")

    def _artifact(self, path: Path, to: str) -> None:
        self._tell(
            lambda: self.client.log_artifact(self.id, str(path), to or None), lambda: self.spool.add_file(path, to)
        )

    def model(self, folder: Path, entry: Entry | None) -> str:
        """Log the folder of an MLflow model, and register it by `entry`; its address. Where the store does not take it
        that is the folder, which is kept until `millstream doctor --send` has logged it."""
        address = self._tell(
            lambda: log_model(self.client, self.id, folder, entry), lambda: self.spool.add_model(folder, entry)
        )
        if address is None:
            sys.stderr.write(f"{self._reason}\nthe model is kept in {folder}\n")
        return address or str(folder)

    def hand_over(self) -> None:
        """Let another process go on with the run, which stays as it is."""
        self.spool.close(self.client)
        self._hold.hand_over()
        self._is_handed_over = True

    def finish(
        self, status: str = "FINISHED", tags: Mapping[str, str] | None = None, wait_s: float = CLOSE_WITHIN_S
    ) -> bool:
        """End the run; False when the store was gone, full, or refused something: what it did not take stays in the
        spool."""
        arrived = self.spool.close(self.client, status, tags, wait_s)
        self._hold.release()
        return arrived

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_handed_over:
            return
        if not (self.finish() if error is None else self._break_off(error)):
            sys.stderr.write(f"{self._reason}\nwhat it did not take is kept in {self.spool.file}; ")
            sys.stderr.write("`millstream doctor --send` sends it, the model too\n")

    def _break_off(self, error: BaseException) -> bool:
        """End the run with why it ended, and how it goes on (tags `ENDED`)."""
        # a disk that is full is like a signal: once there is room, the run goes on
        stopped = isinstance(error, KeyboardInterrupt | SystemExit | Stopped | BadEnvironment) or is_full(error)
        tags = {"ended": f"{type(error).__name__}: {error}"[:500], "go_on": self.go_on[:MAX_TAG_VAL_LENGTH]}
        return self.finish("KILLED" if stopped else "FAILED", tags, LEAVE_WITHIN_S)


def _params(resolved: dict[str, Any]) -> Iterator[list[Param]]:
    """The resolved recipe, flat, in requests of a size that the store takes."""
    params = [Param(name, value[:MAX_PARAM_VAL_LENGTH]) for name, value in flatten(resolved).items()]
    while params:
        letters = accumulate(len(one.key) + len(one.value) for one in params[:MAX_PARAMS_TAGS_PER_BATCH])
        fitting = max(1, sum(total <= LETTERS_AT_ONCE for total in letters))
        yield params[:fitting]
        del params[:fitting]


def out_of_reach(
    settings: Settings, located: Located, tags: Mapping[str, str], has_state: Callable[[Path], bool]
) -> Iterator[str]:
    """Which runs with these tags were broken off, or may have been, that cannot be gone on with here, and why; none
    from before one that was finished."""
    client = open_store(settings)
    for found in _with_tags(client, [experiment(client, settings, located.name)], tags):
        folder = settings.checkpoints / str(found.info.run_id)
        if found.info.status == "FINISHED":
            return
        name = f"run {found.info.run_id} of host {_host(found)}"
        if run_lock.may_run_elsewhere(settings, found):
            yield f"{name} is not known to have ended, and its state is not in {folder.parent}"
        elif found.info.status == "KILLED" and not has_state(folder):
            yield f"{name} was broken off, and no checkpoint of it is in {folder.parent}"
        elif found.info.status == "KILLED" and not file_access.is_writable(*run_lock.files(folder)):
            yield f"{name} was broken off, and {folder} belongs to {file_access.owner(folder)}"


def _with_tags(client: Client, experiments: list[str], tags: Mapping[str, str]) -> list[MlflowRun]:
    """The newest first."""
    same = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
    return list(client.search_runs(experiments, same, order_by=["attributes.start_time DESC"]))


def named(client: Client, located: Located, run_id: str) -> MlflowRun:
    """The run that `--resume` names. Raises WrongRecipe when there is none of that id, or it is of another recipe."""
    try:
        found = client.get_run(run_id)
    except StoreError as error:
        if not error.is_missing:
            raise
        raise WrongRecipe.at(f"--resume {run_id}", "no such run in the store; `millstream ui` shows them") from None
    recipe = found.data.tags.get("recipe")
    if recipe != located.name:
        raise WrongRecipe.at(f"--resume {run_id}", f"is a run of {recipe!r}, not of {located.name!r}")
    return found


def _held(settings: Settings, found: MlflowRun) -> Hold:
    run_id = str(found.info.run_id)
    hold = Hold.take(settings.checkpoints / run_id)
    if hold is None:
        told = f"another process works on it, on host {_host(found)}; wait for it, or start with --fresh"
        raise WrongRecipe.at(f"run {run_id}", told)
    return hold


def _host(found: MlflowRun) -> str:
    """Where the process that has worked on a run last has run."""
    return str(found.data.tags.get("hosts", "unknown"))


def _tell_left(client: Client, settings: Settings, run_id: str) -> None:
    """Send what a run that we hold could not send, its end as well, before it goes on."""
    left = file_of(settings, run_id)
    if left.exists():
        try:
            send(client, left)
        except StoreError as error:
            if error.is_gone:
                raise  # what it refuses waits on, and keeps no run from going on


def flatten(tree: Any) -> dict[str, str]:
    """The leaves of nested data by dotted path, as a name of a param; lists of plain values are one leaf."""
    found: dict[str, str] = {}
    for path, leaf in _leaves(tree):
        found[param_name(path, found)] = leaf
    return found


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(tree, dict):
        inside = tree.items()
    elif isinstance(tree, list) and any(isinstance(one, dict | list) for one in tree):
        inside = enumerate(tree)
    if not inside:
        yield path, str(tree)
    for key, value in inside:
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _tags(located: Located) -> dict[str, str]:
    return {
        "recipe": located.name,
        "about": str(located.recipe.about)[:MAX_TAG_VAL_LENGTH],
        "budget": located.budget,
        "settings": located.fingerprint,
        "code_version": _code_version(),
        "stack": json.dumps(_stack()),
        **run_lock.process(),
    }


def _stack() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in STACK:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # petastorm is not part of the modern stack
    return found


def _code_version() -> str:
    try:
        return importlib.metadata.version("millstream")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@cache
def _installed() -> str:
    read = (one.metadata for one in importlib.metadata.distributions())  # it is parsed at each look
    found = {f"{one['Name']}=={one['Version']}" for one in read}
    return "\n".join(sorted(found, key=str.lower)) + "\n"


def _yaml(located: Located) -> str:
    import yaml

    return str(yaml.safe_dump(located.resolved(), sort_keys=False, allow_unicode=True))
