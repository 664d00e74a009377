import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from millstream.experiments.search.space import Range, Space, Values, space_of
from millstream.tracking.recipe.loader import load
from tests.tracking.recipes import WHOLE, write

SHARES = some.floats(0, 1, exclude_max=True)


@given(SHARES, some.floats(1e-6, 1e3), some.floats(1.01, 1e6), some.booleans())
def test_a_number_lies_in_its_range_and_can_be_written_in_four_digits(share, low, factor, log):
    found = Range(low=low, high=low * factor, log=log).at(share)
    assert low <= found <= low * factor
    assert found in (low, low * factor) or float(f"{found:.4g}") == found


@given(some.integers(1, 50), some.integers(1, 50))
def test_every_whole_number_has_as_much_room(low, more):
    span = Range(low=low, high=low + more)
    count = more + 1
    assert [span.at((at + 0.5) / count) for at in range(count)] == list(range(low, low + count))
    assert [span.at(0.0), span.at(1 - 1e-12)] == [low, low + more]


def test_on_a_logarithmic_range_half_the_way_is_the_geometric_mean():
    assert Range(low=1e-4, high=1e-2, log=True).at(0.5) == pytest.approx(1e-3)
    halves = [Range(low=1, high=64, log=True).at(share / 1000) <= 8 for share in range(1000)]
    # the room of 1 begins at 1/2, that of 64 ends at 64.5
    assert sum(halves) / 1000 == pytest.approx(math.log(8.5 / 0.5) / math.log(64.5 / 0.5), abs=2e-3)


@given(SHARES)
def test_values_share_the_room(share):
    assert Values(values=("a", "b", "c")).at(share) == "abc"[int(3 * share)]


def test_a_point_is_a_value_for_each_field():
    space = Space({"fit.optimizer.lr": Range(low=0.0, high=1.0), "fit.init": Values(values=("he", "zeros"))})
    assert space.values((0.25, 0.75)) == {"fit.optimizer.lr": 0.25, "fit.init": "zeros"}
    assert space.choices == (None, 2)


def test_a_requested_range_takes_the_place_of_the_recipes(tmp_path):
    section = "search: {fit.optimizer.lr: {low: 0.001, high: 0.1}, fit.batch_size: [32, 64]}\n"
    located = load(str(write(tmp_path, WHOLE + section)))
    space, faults = space_of(located, {"fit.batch_size": {"low": 8, "high": 16}})
    assert not faults
    assert space.fields["fit.batch_size"] == Range(low=8, high=16)
    assert space.fields["fit.optimizer.lr"] == Range(low=0.001, high=0.1)


def test_without_a_range_the_rate_of_the_recipe_is_the_middle(tmp_path):
    located = load(str(write(tmp_path, WHOLE)))
    space, _ = space_of(located, {})
    (span,) = space.fields.values()
    assert span.at(0.5) == pytest.approx(located.recipe.fit["optimizer"]["lr"])


@pytest.mark.bad_input
def test_an_estimator_without_a_range_names_the_command_that_lists_its_fields(tmp_path):
    sets = ["network.name=classical/tree"]
    located = load(str(write(tmp_path, WHOLE)), budget="smoke", sets=sets)
    _, (fault,) = space_of(located, {})
    command = f"millstream check {located.file} --budget smoke --set network.name=classical/tree --fields"
    assert f"`{command}` lists the fields" in fault.message


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("{low: 2, high: 1}", "expected low < high"),
        ("{low: 0, high: 1, log: true}", "expected low > 0"),
        ("{low: 1, hihg: 2}", "did you mean 'high'"),
        ("[3]", "at least 2 items"),
        ("many", "or a list, found 'many'"),
    ],
)
def test_an_invalid_range_is_reported_with_its_line(tmp_path, field, message):
    file = write(tmp_path, WHOLE + f"search:\n  fit.batch_size: {field}\n")
    space, faults = space_of(load(str(file)), {})
    assert space is None
    assert message in " ".join(one.message for one in faults)
    assert {one.where for one in faults} == {f"{file}:{len(file.read_text().splitlines())}"}


@pytest.mark.bad_input
def test_an_estimator_needs_a_declaration_of_what_varies(tmp_path):
    located = load(str(write(tmp_path, WHOLE, ("cnn/lenet, channels: [4, 8]", "classical/tree"))))
    space, (fault,) = space_of(located, {})
    assert space is None
    assert "--over" in fault.message
