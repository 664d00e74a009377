import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.tracking.serving import columns
from millstream.tracking.serving.text_normalization import alike, normal_form

COMPOSED, APART = "Caf\u00e9", "Cafe\u0301"


@pytest.mark.parametrize("text", [APART, f"\u00a0{COMPOSED}\u2003", f"\ufeff{APART}\u200b", f"\t{COMPOSED}\u3000\n"])
def test_forms_and_blanks_that_nobody_sees_make_no_other_text(text):
    assert normal_form(text) == COMPOSED


def test_a_blank_inside_and_the_case_of_letters_stay():
    assert normal_form(" New\u00a0York ") == "New\u00a0York"
    assert normal_form("graz") != normal_form("Graz")


@given(st.text())
def test_the_normal_form_is_its_own_and_is_that_of_every_equivalent_text(text):
    found = normal_form(text)
    assert normal_form(found) == found
    assert unicodedata.is_normalized("NFC", found)
    assert normal_form(unicodedata.normalize("NFD", text)) == found


def test_texts_that_look_alike_are_grouped():
    cyrillic = "\u0421\u0421\u0421\u0420"  # four letters that look like CCCP
    groups = alike(["Graz", "graz", "New York", "NewYork", "CCCP", cyrillic, "1\u20132", "1-2", "Wien", "\uff37ien"])
    assert sorted(map(sorted, groups)) == sorted(
        map(
            sorted,
            [["Graz", "graz"], ["New York", "NewYork"], ["CCCP", cyrillic], ["1\u20132", "1-2"], ["Wien", "\uff37ien"]],
        )
    )
    assert alike(["Graz", "Wien", "Linz", "Lienz"]) == []


def test_serving_finds_the_class_of_every_form():
    values = pd.Series([COMPOSED, APART, f"\u00a0{APART}", "Bonn"])
    assert columns.category_numbers(values, ["(unknown)", "Bonn", COMPOSED], unknown=0).tolist() == [2, 2, 2, 1]
    assert columns.target_means(values, {COMPOSED: 2.0}, 1.0).tolist() == [2, 2, 2, 1]
    assert (
        len(set(columns.tag_vectors(pd.Series([f"Bonn, {APART}", f"{COMPOSED} ,Bonn\u2009"]), ["Bonn", COMPOSED], ",")))
        == 1
    )


def test_a_model_from_before_there_was_a_normal_form_keeps_its_classes():
    values = pd.Series([COMPOSED, APART])
    assert columns.category_numbers(values, [APART, COMPOSED], unknown=9).tolist() == [1, 0]
