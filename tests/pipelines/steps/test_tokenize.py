import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.pipelines.steps.tokenize import Tokenize
from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.errors import BadData
from millstream.tracking.serving import replay, tokenizer
from tests.pipelines.made import TEXT, rows_of, table
from tests.training.signatures import manifest

ENGLISH = [
    "A dog runs over the green grass.",
    "The dog and the other dog run.",
    "Two men talk; the older one laughs.",
    "A woman runs through the greenest of woods, laughing.",
]
GERMAN = Column(name="german", dtype="string", role="target", meaning="text")


def texts(spark, rows, *columns, **options):
    return table(
        spark, [dict(zip([one.name for one in columns], row, strict=True)) for row in rows], *columns, **options
    )


def english(spark, **options):
    return texts(spark, [(text,) for text in ENGLISH], TEXT, **options)


def done(step, made):
    learned = step.fit(made, 0)
    return step.apply(made, learned, 0), learned


@pytest.mark.spark
def test_words_are_numbered_by_their_counts_and_rare_ones_are_unknown(spark):
    found, learned = done(
        Tokenize(columns=("text",), by="words", lower=True, minimum=2, begin=True, end=True), english(spark)
    )
    counts = Counter(word for text in ENGLISH for word in re.findall(r"\w+|[^\w\s]", text.lower()))
    expected = sorted((word for word in counts if counts[word] >= 2), key=lambda word: (-counts[word], word))
    vocabulary = ["(pad)", "(unknown)", "(begin)", "(end)", *expected]
    assert learned["text"]["vocabulary"] == vocabulary
    (first, *_) = rows_of(found, "text_tokens")
    words = ["(begin)", "a", "dog", "runs", "(unknown)", "the", "(unknown)", "(unknown)", ".", "(end)"]
    assert first[0] == [vocabulary.index(word) for word in words]
    assert found.column("text").role == "key"
    assert found.column("text_tokens").shape == (max(len(row[0]) for row in rows_of(found, "text_tokens")),)


@pytest.mark.spark
def test_the_largest_vocabulary_counts_the_special_tokens(spark):
    learned = Tokenize(columns=("text",), by="words", most=8, end=True).fit(english(spark), 0)
    assert len(learned["text"]["vocabulary"]) == 8
    assert learned["text"]["vocabulary"][:3] == ["(pad)", "(unknown)", "(end)"]


@pytest.mark.spark
def test_columns_share_one_vocabulary_and_keep_their_roles(spark):
    made = texts(spark, [("a b b", "c c c")], TEXT, GERMAN)
    found, learned = done(Tokenize(columns=("text", "german"), by="words", vocabulary="shared"), made)
    assert learned["text"]["vocabulary"] == learned["german"]["vocabulary"] == ["(pad)", "(unknown)", "c", "b", "a"]
    assert rows_of(found, "text_tokens", "german_tokens") == [([4, 3, 3], [2, 2, 2])]
    assert [(column.name, column.role) for column in found.columns] == [
        ("text", "key"), ("german", "key"), ("text_tokens", "input"), ("german_tokens", "target"),
    ]  # fmt: skip
    own = Tokenize(columns=("text", "german"), by="words").fit(made, 0)
    assert own["german"]["vocabulary"] == ["(pad)", "(unknown)", "c"]


@pytest.mark.spark
@pytest.mark.parametrize(("too_long", "kept"), [("quarantine", ["s0"]), ("truncate", ["s0", "s1"])])
def test_long_texts_are_quarantined_or_cut_and_empty_ones_quarantined(spark, too_long, kept):
    step = Tokenize(columns=("text",), by="characters", begin=True, end=True, longest=5, too_long=too_long)
    found, learned = done(step, texts(spark, [("abc",), ("abcd",), (" ",), (None,)], TEXT))
    assert [row[0] for row in rows_of(found, "sample_id")] == kept
    assert all(row[0] == [2, 4, 5, 6, 3] for row in rows_of(found, "text_tokens"))
    reasons = {row.sample_id: row.reason for row in found.refused.collect()}
    assert {name: reasons[name] for name in ("s2", "s3")} == dict.fromkeys(("s2", "s3"), "text: empty")
    assert reasons.get("s1", "kept") == ("kept" if "s1" in kept else "text: over 5 tokens")
    assert tokenizer.Reader.of(learned["text"]).numbers("abcd") == [2, 4, 5, 6, 3]


@pytest.mark.spark
@pytest.mark.parametrize("most", [40, 70])
def test_subwords_are_those_of_the_package_that_learned_them(spark, most):
    from tokenizers import Tokenizer, models, pre_tokenizers

    learned = Tokenize(columns=("text",), by="subwords", most=most).fit(english(spark), 0)["text"]
    assert len(learned["vocabulary"]) <= most
    assert len(learned["merges"]) > 5
    numbers = {token: at for at, token in enumerate(learned["vocabulary"])}
    merges = [tuple(pair) for pair in learned["merges"]]
    oracle = Tokenizer(models.BPE(numbers, merges, unk_token="(unknown)"))
    oracle.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    reader = tokenizer.Reader.of(learned)
    for text in (*ENGLISH, "running Greens ünd laughter", "the  the\tdogdog"):
        assert reader.numbers(text) == oracle.encode(" ".join(tokenizer.spaced(text))).ids
    assert reader.text(reader.numbers(ENGLISH[0])) == ENGLISH[0]


@pytest.mark.spark
@pytest.mark.parametrize("by", ["characters", "words", "subwords"])
def test_what_is_learned_does_not_depend_on_partitions(spark, by):
    step = Tokenize(columns=("text",), by=by, most=50)
    assert len({str(step.fit(english(spark, partitions=count), 0)) for count in (1, 2, 4)}) == 1


@pytest.mark.spark
@pytest.mark.parametrize("by", ["characters", "words", "subwords"])
def test_serving_reads_texts_as_the_step_did(spark, by):
    step = Tokenize(columns=("text",), by=by, most=60, lower=True, end=True)
    found, learned = done(step, english(spark))
    record = Step(name="tokenize", version=1, config={}, learned=learned, rows_in=4, rows_out=4, seconds=0)
    known = manifest(*found.columns).model_copy(update={"steps": (record,)})
    assert [(one.name, one.meaning) for one in replay.raw_columns(known)] == [("text", "text")]
    served = replay.replay(pd.DataFrame({"text": ENGLISH}), known)
    assert served["text_tokens"].tolist() == [row[0] for row in rows_of(found, "text_tokens")]
    again = replay.replay(replay.restore(served, known), known)
    assert again["text_tokens"].tolist() == served["text_tokens"].tolist()


@given(st.text(max_size=30), st.sampled_from(["characters", "words", "subwords"]), st.integers(3, 12))
def test_tokens_are_never_padding_and_never_too_many(text, by, longest):
    vocabulary = ("(pad)", "(unknown)", "(begin)", "(end)", "a", "b", "ab", tokenizer.SPACE)
    reader = tokenizer.Reader(by, vocabulary, (("a", "b"),), lower=False, longest=longest, begin=True, end=True)
    found = np.array(reader.numbers(text))
    assert (found[0], found[-1]) == (2, 3)
    assert len(found) <= longest
    assert not (found == 0).any()


@pytest.mark.bad_input
def test_names_that_would_fall_together_are_refused():
    with pytest.raises(ValueError, match="several columns alike"):
        Tokenize(columns=("a", "b"), by="words", to="tokens")


@pytest.mark.spark
@pytest.mark.bad_input
def test_a_column_that_is_no_text_is_named(spark):
    with pytest.raises(BadData, match=r"'txt'.*text"):
        Tokenize(columns=("txt",), by="words").fit(english(spark), 0)


@pytest.mark.bad_input
def test_tokens_do_not_write_over_a_column(spark):
    there = GERMAN.model_copy(update={"name": "text_tokens"})
    rows = texts(spark, [(one, "hier") for one in ENGLISH], TEXT, there)
    step = Tokenize(columns=("text",), by="words", minimum=1)
    with pytest.raises(BadData, match="there is a column 'text_tokens' already"):
        step.apply(rows, step.fit(rows, 0), 0)
