"""Reinforcement learning environments, one module each with the functions of `Environment`."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from millstream.tracking.dataset.signature import Signature

Env: TypeAlias = Any
"""A `gymnasium.Env`."""
VectorEnv: TypeAlias = Any
"""A `gymnasium.vector.VectorEnv`."""


class Environment(Protocol):
    """Interface of a module `training/environments/<name>.py`, which also has a frozen `Config`.

    Observations and actions of `make` and `make_vector` have the shapes and dtypes of the signature: images are
    channels first, discrete values start at 0.
    """

    Config: Any

    def make(self, config: Any) -> Env:
        """A single environment, for evaluation and recording."""
        ...

    def make_vector(self, config: Any, count: int) -> VectorEnv:
        """`count` environments stepped together, in the autoreset mode SAME_STEP.

        In this mode the step that ends an episode also resets its environment, and returns the true final observation
        in `final_obs`. In NEXT_STEP, Gymnasium's default, a step follows that ignores its action and has no reward: a
        spurious transition.
        """
        ...

    def signature(self, config: Any) -> Signature:
        """The observation as the only input, the action as the target.

        An action is one category named `action` (Discrete), several named `action_0`, ... (MultiDiscrete), or a
        numeric tensor named `action` (Box). Raises WrongRecipe for unsupported spaces.
        """
        ...

    def threshold(self, config: Any) -> float | None:
        """Mean return at which the environment counts as solved; None if it defines none."""
        ...

    def identity(self, config: Any) -> dict[str, str]:
        """Name of the environment and version of its rules; a checkpoint resumes only with an equal identity."""
        ...

    def draw(self, config: Any, observation: NDArray[Any]) -> NDArray[Any] | None:
        """Image, uint8 (H, W, 3), of an observation; None if it cannot be drawn."""
        ...

    def state(self, env: Env) -> dict[str, Any] | None:
        """The complete state of the episode in progress, as plain values; None if it is hidden.

        With a hidden state a resumed run starts a new episode: see `training.rl.episodes`.
        """
        ...

    def restore(self, env: Env, state: dict[str, Any]) -> None:
        """Set an environment to a state that `state` returned."""
        ...
