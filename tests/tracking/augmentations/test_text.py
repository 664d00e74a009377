from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.tracking.augmentations.text import changes, characters, drop, swap, synonyms

WORDS = st.lists(st.text("abcdeé", min_size=1, max_size=6), min_size=1, max_size=12)
SEED = st.integers(0, 1 << 60)
LONG = " ".join(f"word{at}" for at in range(4000))


@given(words=WORDS, share=st.floats(0, 1), seed=SEED)
def test_a_swap_keeps_all_words_and_moves_none_by_more_than_one(words, share, seed):
    swapped = swap(" ".join(words), {"share": share, "seed": seed}).split(" ")
    assert Counter(swapped) == Counter(words)
    own = [(word, at) for at, word in enumerate(words)]
    assert all(any(word == one and abs(at - place) <= 1 for one, place in own) for at, word in enumerate(swapped))


@given(words=WORDS, share=st.floats(0, 1), seed=SEED)
def test_a_drop_leaves_the_others_in_order_and_never_nothing(words, share, seed):
    left = iter(words)
    kept = drop(" ".join(words), {"share": share, "seed": seed}).split(" ")
    assert all(word in left for word in kept)  # a subsequence
    assert kept[0]


@given(text=st.text("ab c", min_size=1, max_size=30).filter(str.strip), share=st.floats(0, 1), seed=SEED)
def test_mistyped_texts_have_no_new_characters_and_are_never_empty(text, share, seed):
    typed = characters(text, {"share": share, "seed": seed})
    assert set(typed) <= set(text)
    assert typed.strip()
    assert typed == characters(text, {"share": share, "seed": seed})


def test_shares_are_shares():
    parameters = {"share": 0.2, "seed": 5}
    words = LONG.split(" ")
    assert 1 - len(drop(LONG, parameters).split(" ")) / len(words) == pytest.approx(0.2, abs=0.025)  # four errors
    replaced = synonyms(LONG, parameters, table={word: ["new"] for word in words}).split(" ")
    assert replaced.count("new") / len(words) == pytest.approx(0.2, abs=0.025)
    # 4 kinds of mistakes: a fourth of the mistakes delete one, a fourth insert one
    assert len(characters(LONG, parameters)) == pytest.approx(len(LONG), rel=0.01)


@pytest.mark.parametrize("name", ["synonyms", "swap", "drop", "characters"])
def test_no_share_changes_nothing(name):
    assert changes({"word1": ["x"]})[name].change(LONG, {"share": 0.0, "seed": 1}) == LONG


def test_synonyms_come_from_the_table_alone():
    table = {"big": ["large", "huge"]}
    changed = [synonyms("Big  dogs", {"share": 1.0, "seed": seed}, table=table) for seed in range(50)]
    assert set(changed) == {"large  dogs", "huge  dogs"}
