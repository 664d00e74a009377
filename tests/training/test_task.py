"""Losses that are sums over the elements of a row: their mean is over all elements of all ranks."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.distributed as dist
from pydantic import BaseModel
from torch import nn
from torch.nn import functional
from torchmetrics import MeanAbsoluteError

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe import plugins
from millstream.training.assembly import validate
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch, Ragged
from millstream.training.networks.classical import kmeans
from millstream.training.task import Task
from tests.forkserver import python
from tests.training.signatures import number, signature, target
from tests.training.tasks.made import measured

VOCABULARY, BEGIN = 6, 1
LENGTHS = [5, 1, 3, 2, 4, 1]
"""Of six sentences: two ranks of three have 9 and 7 tokens."""


class Config(BaseModel, frozen=True, extra="forbid"):
    pass


class Translate(Task):
    """A toy: each token of the target from the sum of the source's and the token before it."""

    def rows(self, batch):
        (source,), (wanted,) = batch.inputs.values(), batch.targets.values()
        logits_BTV = self.network(source, wanted)
        loss_BT = functional.cross_entropy(logits_BTV.transpose(1, 2), wanted.values, reduction="none")
        return (loss_BT * wanted.mask()).sum(dim=1), logits_BTV

    def counts(self, batch):
        return batch.targets["words"].lengths_B


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 4, padding_idx=0)
        self.head = nn.Linear(4, VOCABULARY)

    def forward(self, source, wanted):
        read_BE = self.embedding(source.values).sum(dim=1)
        before_BT = functional.pad(wanted.values, (1, 0), value=BEGIN)[:, :-1]
        return self.head(read_BE[:, None] + self.embedding(before_BT))


def task():
    torch.manual_seed(3)
    return Translate(Config(), Toy(), signature(target(VOCABULARY)), Fit())


def ragged(lengths, seed):
    draw = np.random.default_rng(seed)
    values = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in enumerate(lengths):
        values[row, :length] = torch.from_numpy(draw.integers(2, VOCABULARY, size=length))
    return Ragged(values, torch.tensor(lengths))


def batch(rows=slice(0, 6), ranks=1):
    source, wanted = ragged(LENGTHS[::-1], 0)[rows], ragged(LENGTHS, 1)[rows]
    mask = torch.ones(len(wanted), dtype=torch.bool)
    return Batch({"source": source}, {"words": wanted.trimmed()}, mask.float(), mask, len(LENGTHS), ranks, 0, 0)


def by_hand(made):
    """The mean over all tokens, sentence by sentence."""
    whole, losses = batch(), []
    for row, length in enumerate(LENGTHS):
        one = batch(slice(row, row + 1))
        logits = made.network(one.inputs["source"], one.targets["words"])[0]
        wanted = whole.targets["words"].values[row, :length]
        losses += [-torch.log_softmax(logits[at], dim=0)[wanted[at]] for at in range(length)]
    return torch.stack(losses).mean()


def test_a_loss_over_tokens_is_their_mean_and_no_mean_of_sentences():
    made = task()
    torch.testing.assert_close(made.mean(batch()), by_hand(made))
    of_sentences = (made.rows(batch())[0] / torch.tensor(LENGTHS)).mean()
    assert not torch.isclose(of_sentences, by_hand(made), rtol=1e-3)


def test_the_perplexity_of_a_split_weighs_each_token_alike():
    made = task()
    parts = [batch(slice(0, 1)), batch(slice(1, 4)), batch(slice(4, 6))]
    found = measured(made, *parts)["test/loss"]
    assert math.exp(found) == pytest.approx(math.exp(float(by_hand(made))), rel=1e-6)


def one_rank(rank, ranks, store):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(store, ranks), rank=rank, world_size=ranks)
    made, own = task(), batch(slice(3 * rank, 3 * rank + 3), ranks)
    made.mean(own).backward()
    gradients = [one.grad for one in made.network.parameters()]
    for gradient in gradients:  # as data parallel training does
        dist.all_reduce(gradient)
        gradient /= ranks
    held = measured(made, own)["test/loss"]
    print(json.dumps([[gradient.tolist() for gradient in gradients], held]))
    dist.destroy_process_group()


def test_two_ranks_with_uneven_lengths_have_the_gradient_and_the_perplexity_of_one(tmp_path):
    rank = "import sys; from tests.training.test_task import one_rank; one_rank(int(sys.argv[1]), 2, sys.argv[2])"
    started = [python("-c", rank, str(at), str(tmp_path / "store")) for at in range(2)]
    found = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    made = task()
    by_hand(made).backward()
    for gradients, held in found:
        for one, wanted in zip(gradients, made.network.parameters(), strict=True):
            np.testing.assert_allclose(np.array(one, np.float32), wanted.grad, rtol=1e-5, atol=1e-7)
        assert math.exp(held) == pytest.approx(math.exp(float(by_hand(made))), rel=1e-6)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ({}, "judged declares no direction of misses; add them to `directions` as min or max"),
        ({"misses": "max"}, "judged declares max for misses, and MeanAbsoluteError the opposite"),
    ],
)
def test_a_metric_without_a_direction_or_with_the_opposite_of_its_own_is_refused(directions, message):
    def metrics(self):
        return {"misses": MeanAbsoluteError()}

    judged = type("Judged", (Translate,), {"directions": directions, "metrics": metrics})
    with pytest.raises(WrongRecipe, match=message):
        judged(Config(), Toy(), signature(target(VOCABULARY)), Fit())


@pytest.mark.parametrize("rate", [Fraction(1, 5), Fraction(2, 3), Fraction(3), Fraction(1, 99)])
def test_a_schedule_has_as_many_steps_as_fall_due(rate):
    class Rated(Translate):
        _batches = 7

        @classmethod
        def updates_per_batch(cls, config):
            return {"network": rate}

        def optimizer_of(self, name, steps):
            return steps

    made = Rated(Config(), Toy(), signature(target(VOCABULARY)), Fit(epochs=2))
    due = sum(made.due("network", batch()._replace(epoch=epoch, index=at)) for epoch in range(2) for at in range(7))
    assert made.configure_optimizers() == max(1, due)


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["count", "distributional", "ordinal", "quantiles", "reinforce/dqn", "tags"])
def test_an_estimator_is_refused_by_a_task_that_trains_other_outputs(name):
    task = validate.task_class(plugins.find("millstream.training.tasks", name))
    estimator = kmeans.build(kmeans.Config(), signature(number("x")))
    with pytest.raises(WrongRecipe, match=r"is an estimator, .* outputs that the task \w+ trains"):
        task.check_network(estimator)
