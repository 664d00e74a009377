"""Every recipe fits the code."""

from functools import cache

import pytest

from millstream.pipelines import prepare
from millstream.tracking.recipe import loader, study
from millstream.tracking.recipe.loader import catalogue, studies, summaries
from millstream.tracking.recipe.schema import BUDGETS, direction_of_mark
from millstream.training.assembly import validate
from millstream.training.assembly.build import parts_of

RECIPES = sorted(catalogue())
load = cache(loader.load)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_fits_the_code(name, budget):
    located = load(name, budget=budget)
    assert [*located.faults, *prepare.faults(located), *validate.faults(located)] == []


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", sorted(studies()))
def test_every_combination_of_a_study_fits_the_code(name, budget):
    found = study.load(name, budget=budget)
    assert found.faults == ()
    assert [fault for _, one in found.combinations for fault in prepare.faults(one) + validate.faults(one)] == []


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_a_file_with_its_hash(name):
    data = load(name).recipe.data
    source = data.source if data else {}
    assert all(len(file["sha256"]) == 64 for file in source.get("files", []))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_that_trains_has_a_budget_of_seconds(name):
    recipe = load(name).recipe
    assert not recipe.trains or "smoke" in recipe.budgets


@pytest.mark.parametrize("name", RECIPES)
def test_a_pass_mark_has_the_direction_that_the_task_declares(name):
    located = load(name)
    for metric, mark in located.recipe.marks.items():
        assert parts_of(located).task.direction(metric) == direction_of_mark(mark)


def test_there_is_a_recipe_of_every_family():
    assert {one["family"] for one in summaries()} >= {"classical", "mlp", "cnn", "rnn", "generative", "rl"}
