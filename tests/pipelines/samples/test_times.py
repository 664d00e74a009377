import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from millstream.pipelines.samples.times import times_in

DRAW = random.Random(0)
TIMES = [datetime(2018, 1, 1, tzinfo=UTC) + timedelta(minutes=DRAW.randrange(1_500_000)) for _ in range(80)]
DAYS = [time.replace(hour=0, minute=0) for time in TIMES]
WAYS = {
    "": ("%Y-%m-%d", DAYS),
    "d.M.yyyy": ("%d.%m.%Y", DAYS),
    "M/d/yyyy": ("%m/%d/%Y", DAYS),
    "yyyy/M/d": ("%Y/%m/%d", DAYS),
    "yyyyMMdd": ("%Y%m%d", DAYS),
    "d-MMM-yyyy": ("%d-%b-%Y", DAYS),
    "MMMM d, yyyy": ("%B %d, %Y", DAYS),
    "d/M/yyyy HH:mm": ("%d/%m/%Y %H:%M", TIMES),
    "M/d/yyyy h:mm a": ("%m/%d/%Y %I:%M %p", TIMES),
}


@pytest.mark.parametrize("form", WAYS)
def test_times_are_read_as_they_were_written(form):
    written, times = WAYS[form]
    texts = {time.strftime(written): time for time in times}
    found = times_in(Counter(list(texts)))
    assert found.forms == (form,)
    assert found.values == texts
    assert found.doubt == ""


def test_day_and_month_that_no_date_settles_are_a_doubt():
    found = times_in(Counter(["01/02/2020", "03/04/2021", "05/06/2020"]))
    assert "the day or the month may come first" in found.doubt


def test_two_formats_of_one_column_are_both_found():
    texts = [time.strftime("%Y-%m-%d" if at % 2 else "%d %b %Y") for at, time in enumerate(DAYS)]
    assert set(times_in(Counter(texts)).forms) == {"", "d MMM yyyy"}


def test_one_column_is_never_read_with_the_day_first_and_last():
    # 13 fits neither order in all rows, so that the column is no date at all
    assert times_in(Counter(["13/01/2020", "01/13/2020", "02/14/2020", "15/02/2020"])) is None


@pytest.mark.parametrize("texts", [["12.5", "13.25"], ["a-b-c"], ["2020", "2021"], ["07:30", "08:00"], ["31.02.2020"]])
def test_what_is_no_date_is_none(texts):
    assert times_in(Counter(texts)) is None
