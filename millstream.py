"""The front door: each verb of the command calls one function of a package.

Packages are imported when a verb needs them, so that `--help` does not wait for Spark, torch and MLflow.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tracking import tables
from tracking.command import CODES, UNDER_THE_MARK, Answer, verb
from tracking.printable import printable

if TYPE_CHECKING:
    from tracking.dataset import Dataset
    from tracking.faults import Fault
    from tracking.recipe import Located
    from tracking.settings import Settings
    from tracking.study_file import LocatedStudy
    from training.feed.reading import Reading

Work = Callable[..., Any]


@click.group(epilog=CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Spark makes the dataset, Lightning makes the model from it, MLflow remembers both.

    A recipe is one YAML file: data, task, network, fit, budgets and pass mark. The shortest way to a model:

    \b
      millstream run cnn/lenet-digits     prepare, train, evaluate, register
      millstream ui                       look at the run
      millstream recipes                  what else there is

    Settings come from MILLSTREAM_HOME, MILLSTREAM_STORE, MILLSTREAM_MIRROR and MLFLOW_TRACKING_URI.
    """


def main() -> None:
    """The console command."""
    signal.signal(signal.SIGTERM, _terminate)
    # how long threads spin while they wait for work (docs/decisions/005-threads-and-memory.md); torch reads it once
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    cli(prog_name="millstream")


budget_option = click.option(
    "--budget",
    type=click.Choice(["smoke", "cpu", "full"]),
    default="cpu",
    show_default=True,
    help="Seconds; minutes; a GPU.",
)
sets_option = click.option(
    "--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Change any field: fit.epochs=3."
)


def recipe_options(work: Work) -> Work:
    """RECIPE, --budget and --set."""
    return click.argument("recipe")(budget_option(sets_option(work)))


def training_options(work: Work) -> Work:
    """--devices, --nodes, --fresh and --require-pass."""
    work = click.option("--fresh", is_flag=True, help="A new run, even if one like it was broken off and could go on.")(
        work
    )
    work = click.option("--require-pass", is_flag=True, help="Exit with 1 when a pass mark is missed.")(work)
    work = click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines.")(work)
    return click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="Processes a machine.")(
        work
    )


master_option = click.option("--master", metavar="URL", help="Spark master; default: all cores of this machine.")


@verb(cli, tables.recipes)
@click.option("--family", metavar="NAME", help="Those of one family: cnn, rnn, mlp, classical, generative, rl.")
def recipes(family: str | None) -> list[dict[str, Any]]:
    """List the recipes with their data, budgets and pass marks.

    \b
    Example: millstream recipes --family cnn
    """
    from tracking.recipe_file import summaries

    return [one for one in summaries() if family in (None, one["family"])]


@verb(cli, tables.checked)
@recipe_options
@click.option("--fields", is_flag=True, help="Show every field of task, network and fit: its value here, its meaning.")
def check(recipe: str, budget: Any, sets: tuple[str, ...], fields: bool) -> Answer:
    """Tell all faults of a recipe, or of a study, at once, without running it.

    \b
    Example: millstream check my/recipe.yaml --set network.channels=[8,16]
    """
    from tracking.study_file import is_study
    from training import check as training_check

    located, found = _checked(recipe, budget, sets) if not is_study(recipe) else _base(recipe, budget, sets)
    told: dict[str, Any] = {"ok": not found, "faults": [fault.model_dump() for fault in found]}
    if fields and not found:
        told["fields"] = training_check.fields(located)
    return Answer(told, 2 if found else 0)


@verb(cli, tables.prepared)
@recipe_options
@master_option
def prepare(recipe: str, budget: Any, sets: tuple[str, ...], master: str | None) -> Any:
    """Make the recipe's dataset version from raw data, on Spark.

    The same input names the same version, which is made once and then found again.

    \b
    Example: millstream prepare cnn/lenet-mnist --master spark://host:7077
    """
    from pipelines import prepare as preparation

    located = _located(recipe, budget, sets)
    if located.recipe.data is None:
        _say(f"{located.name} learns in an environment: there is nothing to prepare")
        nothing = {"train": 0, "valid": 0, "test": 0}
        return {
            "dataset": None,
            "version": None,
            "path": None,
            "rows": nothing,
            "quarantined": 0,
            "reused": False,
            "seconds": 0.0,
        }
    return preparation.prepare(located, _settings(), master=master, say=_say)


@verb(cli, tables.trained_or_found)
@recipe_options
@click.option("--dataset", metavar="PATH", help="A dataset version: its folder, or NAME/VERSION in the store.")
@click.option("--resume", metavar="RUN", help="Go on with a run that was stopped or killed, from its last checkpoint.")
@click.option("--find", type=click.Choice(["lr", "batch_size"]), help="Try values in a few steps, and train nothing.")
@click.option("--unregistered", is_flag=True, hidden=True)
@click.option("--master", metavar="URL", help="Spark master whose hosts run the processes; default: this machine.")
@training_options
def train(
    recipe: str,
    budget: Any,
    sets: tuple[str, ...],
    dataset: str | None,
    resume: str | None,
    find: Any,
    unregistered: bool,
    master: str | None,
    devices: int,
    nodes: int,
    fresh: bool,
    require_pass: bool,
) -> Answer:
    """Train the recipe's network on a prepared dataset version, and register the model.

    A run of the same recipe, data and code that was killed or stopped goes on from its last checkpoint. Processes that
    torchrun or srun have started find each other; --devices N starts N of them on this machine, or with --master on the
    hosts of a Spark cluster.

    \b
    Example: millstream train cnn/lenet-mnist --resume 4c1f... --devices 2
    """
    from pipelines import prepare as preparation
    from pipelines.spark_ranks import on_hosts
    from tracking.dataset import Dataset
    from tracking.run import Run
    from training.launch import launch
    from training.resume import begin
    from training.together import here_as_rank, in_ranks, needs_launch

    if resume and fresh:
        raise click.UsageError("--resume goes on with a run, and --fresh starts one; leave one of them out")
    located, settings = _located(recipe, budget, sets), _settings()
    if needs_launch(devices, nodes):
        more = {"--dataset": dataset, "--resume": resume}
        words = [word for name, value in more.items() if value for word in (name, value)]
        start = partial(on_hosts, master, settings) if master else launch
        told, code = in_ranks(located, devices, *words, *(["--fresh"] if fresh else []), start=start)
        return Answer(told, code or _code(told, require_pass))
    if master is not None:
        raise click.UsageError("--master is where the processes of --devices N run; give N, or leave it out")
    used = None
    if located.recipe.data is not None:
        used = Dataset.open(dataset, settings.store, settings.cache) if dataset else preparation.find(located, settings)
    if find:
        return Answer(_found(find, located, settings, used), 0)

    def open_run() -> Run:
        if resume is None:
            return begin(located, settings, used, fresh=fresh, say=_say)
        run = Run.resume(settings, located, resume)
        _say(f"run {run.id}")
        return run

    result = here_as_rank(located, settings, used, open_run, register=not unregistered)
    if result is None:
        sys.exit(0)  # the first rank answers for all
    return Answer(result, _code(result, require_pass))


@verb(cli, tables.run)
@recipe_options
@master_option
@training_options
def run(recipe: str, budget: Any, sets: tuple[str, ...], require_pass: bool, **options: Any) -> Answer:
    """Prepare, train, evaluate and register: the whole way in one run, which goes on if it was broken off.

    \b
    Example: millstream run cnn/lenet-digits --budget smoke
    """
    from tracking.tables import combined

    located, settings = _located(recipe, budget, sets), _settings()
    if not located.recipe.trains:
        from pipelines import prepare as preparation

        _say(f"{located.name} is data alone: it is prepared, and nothing is trained")
        return Answer(preparation.prepare(located, settings, master=options["master"], say=_say), 0)
    if located.recipe.repeat is None:
        result = combined(*_once(located, settings, **options))
    else:
        result = _repeated(recipe, budget, sets, settings, **options)
    return Answer(result, UNDER_THE_MARK if require_pass and result["passed"] is False else 0)


@verb(cli, tables.evaluated)
@click.argument("model")
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="test", show_default=True)
def evaluate(model: str, split: str) -> Any:
    """Measure a model on a split of the dataset version that it came from.

    \b
    Example: millstream evaluate models:/cnn.lenet-digits@champion
    """
    from training.evaluate import evaluate as measure

    return measure(model, _settings(), split=split)


@verb(cli, tables.compared)
@click.argument("recipes", nargs=-1, metavar="[RECIPE]...")
@click.option("--metric", metavar="NAME", help="What is ranked by: accuracy, auc, rmse ...; default: the task's first.")
@click.option("--budget", type=click.Choice(["smoke", "cpu", "full"]), help="Runs of this budget alone.")
@click.option("--train", "missing", is_flag=True, help="First run those of the recipes that have no finished run.")
def compare(recipes: tuple[str, ...], metric: str | None, budget: Any, missing: bool) -> Any:
    """Rank the newest models of recipes on one dataset version, and tell which differences are more than chance.

    Each model is loaded and measured again on the same test rows. Without a RECIPE all that have runs on the same
    dataset version are ranked together.

    \b
    Example: millstream compare classical/tree-mnist classical/forest-mnist --train
    """
    from tracking.finished import newest
    from training.compare import compare as rank

    settings = _settings()
    located = [_located(one, budget or "cpu", ()) for one in recipes]
    names = list(dict.fromkeys(one.name for one in located))
    if missing:
        had = {one.recipe for one in newest(settings, names, budget)} if names else set()
        for one in located:
            if one.name not in had:
                _say(f"{one.name} has no finished run: it is run now")
                _once(one, settings, master=None, devices=1, nodes=1, fresh=False)
    return rank(settings, names, metric=metric, budget=budget, say=_say)


@verb(cli, tables.studied)
@click.argument("name")
@budget_option
@sets_option
@master_option
@click.option("--fresh", is_flag=True, help="Run all combinations anew.")
def study(name: str, budget: Any, sets: tuple[str, ...], master: str | None, fresh: bool) -> Any:
    """Run every combination of a study, and draw what came of them; what is finished is not run again.

    \b
    Example: millstream study initialisation --budget smoke
    """
    from tracking.faults import WrongRecipe
    from training.study import Hands, run_study

    located, faults = _checked_study(name, budget, sets)
    WrongRecipe.unless_empty(faults)
    settings = _settings()
    options: dict[str, Any] = {"master": master, "devices": 1, "nodes": 1, "fresh": fresh, "register": False}
    hands = Hands(
        find=lambda one: _published(one, settings) if one.recipe.data is not None else None,
        once=lambda one, parent: _once(one, settings, parent=parent, **options),
    )
    return run_study(located, settings, hands, fresh=fresh, say=_say)


@verb(cli, tables.scored)
@click.argument("model")
@click.argument("source", metavar="INPUT")
@click.argument("output")
@master_option
def score(model: str, source: str, output: str, master: str | None) -> Any:
    """Score a table of raw columns on Spark: Parquet or CSV in, Parquet out, whole or nothing.

    \b
    Example: millstream score models:/mlp.adult/1 people.csv scored
    """
    from pipelines.score import score as batch_score

    return batch_score(model, source, output, _settings(), master=master)


@verb(cli, tables.inspected)
@click.argument("dataset")
@click.option("--row", metavar="SAMPLE_ID", help="The lineage of one row, back to its source file.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page to look at, in one file.")
def inspect(dataset: str, row: str | None, html: Path | None) -> Any:
    """Tell what is in a dataset version: columns, classes, figures of every split, how it was made.

    \b
    Example: millstream inspect mnist --html mnist.html
    """
    from tracking.inspection import look, page

    if row is not None:
        return look.ancestry(_dataset(dataset), row)
    found = look.look_at(_dataset(dataset))
    if html is not None:
        page.write(found, html)
        _say(f"{html} is written")
    return found.told()


@verb(cli, tables.faults)
@click.argument("dataset")
def verify(dataset: str) -> Answer:
    """Compare every hash, digest, count and check of a dataset version with its files.

    \b
    Example: millstream verify mnist/3f0c5ab64d6c2f1e
    """
    from tracking.verify import verify as compare

    found = compare(_dataset(dataset), _say)
    return Answer({"ok": not found, "faults": [fault.model_dump() for fault in found]}, 3 if found else 0)


@verb(cli, tables.pruned)
@click.argument("dataset", required=False)
@click.option("--keep", type=click.IntRange(1), default=1, show_default=True, help="The newest of each dataset stay.")
@click.option("--yes", is_flag=True, help="Remove them; without it, it is only told what would go.")
def prune(dataset: str | None, keep: int, yes: bool) -> Any:
    """Remove dataset versions that no run, no model, no other version and no `latest` names.

    \b
    Example: millstream prune mnist --keep 3
    """
    from pipelines.prune import prune as tidy

    return tidy(_settings(), dataset, keep=keep, yes=yes)


@verb(cli, tables.walked)
@recipe_options
@click.option("--split", default="train", show_default=True)
@click.option("--epoch", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--ranks", type=click.IntRange(1), default=1, show_default=True, help="As so many processes would see it."
)
@click.option("--engine", type=click.Choice(["petastorm", "arrow"]), help="Default: petastorm where it is installed.")
@click.option("--memory", type=click.Choice(["cached", "streamed"]), help="Default: cached if the split fits.")
@click.option("--show", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture of the first batch.")
def feed(recipe: str, budget: Any, sets: tuple[str, ...], split: str, **options: Any) -> Any:
    """Walk an epoch of RECIPE (or of a DATASET) as the model would get it; one hash for all global batches in order.

    \b
    Example: millstream feed cnn/lenet-mnist --ranks 4 --engine arrow --show batch.png
    """
    from training.feed.walk import walk

    dataset, signature, reading = _fed(recipe, budget, sets)
    asked = {name: value for name in ("engine", "memory") if (value := options.pop(name))}
    return walk(dataset, split, signature, reading.model_copy(update=asked), **options)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
def ui(host: str, port: int) -> None:
    """Serve MLflow's pages over the tracking store, until Ctrl-C."""
    from tracking.store import open_store
    from tracking.store import ui as command_line

    settings = _settings()
    open_store(settings)
    _say(f"http://{host}:{port}")
    program = command_line(settings, host, port)
    os.execv(program[0], program)


@verb(cli, tables.checks)
@click.option("--send", is_flag=True, help="Send metrics that runs could not send.")
@click.option("--feed", "fed", metavar="RECIPE", help="Tell what limits its training: reading, decoding, the model ...")
def doctor(send: bool, fed: str | None) -> Answer:
    """Tell what is wrong with this machine, and the one command that mends it.

    \b
    Example: millstream doctor --feed cnn/lenet-mnist
    """
    from pipelines import doctor as preparing
    from tracking import doctor as remembering
    from training import doctor as training

    settings = _settings()
    found = [*preparing.checks(settings), *training.checks(), *remembering.checks(settings, send_spool=send)]
    if fed is not None:
        found += _feed_checks(fed, settings)
    ok = all(one.ok for one in found)
    return Answer({"ok": ok, "checks": [one.model_dump() for one in found]}, 0 if ok else 4)


def _later(name: str, about: str) -> None:
    @cli.command(
        name, context_settings={"ignore_unknown_options": True}, help=f"{about} Not yet: it comes with a later version."
    )
    @click.argument("words", nargs=-1)
    def command(words: tuple[str, ...]) -> None:
        _say(f"{name}: not yet; it comes with a later version of Millstream")
        sys.exit(2)


_later("search", "Hyper-parameter search.")


def _once(
    located: Located,
    settings: Settings,
    *,
    master: str | None,
    devices: int,
    nodes: int,
    fresh: bool,
    parent: str | None = None,
    register: bool = True,
) -> tuple[Any, Any]:
    """What was prepared (None for an environment) and trained, in one run."""
    from pipelines import prepare as preparation
    from tracking.dataset import Dataset
    from training.fit import train as fit
    from training.resume import begin
    from training.together import in_ranks, needs_launch

    # a dataset that is not there yet was never trained on
    has_data = located.recipe.data is not None
    known = _published(located, settings) if has_data and not fresh else None
    fresh = fresh or (has_data and known is None)
    with begin(located, settings, known, fresh=fresh, parent=parent, say=_say) as tracked:
        prepared, dataset = None, None
        if located.recipe.data is not None:
            prepared = preparation.prepare(located, settings, master=master, say=_say)
            tracked.tag(prepare_seconds=str(prepared.seconds), reused=str(prepared.reused).lower())
            dataset = Dataset.open(prepared.path, settings.store, settings.cache)
        if not needs_launch(devices, nodes):
            return prepared, fit(located, tracked, dataset, register=register)
        tracked.hand_over()
    words = ["--resume", tracked.id, *(["--dataset", str(dataset.folder)] if dataset else [])]
    return prepared, in_ranks(located, devices, *words, *([] if register else ["--unregistered"]))[0]


def _code(trained: Any, require_pass: bool) -> int:
    return UNDER_THE_MARK if require_pass and trained.passed is False else 0


def _found(what: Any, located: Located, settings: Settings, dataset: Dataset | None) -> Any:
    """A value that would do, looked for in a run of its own."""
    from tracking.run import Run
    from training.find import find

    with Run.start(settings, located) as run:
        _say(f"run {run.id}")
        return find(what, located, run, dataset)


def _repeated(recipe: str, budget: Any, sets: tuple[str, ...], settings: Settings, **options: Any) -> dict[str, Any]:
    """The recipe once for each value of the repeated field, as nested runs; the metrics are their means."""
    from tracking.repeat import summary
    from tracking.run import Run

    located = _located(recipe, budget, sets)
    repeat = located.recipe.repeat
    if repeat is None:
        raise click.UsageError(f"{recipe} repeats nothing")
    done = []
    with Run.start(settings, located) as parent:
        for at, value in enumerate(repeat.values):
            _say(f"{repeat.field} = {value} ({at + 1} of {len(repeat.values)})")
            one = _located(recipe, budget, (*sets, f"{repeat.field}={value}"))
            done.append(_once(one, settings, parent=parent.id, register=at == 0, **options | {"fresh": True}))
        return summary(parent, located, done)


def _settings() -> Settings:
    from tracking.settings import Settings

    return Settings.read(os.environ)


def _located(recipe: str, budget: Any, sets: tuple[str, ...]) -> Located:
    """The recipe, or all of its faults at once."""
    from tracking.faults import WrongRecipe

    located, faults = _checked(recipe, budget, sets)
    WrongRecipe.unless_empty(faults)
    return located


def _checked(recipe: str, budget: Any, sets: tuple[str, ...]) -> tuple[Located, list[Fault]]:
    from tracking.recipe_file import load

    located = load(recipe, budget=budget, sets=sets)
    return located, [*located.faults, *_section_faults(located)]


def _checked_study(name: str, budget: Any, sets: tuple[str, ...]) -> tuple[LocatedStudy, list[Fault]]:
    """A study with the faults of all of its combinations, each once."""
    from tracking.study_file import load

    study = load(name, budget=budget, sets=sets)
    recipes = [one for _, one in study.combinations] or [study.base]
    return study, list(dict.fromkeys([*study.faults, *(fault for one in recipes for fault in _section_faults(one))]))


def _base(name: str, budget: Any, sets: tuple[str, ...]) -> tuple[Located, list[Fault]]:
    study, found = _checked_study(name, budget, sets)
    return study.base, found


def _section_faults(located: Located) -> list[Fault]:
    from pipelines import prepare as preparation
    from training import check as training_check

    return [*preparation.faults(located), *training_check.faults(located)]


def _dataset(name: str) -> Dataset:
    from tracking.dataset import Dataset

    settings = _settings()
    return Dataset.open(name, settings.store, settings.cache)


def _published(located: Located, settings: Settings) -> Dataset | None:
    """The recipe's dataset version, if it was prepared before; why it was not is told by the preparation."""
    from pipelines.prepare import find
    from tracking.faults import BadData

    try:
        return find(located, settings)
    except BadData:
        return None


def _fed(name: str, budget: Any, sets: tuple[str, ...]) -> tuple[Dataset, Any, Reading]:
    """Dataset, signature and way of reading of a recipe, or those that a bare dataset gets."""
    from pipelines.prepare import find
    from tracking.recipe_file import catalogue
    from training.build import parts_of
    from training.feed.reading import Reading

    if name in catalogue() or name.endswith((".yaml", ".yml")):
        located = _located(name, budget, sets)
        dataset = find(located, _settings())
        if located.recipe.trains:
            parts = parts_of(located)
            return dataset, parts.signature(dataset.manifest), parts.fit
    else:
        dataset = _dataset(name)
    targets = [column.name for column in dataset.manifest.columns if column.role == "target"]
    return dataset, dataset.manifest.signature(targets[0] if len(targets) == 1 else None), Reading()


def _feed_checks(recipe: str, settings: Settings) -> list[Any]:
    from pipelines.prepare import find
    from training import doctor as training
    from training.build import parts_of

    located = _located(recipe, "cpu", ())
    parts = parts_of(located)
    return list(training.feed_checks(find(located, settings), parts, _say))


def _say(told: str) -> None:
    click.echo(printable(told), err=True)


def _terminate(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
