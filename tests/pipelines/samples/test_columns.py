import pytest

from millstream.pipelines.samples.columns import null_markers, profile

WORDS = ["red", "green", "blue"]
CASES = {
    "empty": (["", "", ""], "empty", "string"),
    "one value": (["x"] * 30, "constant", "string"),
    "whole numbers": ([str(at % 7) for at in range(30)], "number", "long"),
    "fractions": ([f"{at}.5" for at in range(30)], "number", "double"),
    "postcodes": ([f"{at % 9:05d}" for at in range(90)], "category", "string"),
    "yes and no": (["yes", "no"] * 20, "category", "string"),
    "dates": ([f"{1 + at % 28}.3.2020" for at in range(40)], "time", "timestamp"),
    "rows counted": ([str(at) for at in range(40)], "key", "long"),
    "an id": ([str(at * 7919 % 1009) for at in range(900)], "key", "long"),
    "long digits": ([f"{1 + at}{'1' * 24}" for at in range(40)], "key", "string"),
    "names": ([f"name {at}" for at in range(40)], "key", "string"),
    "texts": ([f"the {word} fox jumps over {at}" for at in range(30) for word in WORDS], "text", "string"),
    "lists": ([[1, 2]] * 30, "nested", "string"),
    "booleans": ([True, False] * 20, "category", "string"),
    "floats": ([at / 2 for at in range(30)], "number", "double"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_kind_of_a_column(case):
    values, kind, type_ = CASES[case]
    found = profile("customer_id" if case == "an id" else "it", values)
    assert (found.kind, found.type) == (kind, type_)
    assert found.evidence


def test_missing_values_are_counted():
    found = profile("x", ["1.5", "", None, "2.5", "NA"], nulls=("", "NA"))
    assert (found.present, found.missing, found.kind) == (2, 3, "number")


def test_a_null_marker_needs_numbers_or_times_beside_it():
    numbers, words = ["1", "2", "-", "NA"], ["a", "b", "NA", "-"]
    assert null_markers({"x": numbers}) == ("", "-", "NA")
    assert null_markers({"x": words}) == ("",)
    assert null_markers({"x": ["a", "NaN"]}) == ("", "NaN")


def test_what_a_person_should_look_at():
    odd = profile("size", [str(at / 4) for at in range(40)] + ["big"])
    assert "1 rows hold no number, as 'big'" in odd.doubts[0]
    assert "one category?" in profile("city", ["Graz", "graz", "Wien"] * 9).doubts[0]
    mixed = profile("grade", ["1", "2", "3", "4", "A", "B"] * 9)
    assert mixed.kind == "category"
    assert "are numbers, and others are not" in mixed.doubts[0]
