"""Tree-structured Parzen estimator, by optuna: proposes points where good trials are dense and bad ones are not.

Source: Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from millstream.experiments.search.space import Point, Space
from millstream.experiments.search.trials import Trial
from millstream.tracking import seeds

SEEDS = 2**32


def propose(space: Space, trials: Sequence[Trial], seed: int) -> Point:
    """The point of the next trial; the first ten are random, as the estimators need data.

    The sampler is rebuilt with a seed for each trial, so that a resumed search proposes the same points as an
    uninterrupted one.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    axes = {str(axis): _axis(count) for axis, count in enumerate(space.choices)}
    sampler = optuna.samplers.TPESampler(seed=seeds.key("search", seed, "tpe", len(trials)) % SEEDS)
    study = optuna.create_study(sampler=sampler)
    for trial in trials:
        study.add_trial(_known(trial, space, axes))
    params = study.ask(axes).params
    return tuple(_share(params[axis], count) for axis, count in zip(axes, space.choices, strict=True))


def _axis(count: int | None) -> BaseDistribution:
    return FloatDistribution(0.0, 1.0) if count is None else CategoricalDistribution(range(count))


def _share(drawn: float, count: int | None) -> float:
    """The coordinate of a sampled value; for a category the middle of its interval."""
    return drawn if count is None else (drawn + 0.5) / count


def _known(trial: Trial, space: Space, axes: dict[str, BaseDistribution]) -> optuna.trial.FrozenTrial:
    pairs = zip(axes, trial.point, space.choices, strict=True)
    params = {axis: share if count is None else min(int(share * count), count - 1) for axis, share, count in pairs}
    failed = trial.loss == float("inf")
    state = TrialState.FAIL if failed else TrialState.COMPLETE
    return create_trial(state=state, value=None if failed else trial.loss, params=params, distributions=axes)
