"""Which rank a process is, by what torchrun or SLURM put into its environment."""

import itertools

import pytest

from millstream.tracking.errors import WrongRecipe
from millstream.training.distributed.rank_environment import MEETING, SLURM, TORCHRUN, read
from millstream.training.distributed.ranks import Ranks, misses_returning_hosts

RUN = dict(zip((*TORCHRUN, *MEETING), ("3", "4", "1", "2", "alfa", "29500"), strict=True))
STEP = {**dict(zip(SLURM, ("3", "4", "1", "2"), strict=True)), "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}


@pytest.mark.parametrize("environment", [RUN, STEP, {**RUN, "SLURM_NTASKS": "9"}])
def test_a_rank_that_was_started_knows_its_place(environment):
    assert Ranks.of(environment) == Ranks(3, 4, 1, 2)


@pytest.mark.parametrize(
    "environment",
    [{}, {"SLURM_JOB_ID": "7"}, {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}, {"MASTER_ADDR": "a"}],
)
def test_a_process_without_a_rank_environment_is_alone(environment):
    assert Ranks.of(environment).is_alone


@pytest.mark.bad_input
@pytest.mark.parametrize("names", [some for n in range(1, 6) for some in itertools.combinations(RUN, n)], ids=",".join)
def test_a_part_of_what_torchrun_sets_is_refused_with_what_is_missing(names):
    environment = {name: RUN[name] for name in names}
    if not set(names) & set(TORCHRUN):
        assert read(environment) is None  # where to meet, and nobody who would
        return
    with pytest.raises(WrongRecipe, match="missing; start it with torchrun") as refused:
        read(environment)
    assert all(name in str(refused.value) for name in RUN)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "wrong",
    [
        {"RANK": "4"},
        {"RANK": "-1"},
        {"WORLD_SIZE": "three"},
        {"LOCAL_RANK": "2"},
        {"WORLD_SIZE": "5"},
        {"LOCAL_WORLD_SIZE": "0"},
        {"LOCAL_WORLD_SIZE": "8", "LOCAL_RANK": "7"},
    ],
)
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(WrongRecipe, match=r"environment: .*torchrun"):
        read({**RUN, **wrong})


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("lacking", "expected"),
    [
        (["SLURM_STEP_ID"], "not started by srun"),  # a batch script, which is task 0 of all
        (["SLURM_STEP_ID", "SLURM_PROCID", "SLURM_LOCALID"], "not started by srun"),  # a shell of salloc
        (["SLURM_NTASKS_PER_NODE"], "SLURM_NTASKS_PER_NODE missing; give srun --ntasks and --ntasks-per-node"),
    ],
)
def test_half_of_what_slurm_sets_is_refused(lacking, expected):
    with pytest.raises(WrongRecipe, match=expected):
        read({name: value for name, value in STEP.items() if name not in lacking})


@pytest.mark.parametrize(
    ("changed", "is_warned"),
    [
        ({}, True),
        ({"TORCHELASTIC_MAX_RESTARTS": "0"}, False),
        ({"TORCHELASTIC_USE_AGENT_STORE": "False"}, False),
        ({"LOCAL_WORLD_SIZE": "2"}, False),
    ],
)
def test_agents_that_would_not_find_a_host_that_comes_back_are_known(changed, is_warned):
    elastic = {"TORCHELASTIC_MAX_RESTARTS": "3", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    assert misses_returning_hosts({**elastic, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1", **changed}) is is_warned
    assert not misses_returning_hosts({})
