"""Shared by all verbs: turns errors into messages and exit codes, and results into tables or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from millstream.tracking.settings import Settings

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps

from millstream.tracking.errors import (
    BadEnvironment,
    Ended,
    Refusal,
    Stopped,
    Terminated,
    WrongRecipe,
    causes,
    interrupt_of,
)
from millstream.tracking.host import disk_full, file_access
from millstream.tracking.host.terminal_text import printable
from millstream.tracking.settings import Settings, sqlite_file

UNDER_THE_MARK = 1
CODES = """Exit codes: 0 done; 1 done, but under the pass mark (with --require-pass); 2 the command or recipe is wrong;
3 data missing, corrupt or refused; 4 something of the environment is missing or full; 5 training failed;
130, 143 stopped by a signal, state saved."""

Work = Callable[..., Any]


@dataclass(frozen=True)
class Answer:
    """A result with its exit code."""

    result: Any
    exit_code: int


@dataclass(frozen=True)
class Ongoing:
    """A result that is shown at once, and what is then done until a signal comes."""

    result: Any
    go_on: Callable[[], None]


def verb(group: click.Group, show: Callable[[Any], None]) -> Callable[[Work], click.Command]:
    """Turns a function into a command: `show` prints its result as tables, `--json` as JSON."""

    def command(work: Work) -> click.Command:
        @click.option(
            "--json", "as_json", is_flag=True, help="The last line on stdout is the result as one JSON object."
        )
        @wraps(work)
        def run_verb(as_json: bool, **options: Any) -> None:
            with _stdout_kept(as_json) as out:
                result, code = _done(work, options)
                report = partial(_report, show=show, out=out if as_json else None)
                if isinstance(result, Ongoing):
                    report(result.result)
                    result, code = _done(result.go_on, {})
                    if code:
                        report(result)
                else:
                    report(result)
            sys.exit(code)

        return group.command(work.__name__.rstrip("_"), epilog=CODES)(run_verb)

    return command


def _report(result: Any, show: Callable[[Any], None], out: Any) -> None:
    """Writes JSON to `out`, or shows a result where that is None."""
    if out is not None:
        out.write(json.dumps(_plain(result), allow_nan=True) + "\n")
        out.flush()
    elif not isinstance(result, _Failed):
        show(result)


class Verbs(click.Group):
    """The click group; usage errors are reported as JSON, too, when a verb has --json."""

    def invoke(self, ctx: click.Context) -> Any:
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if as_json:
                click.echo(json.dumps(_misused(error)))
            raise
        except (click.exceptions.Exit, click.ClickException, BrokenPipeError):
            raise  # click's own control flow
        except (KeyboardInterrupt, Exception) as error:  # of a verb without a result: `ui`
            ctx.exit(_interrupted(error)[1])


class _Failed(dict[str, Any]):
    """The error, for `--json`."""


def _done(work: Work, options: dict[str, Any]) -> tuple[Any, int]:
    try:
        result = work(**options)
    except (KeyboardInterrupt, SystemExit, Exception) as error:
        return _interrupted(error)
    return (result.result, result.exit_code) if isinstance(result, Answer) else (result, 0)


def _interrupted(error: BaseException) -> tuple[_Failed, int]:
    """Report of an error, and the exit code."""
    if isinstance(error, Ended):
        return _Failed(error.answer), error.exit_code
    if isinstance(error, Stopped):
        click.echo(str(error), err=True)
        return _Failed(error=str(error), exit=error.exit_code), error.exit_code
    interrupt = interrupt_of(error)
    if interrupt is not None:
        code = 143 if isinstance(interrupt, Terminated) else 130
        click.echo("stopped", err=True)
        return _Failed(error="stopped", exit=code), code
    if isinstance(error, Refusal):
        return _refused(error), error.exit_code
    if isinstance(error, click.UsageError):
        error.show()
        return _misused(error), error.exit_code
    if isinstance(error, SystemExit):
        raise error
    refused = _of_this_machine(error, Settings.read(os.environ)) or _unforeseen(error)
    return _refused(refused), refused.exit_code


def _unforeseen(error: BaseException) -> Refusal:
    """Report of an unexpected error: one line, and the file with its traceback."""
    text = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}" if str(error).strip() else repr(error)
    named = next((cause.filename for cause in causes(error) if isinstance(cause, OSError) and cause.filename), None)
    with tempfile.NamedTemporaryFile("w", prefix="millstream-", suffix=".txt", encoding="utf-8", delete=False) as file:
        file.writelines(traceback.format_exception(error))
    if named is not None:
        return BadEnvironment.at(named, f"{text}; look at the file, its folder and its owner (trace: {file.name})")
    where = traceback.extract_tb(error.__traceback__)[-1]
    message = f"{text}; an unexpected error, report it with the trace in {file.name}"
    return BadEnvironment.at(f"{where.filename}:{where.lineno}", message)


def _of_this_machine(error: BaseException, settings: Settings) -> Refusal | None:
    """Refusal for a full disk or a file of another user, when no code closer to the file reported it."""
    if disk_full.is_full(error):
        return disk_full.refusal(error, settings.home)
    return file_access.refusal(error, sqlite_file(settings.tracking_uri))


def _misused(error: click.UsageError) -> _Failed:
    """A usage error of click as a refusal."""
    where = (error.ctx or click.get_current_context()).command_path
    return _Failed(WrongRecipe.at(where, error.format_message()).answer)


def _refused(refused: Refusal) -> _Failed:
    for fault in refused.faults:
        click.echo(printable(str(fault)), err=True)
    return _Failed(refused.answer)


@contextmanager
def _stdout_kept(as_json: bool) -> Iterator[Any]:
    """Yields the real stdout; with `as_json`, everything that libraries print goes to stderr."""
    if not as_json:
        yield sys.stdout
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(kept, "w", encoding="utf-8") as out:
        yield out
        sys.stdout.flush()
        os.dup2(kept, 1)


def _plain(result: Any) -> Any:
    if hasattr(result, "model_dump"):
        return result.model_dump(mode="json")
    return [_plain(item) for item in result] if isinstance(result, list) else result


def code(trained: Any, require_pass: bool) -> int:
    return UNDER_THE_MARK if require_pass and trained.passed is False else 0
