"""Rows over several lines, against Python's csv module and a plain reading of the module's rule."""

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream.pipelines.readers import multiline_csv
from millstream.pipelines.readers.multiline_csv import Piece, Values, joined

LIMIT = 14
TEXTS = st.text("ab \n\",;'", max_size=8)
TABLES = st.integers(1, 4).flatmap(lambda count: st.lists(st.lists(TEXTS, min_size=count, max_size=count), min_size=1))
NASTY = st.lists(st.text('",a ', max_size=6) | st.sampled_from(["a,a,a,a", 'a,"a', 'a",a', '"']), max_size=8)


def numbered(lines, before=0):
    return [(text, number) for number, text in enumerate(lines, before + 1)]


def in_pieces(pieces, is_row):
    """As tasks do it that know nothing of each other."""
    held, before = [], 0
    for at, lines in enumerate(pieces):
        yield from joined(numbered(lines, before), is_row, held, ends=at == len(pieces) - 1)
        piece = Piece.of(iter(numbered(lines)), is_row)
        assert piece.lines == len(lines)
        held, before = piece.after(held, before, is_row), before + len(lines)


def plainly(lines, delimiter, count, limit):
    """The module's rule, one sign after the other."""
    at = 0
    while at < len(lines):
        ends = next((end for end in range(at + 1, len(lines)) if lines[end].count('"') % 2), None)
        text = "\n".join(lines[at : (ends or at) + 1])
        if (
            lines[at].count('"') % 2
            and ends is not None
            and len(text) < limit
            and is_well_formed(text, delimiter, count)
        ):
            yield text, at + 1
            at = ends + 1
        else:
            yield lines[at], at + 1
            at += 1


def is_well_formed(text, delimiter, count):
    state, values = "begins", 1
    for at, sign in enumerate(text):
        if state == "in quotes":
            state = "closed" if sign == '"' else state
        elif sign == delimiter:
            state, values = "begins", values + 1
        elif sign == '"':
            if state == "plain" or (state == "closed" and text[at - 1] != '"'):
                return False
            state = "in quotes"  # begins, or a quote that is doubled
        elif sign == " " and state in ("begins", "closed"):
            pass
        elif state == "closed":
            return False
        else:
            state = "plain"
    return state != "in quotes" and values == count


@given(rows=TABLES, delimiter=st.sampled_from(",;"), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_the_csv_module_writes_is_read_row_by_row(rows, delimiter, quoting):
    out, begins = io.StringIO(), []
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    for row in rows:
        begins.append(out.getvalue().count("\n") + 1)
        writer.writerow(row)
    found = list(joined(numbered(out.getvalue().split("\n")[:-1]), Values(delimiter, len(rows[0]))))
    assert [next(csv.reader([text], delimiter=delimiter)) for text, _ in found] == rows
    assert [number for _, number in found] == begins


@given(lines=NASTY, count=st.integers(1, 4))
def test_any_lines_are_joined_by_the_rule(lines, count):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiline_csv, "LONGEST", LIMIT)
        assert list(joined(numbered(lines), Values(",", count))) == list(plainly(lines, ",", count, LIMIT))


@settings(max_examples=500)
@example(pieces=[['1,"a'], ["b" * LIMIT], ["c"]], count=2, limit=LIMIT)
@given(pieces=st.lists(NASTY, min_size=1, max_size=5), count=st.integers(1, 4), limit=st.sampled_from([LIMIT, 1000]))
def test_tasks_that_share_the_lines_read_what_one_reads(pieces, count, limit):
    whole = numbered([line for piece in pieces for line in piece])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiline_csv, "LONGEST", limit)
        assert list(in_pieces(pieces, Values(",", count))) == list(joined(whole, Values(",", count)))


@given(lines=st.lists(st.sampled_from(["1,a", '2,"b"', '"3",c']), min_size=1), data=st.data())
def test_a_quote_that_is_never_closed_costs_its_own_line_alone(lines, data):
    lines = data.draw(st.permutations([*lines, '4,"never closed']))
    assert list(joined(numbered(lines), Values(",", 2))) == numbered(lines)


def test_a_value_ends_within_the_longest_row_or_not_at_all():
    just, over = (['1,"' + "a" * (multiline_csv.LONGEST - 8 + more), 'b"'] for more in (0, 9))
    assert list(joined(numbered(just), Values(",", 2))) == [("\n".join(just), 1)]
    assert list(joined(numbered(over), Values(",", 2))) == numbered(over)
