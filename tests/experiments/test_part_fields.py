import pytest

from millstream.experiments.part_fields import FIT, fields_of, parts
from millstream.tracking.errors import WrongRecipe

EVERY = [*((kind, name) for kind, names in parts().items() for name in names), (FIT, FIT)]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_field_of_every_part_has_a_type_and_a_meaning(kind, name):
    found, fields = fields_of(kind, name)
    assert found == kind
    assert [one["field"] for one in fields if not one["meaning"] or not one["type"]] == []
    assert len({one["field"] for one in fields}) == len(fields)


def test_fields_of_a_column_are_those_of_the_recipe():
    fields = {one["field"]: one for one in fields_of("source", "table")[1]}
    assert fields["columns.<name>.type"]["type"] == "double | long | string | timestamp"
    assert fields["columns.<name>.type"]["required"]
    assert fields["columns.<name>.number.prefix"]["default"] == ""
    assert fields["limit"]["type"] == "whole number | null, >= 1"


def test_the_optimizers_are_distinguished():
    names = [one["field"] for one in fields_of(None, "fit")[1]]
    assert "optimizer(adam).lr" in names
    assert "optimizer(sgd).momentum" in names


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [(None, "lenet", "did you mean 'cnn/lenet'"), ("step", "scal", "did you mean 'scale'")],
)
def test_an_unknown_name_is_refused_with_the_nearest(kind, name, message):
    with pytest.raises(WrongRecipe, match=message):
        fields_of(kind, name)


@pytest.mark.bad_input
def test_a_name_of_two_kinds_needs_its_kind(monkeypatch):
    monkeypatch.setattr("millstream.experiments.part_fields.parts", lambda: {"step": ["scale"], "task": ["scale"]})
    with pytest.raises(WrongRecipe, match="is the name of a step and of a task"):
        fields_of(None, "scale")
