"""Numbers and texts that the feed changes on the fly; images and series are in test_augment."""

import numpy as np
import pytest
import torch

from millstream.tracking.augmentations import table, text
from millstream.tracking.augmentations.op import drawn, through
from millstream.tracking.dataset.records import Column, Step
from millstream.training.diagnostics.feed_hash import walk
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.config import Reading
from tests.datasets import make_dataset
from tests.training.feed.made import values_of

ROWS, SEED = 400, 5
WIND = Column(name="wind", dtype="float32", role="input", meaning="number")
AGE = Column(name="age", dtype="int64", role="input", meaning="number")
NEW = Column(name="added", dtype="float32", role="input", meaning="number")
CITY = Column(name="city", dtype="int64", role="input", meaning="category", classes=("x", "y"))
PRICE = Column(name="price", dtype="float32", role="target", meaning="number")
TEXT = Column(name="text", dtype="string", role="key", meaning="text")
TOKENS = ("(pad)", "(unknown)", "(begin)", "(end)", "a", "small", "red", "dog", "runs", "away", "little")
TEXT_TOKENS = Column(
    name="text_tokens",
    dtype="int64",
    layout="list",
    shape=(8,),
    axes="T",
    role="input",
    meaning="tokens",
    vocabulary=TOKENS,
)
DEVIATIONS = {"wind": 2.0, "age": 10.0, "gone": 5.0}
READER = {"by": "words", "merges": [], "lower": False, "longest": 9, "begin": True, "end": True}


def step(name, config, learned):
    return Step(name=name, version=1, config=config, learned=learned, rows_in=1, rows_out=1, seconds=0.0)


def augment(ops, column, modality, synonyms=None, **learned):
    config = {"ops": ops, "where": "feed", "masks": [], "boxes": None, "synonyms": synonyms or {}}
    return step("augment", config, {"column": column, "modality": modality, **learned})


def tokenize():
    return step("tokenize", {}, {"text": {"to": "text_tokens", "vocabulary": list(TOKENS), **READER}})


def tokens_of(words):
    return [2, *(TOKENS.index(word) if word in TOKENS else 1 for word in words), 3]


def rows(seed, count=ROWS):
    draw = np.random.default_rng(seed)
    texts = [" ".join(draw.choice(TOKENS[4:10], draw.integers(1, 7))) for _ in range(count)]
    return {
        "wind": draw.normal(size=count).astype(np.float32) * 2,
        "age": draw.integers(18, 90, count),
        "added": draw.normal(size=count).astype(np.float32),
        "city": draw.integers(0, 2, count),
        "price": draw.normal(size=count).astype(np.float32),
        "text": texts,
        "text_tokens": [tokens_of(one.split(" ")) for one in texts],
    }


def published(folder, *steps):
    held = rows(0)
    columns = (WIND, AGE, NEW, CITY, PRICE, TEXT, TEXT_TOKENS)
    splits = {"train": held, "valid": rows(1, 50)}
    return make_dataset(folder, splits, columns, shard_rows=90, steps=steps), held


def feed(dataset, split="train", *, rank=0, ranks=1, **options):
    reading = Reading(**{"seed": SEED, "batch_size": 16, "engine": "arrow", **options})
    signature = dataset.manifest.signature("price")
    return Feed(dataset, split, signature, reading, rank=rank, ranks=ranks, shuffle=split == "train")


def samples(one, epoch):
    """(stored row, {tensor: its value}) of each sample of an epoch."""
    names = [block.field.name + (" lengths" if block.is_lengths else "") for block in one.shards.blocks]
    one.seek(epoch)
    for batch in one:
        ids = one.sample_ids(epoch, batch.index)
        for slot, sample_id in enumerate(ids):
            values = [tensor[batch.mask_B][slot].numpy() for tensor in values_of(batch)]
            yield sample_id, int(sample_id.rpartition("-")[2]), dict(zip(names, values, strict=True))


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    noise = augment([{"noise": 0.5}], "numbers", "table", deviations=DEVIATIONS)
    return published(tmp_path_factory.mktemp("numbers"), noise)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    changed = augment(
        [{"synonyms": 0.5}, {"swap": 0.3}, {"drop": 0.2}], "text", "text", {"small": ["little", "a very little"]}
    )
    return published(tmp_path_factory.mktemp("texts"), changed, tokenize())


@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_numbers_get_noise_by_their_deviation_in_train_and_whole_ones_stay_whole(numbers, memory):
    dataset, held = numbers
    moved = []
    for epoch in (0, 1):
        for sample_id, row, found in samples(feed(dataset, memory=memory), epoch):
            wind, age, added = found["numbers"]
            keys = (SEED, "augment in feed", epoch, sample_id, 0)
            noise = drawn(table.CHANGES, [("noise", 0.5)], *keys)[0]["noise"]
            normal = np.random.Generator(np.random.PCG64(noise["seed"])).standard_normal(3)  # age, gone, wind
            assert wind == pytest.approx(held["wind"][row] + normal[2] * 2.0 * 0.5, rel=1e-6, abs=1e-6)
            assert age == np.rint(held["age"][row] + normal[0] * 10.0 * 0.5)
            assert added == held["added"][row]
            assert found["categories"] == held["city"][row]
            assert found["price"] == held["price"][row]
            moved.append((wind - held["wind"][row], age - held["age"][row]))
    # 800 draws: the deviation of the sample is within 10 % of the distribution's
    assert np.std(moved, axis=0) == pytest.approx([1.0, 5.0], rel=0.1)


@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_texts_are_changed_and_tokenized_again(texts, memory):
    dataset, held = texts
    changes = text.changes({"small": ["little", "a very little"]})
    ops, differ, longest = [("synonyms", 0.5), ("swap", 0.3), ("drop", 0.2)], 0, 0
    for epoch in (0, 1):
        for sample_id, row, found in samples(feed(dataset, memory=memory), epoch):
            done = drawn(changes, ops, SEED, "augment in feed", epoch, sample_id, 0)
            words = through(changes, held["text"][row], done).split()
            expected = [2, *tokens_of(words)[1:-1][:6], 3]  # the dataset's longest text has 8 tokens
            length = int(found["text_tokens lengths"])
            assert found["text_tokens"][:length].tolist() == expected
            assert not found["text_tokens"][length:].any()
            differ += expected != held["text_tokens"][row]
            longest = max(longest, len(words))
    assert differ > ROWS
    assert longest > 6


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("of", ["numbers", "texts"])
def test_neither_ranks_nor_memory_nor_a_stop_show_in_what_is_changed(of, request):
    dataset, _ = request.getfixturevalue(of)
    signature = dataset.manifest.signature("price")
    walked = {
        walk(dataset, "train", signature, Reading(seed=1, batch_size=16, memory=memory), ranks=ranks).hash
        for ranks in (1, 2, 4)
        for memory in ("cached", "streamed")
    }
    assert len(walked) == 1
    whole = list(feed(dataset))
    resumed = feed(dataset)
    resumed.seek(0, 9)
    assert all(same(values_of(one), values_of(other)) for one, other in zip(whole[9:], resumed, strict=True))


@pytest.mark.parametrize("of", ["numbers", "texts"])
def test_a_sample_is_changed_otherwise_in_another_epoch_and_not_at_all_in_valid(of, request):
    dataset, _ = request.getfixturevalue(of)
    name = {"numbers": "numbers", "texts": "text_tokens"}[of]
    first, second = ({row: found[name].tolist() for _, row, found in samples(feed(dataset), epoch)} for epoch in (0, 1))
    assert sum(first[row] != second[row] for row in range(ROWS)) > ROWS / 2
    stored = rows(1, 50)
    for _, row, found in samples(feed(dataset, "valid"), 0):
        assert found["numbers"].tolist() == [stored[one][row] for one in ("wind", "age", "added")]
        length = int(found["text_tokens lengths"])
        assert found["text_tokens"][:length].tolist() == stored["text_tokens"][row]


def test_characters_of_encode_are_read_as_well(tmp_path):
    held = {"text": ["ab", "ba", "aab"] * 10, "tokens": [[2, 3], [3, 2], [2, 2, 3]] * 10, "price": np.zeros(30)}
    tokens = TEXT_TOKENS.model_copy(
        update={"name": "tokens", "shape": (3,), "vocabulary": ("(pad)", "(unknown)", "a", "b")}
    )
    learned = {
        "method": "characters",
        "to": "tokens",
        "vocabulary": list(tokens.vocabulary),
        "lower": False,
        "longest": 9,
    }
    dataset = make_dataset(
        tmp_path,
        {"train": held},
        (TEXT, tokens, PRICE),
        steps=(augment([{"characters": 0.5}], "text", "text"), step("encode", {}, {"text": learned})),
    )
    seen = [found for *_, found in samples(feed(dataset, batch_size=10), 0)]
    assert len(seen) == 30
    spelt = {tuple(one["tokens"][: int(one["tokens lengths"])].tolist()) for one in seen}
    assert len(spelt) > 3
    assert {number for one in spelt for number in one} == {2, 3}  # mistyped ones are drawn from the text itself
