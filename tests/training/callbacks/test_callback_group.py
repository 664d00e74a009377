"""A group of callbacks calls each as if it stood by itself."""

import pytest
from pytorch_lightning import Callback

from millstream.training.callbacks.callback_group import HOOKS, InOne


class Early(Callback):
    def __init__(self, calls):
        self.calls, self.seen = calls, 0

    def on_train_batch_end(self, trainer, task, outputs, batch, index):
        self.calls.append(("early", trainer, index))
        self.seen += 1

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


class Late(Callback):
    def __init__(self, calls):
        self.calls = calls

    def on_train_batch_end(self, trainer, task, outputs, batch, index):
        self.calls.append(("late", trainer, index))

    def teardown(self, trainer, task, stage):
        self.calls.append(("gone", trainer, stage))


def test_members_are_called_in_their_order_with_all_arguments():
    calls = []
    both = InOne([Early(calls), Late(calls)])
    both.on_train_batch_end("t", None, None, None, 3)
    both.on_train_start("t", None)
    both.teardown("t", None, stage="fit")
    assert calls == [("early", "t", 3), ("late", "t", 3), ("gone", "t", "fit")]


def test_states_travel_by_name_and_those_without_stay_out():
    early = Early([])
    early.seen = 7
    state = InOne([early, Late([])]).state_dict()
    assert state == {"Early": {"seen": 7}}
    other = Early([])
    InOne([Late([]), other]).load_state_dict(state)
    assert other.seen == 7


def test_what_a_member_raises_comes_out():
    class Refusing(Callback):
        def on_train_start(self, trainer, task):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        InOne([Refusing()]).on_train_start(None, None)


def test_every_hook_that_lightning_calls_is_known():
    assert {"setup", "teardown", "on_exception", "on_save_checkpoint", "on_before_optimizer_step"} <= set(HOOKS)
