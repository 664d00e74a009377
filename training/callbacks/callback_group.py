"""Dispatches each hook only to the callbacks that implement it; Lightning would call all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pytorch_lightning import Callback

HOOKS = [name for name in vars(Callback) if name.startswith("on_") or name in ("setup", "teardown")]


class InOne(Callback):
    """Calls its members, in order, at the hooks they implement. Their states are checkpointed together."""

    def __init__(self, members: Sequence[Callback]) -> None:
        self.members = {type(member).__name__: member for member in members}
        for hook in HOOKS:
            those = [getattr(one, hook) for one in members if getattr(type(one), hook) is not getattr(Callback, hook)]
            if those:
                setattr(self, hook, partial(_ask, those))

    def state_dict(self) -> dict[str, Any]:
        return {name: state for name, member in self.members.items() if (state := member.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, own in state.items():
            self.members[name].load_state_dict(own)


def _ask(hooks: Sequence[Callable[..., Any]], *arguments: Any, **named: Any) -> None:
    for hook in hooks:
        hook(*arguments, **named)
