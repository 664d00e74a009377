"""Reads rank and world size from the environment variables of torchrun, SLURM and Spark's TorchDistributor.

Incomplete variables are refused: such a process would wait for ranks that nobody started, or each process would train
the whole model alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from millstream.tracking.errors import WrongRecipe

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
MEETING = ("MASTER_ADDR", "MASTER_PORT")
SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE")
STEP = ("SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS")
"""srun sets at least one of these; a batch script has none."""

Numbers = tuple[int, int, int, int]
"""Rank, world size, local rank, local world size."""


def read(environment: Mapping[str, str]) -> Numbers | None:
    """None where no variable is set (a single process). Raises WrongRecipe for incomplete or inconsistent variables."""
    if any(environment.get(name) for name in TORCHRUN):
        return _checked(environment, (*TORCHRUN, *MEETING), "start it with torchrun, or unset them")
    tasks = environment.get("SLURM_NTASKS", "")
    if not tasks or tasks == "1":
        return None
    if not any(environment.get(name) for name in STEP):
        message = f"SLURM_NTASKS={tasks}, and this process was not started by srun: the other tasks would never come"
        raise WrongRecipe.at(
            "environment", f"{message}; give `srun millstream ...`, or unset SLURM_NTASKS to train alone"
        )
    return _checked(environment, SLURM, "give srun --ntasks and --ntasks-per-node")


def _checked(environment: Mapping[str, str], names: tuple[str, ...], advice: str) -> Numbers:
    given = {name: environment.get(name, "") for name in names}
    shown = ", ".join(f"{name}={value}" for name, value in given.items() if value)
    if missing := [name for name, value in given.items() if not value]:
        message = f"{shown} is only a part of the rank's description; {', '.join(missing)} missing"
        raise WrongRecipe.at("environment", f"{message}; {advice}")
    numbers = list(given.values())[:4]
    if not all(one.isdecimal() for one in numbers):
        raise WrongRecipe.at("environment", f"{shown}: not all are whole numbers; {advice}")
    rank, ranks, local_rank, local_ranks = map(int, numbers)
    if not (rank < ranks and local_rank < local_ranks <= ranks and ranks % local_ranks == 0):
        message = f"{shown} cannot be: each host has equally many ranks, and a rank is below their number"
        raise WrongRecipe.at("environment", f"{message}; {advice}")
    return rank, ranks, local_rank, local_ranks
