import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from millstream.experiments.search.run_search import STRATEGIES
from millstream.experiments.search.space import Range, Space, Values
from millstream.experiments.search.strategies import genetic, swarm, tpe
from millstream.experiments.search.trials import Trial, gauss, uniform
from millstream.tracking.recipe import plugins
from millstream.verbs import search as verb

NAMES = plugins.names(STRATEGIES)
CUBE = Space({f"number{at}": Range(low=0.0, high=1.0) for at in range(3)})
MIXED = Space({"number": Range(low=0.0, high=1.0), "choice": Values(values=tuple("abcd"))})
TARGET = (0.2, 0.7, 0.45)


def far(point):
    """Squared distance from a place that no strategy knows."""
    return sum((share - aim) ** 2 for share, aim in zip(point, TARGET, strict=True))


def searched(name, space, loss, count, seed=7, trials=()):
    propose, trials = plugins.find(STRATEGIES, name).propose, list(trials)
    while len(trials) < count:
        point = propose(space, trials, seed)
        trials.append(Trial(point, loss(point)))
    return trials


def test_the_strategies_of_the_command_are_those_that_there_are():
    assert sorted(verb.STRATEGIES) == NAMES


@pytest.mark.parametrize("name", NAMES)
@given(some.lists(some.one_of(some.floats(-5, 5), some.just(math.inf)), max_size=20), some.integers(0, 9))
def test_whatever_the_trials_were_the_next_point_lies_in_the_cube_and_follows_from_it(name, losses, seed):
    propose = plugins.find(STRATEGIES, name).propose
    trials = [Trial(uniform(seed, at, 2), loss) for at, loss in enumerate(losses)]
    point = propose(MIXED, trials, seed)
    assert all(0 <= share <= 1 for share in point)
    assert propose(MIXED, list(trials), seed) == point


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_search_is_the_one_that_was_never_interrupted(name):
    whole = searched(name, CUBE, far, 24)
    assert searched(name, CUBE, far, 24, trials=whole[:13]) == whole
    assert searched(name, CUBE, far, 24, seed=8) != whole


@pytest.mark.parametrize("name", sorted({*NAMES} - {"random"}))
def test_what_learns_from_its_trials_comes_nearer_than_random_search(name):
    seeds = range(10)
    random_loss = np.median([min(one.loss for one in searched("random", CUBE, far, 60, seed)) for seed in seeds])
    learnt = np.median([min(one.loss for one in searched(name, CUBE, far, 60, seed)) for seed in seeds])
    assert learnt < random_loss / 2


@pytest.mark.parametrize("name", sorted({*NAMES} - {"random"}))
def test_the_better_choice_is_tried_more_often(name):
    def loss(point):
        return abs(point[0] - 0.5) + (MIXED.values(point)["choice"] != "c")

    late = [one for seed in range(5) for one in searched(name, MIXED, loss, 40, seed)[20:]]
    counts = Counter(MIXED.values(one.point)["choice"] for one in late)
    assert counts.most_common(1)[0][0] == "c"
    assert counts["c"] > len(late) / 2


@pytest.mark.parametrize("name", NAMES)
def test_trials_that_failed_do_not_end_it(name):
    trials = searched(name, CUBE, lambda point: math.inf if point[0] > 0.5 else far(point), 30)
    assert min(one.loss for one in trials) < math.inf
    assert all(math.isinf(one.loss) for one in searched(name, CUBE, lambda point: math.inf, 15))


def test_a_particle_that_has_come_to_rest_at_the_best_place_stays():
    rest = Trial((0.3, 0.3, 0.3), 0.0)
    assert swarm.propose(CUBE, [rest] * (2 * swarm.PARTICLES), 7) == rest.point


def test_a_particle_flies_on_by_its_inertia_when_it_is_at_its_best():
    before, now = Trial((0.2, 0.2, 0.2), 1.0), Trial((0.3, 0.4, 0.1), 0.0)
    trials = [before] * swarm.PARTICLES + [now] * swarm.PARTICLES
    expected = [here + 0.7298 * (here - there) for here, there in zip(now.point, before.point, strict=True)]
    assert swarm.propose(CUBE, trials, 7) == pytest.approx(expected)


def test_a_child_of_equal_parents_is_like_them_but_for_its_mutations():
    parent = Trial((0.4, 0.5, 0.6), 1.0)
    children = [genetic.propose(CUBE, [parent] * at, 7) for at in range(genetic.POPULATION, 208)]
    changed = [sum(a != b for a, b in zip(child, parent.point, strict=True)) for child in children]
    assert np.mean(changed) == pytest.approx(1.0, abs=0.25)
    moves = [a - b for child in children for a, b in zip(child, parent.point, strict=True) if a != b]
    assert np.std(moves) == pytest.approx(genetic.MUTATION, rel=0.2)


def test_draws_have_the_distribution_that_they_name():
    drawn = [gauss(7, at) for at in range(4000)]
    assert np.mean(drawn) == pytest.approx(0, abs=0.06)
    assert np.std(drawn) == pytest.approx(1, abs=0.05)
    shares = [uniform(7, at, 1)[0] for at in range(4000)]
    assert np.quantile(shares, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.03)


def test_a_choice_that_optuna_draws_is_the_value_that_it_is_given_later():
    point = tpe.propose(MIXED, [], 7)
    (_, known) = tpe._known(Trial(point, 1.0), MIXED, {"0": tpe._axis(None), "1": tpe._axis(4)}).params.values()
    assert MIXED.fields["choice"].values[known] == MIXED.values(point)["choice"]
