"""What each page of the records shows: its sections, and the columns of each table."""

from __future__ import annotations

from schema import Attempt, BadInput, Benchmark, Check, Choice, Dataset, Fault, Mended, Run, Security, Soak
from tables import Section, Studies, Table, code, made, measured, minutes, number, references, seeds, tests

PAGES: dict[str, list[Section]] = {
    "results": [
        Table(
            "Recipes",
            "",
            "results/recipes",
            Run,
            {
                "recipe": lambda it: it.recipe.partition("/")[2],
                "data": lambda it: it.data,
                "seed": seeds,
                "measured (pass mark)": measured,
                "for comparison": references,
                "minutes": minutes,
                "a second run": lambda it: it.repeated,
                "`weights`": lambda it: it.weights,
                "code, machine, load": made,
                "written down in": lambda it: it.recorded,
                "note": lambda it: it.note,
            },
            lambda it: it.recipe.partition("/")[0],
        ),
        Studies(
            "Studies, searches, comparisons",
            "Means over the seeds, each with its own split; lowest and highest in brackets.",
            "results/studies",
        ),
        Table(
            "Datasets",
            "`millstream prepare RECIPE --json`, one after the other.",
            "results/datasets",
            Dataset,
            {
                "recipe": lambda it: it.recipe,
                "version": lambda it: it.version,
                "rows of train, valid, test": lambda it: it.rows,
                "seconds": lambda it: number(it.seconds),
                "code, machine, load": made,
                "note": lambda it: it.note,
            },
        ),
        Table(
            "Checks and times of commands",
            "",
            "results/checks",
            Check,
            {
                "what": lambda it: it.check,
                "result": lambda it: it.result,
                "command": lambda it: code(it.command),
                "seeds": seeds,
                "code, machine, load": made,
                "note": lambda it: it.note,
            },
        ),
        Table(
            "How settings were chosen",
            "On valid, if nothing else is stated.",
            "results/choices",
            Choice,
            {"recipe": lambda it: it.recipe, "how": lambda it: it.choice},
        ),
    ],
    "benchmarks": [
        Table(
            "Measurements",
            "",
            "benchmarks/measurements",
            Benchmark,
            {
                "what": lambda it: it.what,
                "measured (target)": measured,
                "for comparison": references,
                "command": lambda it: code(it.command),
                "code, machine, load": made,
                "written down in": lambda it: it.recorded,
                "note": lambda it: it.note,
            },
            lambda it: it.area,
        ),
        Table(
            "Attempts",
            "",
            "benchmarks/attempts",
            Attempt,
            {
                "area": lambda it: it.area,
                "tried": lambda it: it.tried,
                "result": lambda it: it.result,
                "kept": lambda it: "yes" if it.kept else "no",
            },
        ),
    ],
    "reliability": [
        Table(
            "Faults",
            "",
            "reliability/faults",
            Fault,
            {
                "fault": lambda it: it.fault,
                "what must happen": lambda it: it.must,
                "test": tests,
                "times": lambda it: it.times,
                "in `make soak`": lambda it: it.soak,
                "last in full at": lambda it: it.commit,
                "note": lambda it: it.note,
            },
            lambda it: it.area,
        ),
        Table(
            "Bad input",
            "Each test is a table of cases: the input, and the message that is expected. Where a row is quarantined, "
            "the whole prepare runs, and the quarantine and its counts in the manifest are compared; where a file is"
            " refused, nothing may be left.",
            "reliability/inputs",
            BadInput,
            {"input": lambda it: it.input, "test": tests, "cases": lambda it: it.cases},
        ),
        Table(
            "Security",
            "",
            "reliability/security",
            Security,
            {"case": lambda it: it.case, "test": tests, "note": lambda it: it.note},
        ),
        Table(
            "Runs in full numbers",
            "",
            "reliability/soaks",
            Soak,
            {
                "what": lambda it: it.what,
                "times": lambda it: it.times,
                "minutes": lambda it: it.minutes,
                "result": lambda it: it.result,
                "code, machine, load": made,
                "note": lambda it: it.note,
            },
        ),
        Table(
            "Faults fixed",
            "Those that returned wrong results without an error, lost work, hung, or ended in a trace.",
            "reliability/mended",
            Mended,
            {
                "fault": lambda it: it.fault,
                "root": lambda it: it.root,
                "searched for its like": lambda it: it.searched,
                "where else it stood": lambda it: it.elsewhere,
                "test": tests,
                "written down in": lambda it: it.recorded,
            },
        ),
    ],
}
