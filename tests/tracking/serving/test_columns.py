import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.errors import BadData
from millstream.tracking.serving import columns, replay
from tests.training.signatures import manifest as made
from tests.training.signatures import target

CITIES = ("(unknown)", "Graz", "Wien")
VOCABULARY = ("(pad)", "(unknown)", "a", "b")


def step(name, **learned):
    return Step(name=name, version=1, config={}, learned=learned, rows_in=1, rows_out=1, seconds=0.0)


def prepared():
    city = Column(name="city", dtype="int64", role="input", meaning="category", classes=CITIES)
    wind = Column(name="wind", dtype="float32", role="input", meaning="number")
    tokens = Column(
        name="tokens", dtype="int64", layout="list", shape=(3,), role="input", meaning="tokens", vocabulary=VOCABULARY
    )
    encoded = {"city": {"method": "index", "classes": CITIES, "from": "string"}}
    spelled = {"text": {"method": "characters", "to": "tokens", "vocabulary": VOCABULARY, "lower": True, "longest": 3}}
    scaled = {"wind": {"offset": 10.0, "factor": 0.5}}
    steps = (step("encode", **encoded), step("encode", **spelled), step("scale", **scaled))
    return made(city, wind, tokens, target(2)).model_copy(update={"steps": steps})


RAW = pd.DataFrame({"wind": ["12", 8.0], "city": ["Wien", "Linz"], "text": [" Abx ", "bbbb"], "more": [1, 2]})


def test_raw_rows_become_what_the_preparation_made():
    found = replay.replay(RAW, prepared())
    assert found["city"].tolist() == [2, 0]
    assert found["tokens"].tolist() == [[2, 3, 1], [3, 3, 3]]
    np.testing.assert_array_equal(found["wind"], np.array([1.0, -1.0], np.float32))
    assert "more" not in found


def test_a_caller_brings_the_columns_as_they_were_before():
    found = {column.name: (column.dtype, column.meaning) for column in replay.raw_columns(prepared())}
    assert found == {"city": ("string", "category"), "wind": ("float64", "number"), "text": ("string", "text")}


def test_restored_rows_are_prepared_to_the_same_again():
    first = replay.replay(RAW, prepared())
    again = replay.replay(replay.restore(first, prepared()), prepared())
    assert again["city"].tolist() == first["city"].tolist()
    np.testing.assert_allclose(again["wind"], first["wind"], rtol=1e-6)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (RAW.drop(columns=["wind", "text"]), r"columns \['wind', 'text'\] are missing"),
        (RAW.assign(wind=[1.0, "far"]), "'far' in row 1 is no finite number"),
        (RAW.assign(wind=[np.inf, 1.0]), "inf in row 0 is no finite number"),
        (RAW.assign(wind=[None, 1.0]), "row 0 is no finite number"),
    ],
)
def test_rows_that_the_model_cannot_read_are_refused_with_the_place(rows, message):
    with pytest.raises(BadData, match=message):
        replay.replay(rows, prepared())


@given(st.lists(st.none() | st.text(max_size=4) | st.floats() | st.integers(), max_size=8))
def test_any_value_has_a_category_number_and_only_known_ones_have_their_own(values):
    found = columns.category_numbers(pd.Series(values, dtype=object), CITIES, unknown=0)
    assert [at for value, at in zip(values, found, strict=True) if value in CITIES[1:]] == [
        CITIES.index(value) for value in values if value in CITIES[1:]
    ]
    assert all(at == 0 for value, at in zip(values, found, strict=True) if value not in CITIES)


@given(st.text(max_size=20), st.booleans(), st.integers(1, 10))
def test_tokens_are_never_padding_and_never_too_many(text, lower, longest):
    (found,) = columns.token_numbers(pd.Series([text]), VOCABULARY, lower=lower, longest=longest)
    assert 0 not in found
    assert len(found) <= longest
