"""Games and numerical systems that a policy learns in: one module each, with the functions of `Environment`."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from millstream.tracking.dataset.signature import Signature

Env: TypeAlias = Any
"""A `gymnasium.Env`."""
VectorEnv: TypeAlias = Any
"""A `gymnasium.vector.VectorEnv`."""


class Environment(Protocol):
    """What every module `training/environments/<name>.py` holds, beside its frozen `Config`.

    Observations and actions of `make` and `make_vector` have the shapes and types of the signature: images are
    channels first, choices count from 0.
    """

    Config: Any

    def make(self, config: Any) -> Env:
        """One environment, in which a policy is evaluated and filmed."""
        ...

    def make_vector(self, config: Any, count: int) -> VectorEnv:
        """`count` environments that are stepped together, in the autoreset mode SAME_STEP.

        In this mode the step that ends an episode also resets its environment, and gives the true last observation in
        `final_obs`. In NEXT_STEP, Gymnasium's default, a step follows that ignores its action and has no reward: a
        transition that nobody took.
        """
        ...

    def signature(self, config: Any) -> Signature:
        """The observation as the only input, the action as the target.

        An action is one category called `action` (Discrete), several called `action_0`, ... (MultiDiscrete), or a
        tensor of numbers called `action` (Box). Raises WrongRecipe for spaces that no network here can take.
        """
        ...

    def threshold(self, config: Any) -> float | None:
        """The mean return from which on the environment counts as solved; None where its makers say nothing."""
        ...

    def identity(self, config: Any) -> dict[str, str]:
        """What names the environment and the version of its rules; a checkpoint is resumed in the same one alone."""
        ...

    def draw(self, config: Any, observation: NDArray[Any]) -> NDArray[Any] | None:
        """An image, uint8 (H, W, 3), of an observation; None where nothing can be drawn."""
        ...

    def state(self, env: Env) -> dict[str, Any] | None:
        """Everything that the episode in progress depends on, as plain values; None where it is hidden.

        A resumed run begins such an episode anew: see `training.rl.episodes`.
        """
        ...

    def restore(self, env: Env, state: dict[str, Any]) -> None:
        """Put an environment into a state that `state` gave."""
        ...
