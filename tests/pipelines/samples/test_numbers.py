import random
from collections import Counter

import pytest

from millstream.pipelines.samples.numbers import numbers_in

DRAW = random.Random(0)
VALUES = [round(DRAW.uniform(-2e6, 2e6), 2) for _ in range(60)] + [0.25, 7.0, 999.5, 1000.0]


def grouped(value, thousands, decimal):
    return f"{value:,.2f}".replace(",", "T").replace(".", decimal).replace("T", thousands)


WAYS = {
    "plain": lambda value: f"{value:.2f}",
    "comma": lambda value: f"{value:.2f}".replace(".", ","),
    "English": lambda value: grouped(value, ",", "."),
    "German": lambda value: grouped(value, ".", ","),
    "Swiss": lambda value: grouped(value, "'", "."),
    "French": lambda value: grouped(value, "\u202f", ","),
    "dollars": lambda value: f"{'-' if value < 0 else ''}${grouped(abs(value), ',', '.')}",
    "minus after the sign": lambda value: f"${grouped(value, ',', '.')}",
    "euros": lambda value: f"{grouped(value, '.', ',')} €",
    "a code": lambda value: f"EUR {grouped(value, '.', ',')}",
    "percent": lambda value: f"{value:.2f}%",
    "a unit": lambda value: f"{value:.2f} km",
}


@pytest.mark.parametrize("way", WAYS)
def test_numbers_are_read_as_they_were_written(way):
    texts = {WAYS[way](value): value for value in VALUES}
    found = numbers_in(Counter(list(texts)))
    assert found.rows == len(texts)
    assert found.values == pytest.approx(texts)
    assert not found.is_whole
    assert not found.is_ambiguous


def test_a_comma_before_three_digits_is_ambiguous_and_the_usual_mark_decides():
    texts = Counter(["1,234", "5,678", "12,000"])
    assert numbers_in(texts).is_ambiguous
    assert numbers_in(texts).values["1,234"] == 1234
    assert numbers_in(texts, ",").values["1,234"] == 1.234
    # a number with two groups settles it
    assert not numbers_in(texts + Counter(["1,234,567"]), ",").is_ambiguous


@pytest.mark.parametrize(
    "text", ["A12", "12A", "1-2", "1,23,4", "12.3.4", "", "$", "+-3", "1 2", "0x10", "\uff11\uff12", "10th"]
)
def test_what_is_no_number_is_none(text):
    assert numbers_in({text: 1}) is None


def test_codes_with_letters_are_no_units():
    assert numbers_in(Counter(["12A", "13A", "14A"])) is None


def test_whole_numbers_have_no_mark():
    assert numbers_in(Counter(["1,000", "20", "3,000,000"])).is_whole
    assert not numbers_in(Counter(["1.0", "2.0"])).is_whole
