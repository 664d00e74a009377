import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from millstream.pipelines.ops import near_duplicates, perceptual_hash
from millstream.pipelines.ops.near_duplicates import Near, components, near_groups
from millstream.tracking.errors import BadData
from tests.pipelines.made import TEXT, image, table

HASHES = st.integers(-(2**63), 2**63 - 1)


def cosine_hash(grey):
    """The hash written out: cosine matrix, 8 x 8 lowest frequencies, stronger than their median."""
    small = np.asarray(Image.fromarray(grey.astype(np.float32)).resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    k, n = np.mgrid[:32, :32]
    cosines = np.cos(np.pi * (2 * n + 1) * k / 64) * np.where(k == 0, np.sqrt(1 / 32), np.sqrt(2 / 32))
    low = np.round((cosines @ small @ cosines.T)[:8, :8], 3).ravel()
    bits = "".join("1" if one > np.median(low) else "0" for one in low)
    return int(bits, 2)


def jaccard(one, other, length):
    first, second = (
        {text.lower()[at : at + length] for at in range(max(1, len(text) - length + 1))} for text in (one, other)
    )
    return len(first & second) / len(first | second)


def brute_force(names, is_near):
    links = [(a, b) for a, b in itertools.combinations(names, 2) if is_near(a, b)]
    groups = {name: {name} for name in names}
    for a, b in links:
        joined = groups[a] | groups[b]
        groups.update(dict.fromkeys(joined, joined))
    return {name: min(group) for name, group in groups.items()}


def by_sample(groups):
    return {row.sample_id: row.group for row in groups.collect()}


def test_the_hash_of_an_image_is_that_of_its_cosines():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 28, 20), dtype=np.uint8)
    assert perceptual_hash.image_hash(pixels) % 2**64 == cosine_hash(pixels[0])


def test_images_of_one_colour_are_all_equal():
    hashes = {perceptual_hash.image_hash(np.full((3, 9, 9), grey, np.uint8)) for grey in (1, 100, 255)}
    assert len(hashes) == 1


@given(HASHES, st.lists(st.integers(0, 63), max_size=16, unique=True), st.integers(0, 16))
def test_near_hashes_agree_in_a_band(one, flipped, distance):
    other = one ^ sum(1 << bit for bit in flipped[:distance])
    bands = perceptual_hash.bit_bands(distance)
    assert sum(bits for _, bits in bands) == 64
    assert any((one ^ other) >> shift & ((1 << bits) - 1) == 0 for shift, bits in bands)


@given(st.text(max_size=12), st.text(max_size=12), st.integers(1, 5))
def test_shingles_are_equal_where_the_pieces_are(one, other, length):
    first, second = (set(perceptual_hash.shingles(text, length).tolist()) for text in (one, other))
    pieces = [{text[at : at + length] for at in range(max(1, len(text) - length + 1))} for text in (one, other)]
    assert (len(first & second), len(first | second)) == (len(pieces[0] & pieces[1]), len(pieces[0] | pieces[1]))


def test_signatures_agree_in_the_share_that_the_sets_do():
    sets = [np.arange(0, 300, dtype=np.uint64), np.arange(100, 400, dtype=np.uint64)]
    agree = np.mean(perceptual_hash.signature(sets[0]) == perceptual_hash.signature(sets[1]))
    assert agree == pytest.approx(0.5, abs=0.15)  # 3 deviations of a mean over 128 draws are 0.13


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=10))
def test_components_are_those_of_walking_the_links(links):
    names = sorted({name for link in links for name in link})
    assert components(links) == brute_force(names, lambda a, b: (a, b) in links or (b, a) in links)


@pytest.fixture(params=[near_duplicates.ROWS_A_BUCKET, 4], ids=["one bucket", "several"])
def buckets(request, monkeypatch):
    """Rows of a bucket: few rows are compared in one place, many in several."""
    monkeypatch.setattr(near_duplicates, "ROWS_A_BUCKET", request.param)


@pytest.mark.spark
@pytest.mark.usefixtures("buckets")
@pytest.mark.parametrize("distance", [0, 3, 6])
def test_near_images_are_those_of_comparing_all(spark, distance):
    draws = np.random.default_rng(1)
    bases = draws.integers(0, 256, (6, 16, 16))
    images = [np.clip(base + draws.normal(0, noise, (16, 16)), 0, 255) for base in bases for noise in (0, 1, 4, 12)]
    pixels = [image.astype(np.uint8)[None] for image in images]
    ids = {f"s{at:02}": perceptual_hash.image_hash(one) for at, one in enumerate(pixels)}
    expected = brute_force(list(ids), lambda a, b: ((ids[a] ^ ids[b]) % 2**64).bit_count() <= distance)
    rows = [{"sample_id": name, "image": one.tobytes()} for name, one in zip(ids, pixels, strict=True)]
    for partitions in (1, 5):
        made = table(spark, rows, image(1, 16, 16), partitions=partitions)
        assert by_sample(near_groups(made, "image", Near(distance=distance))) == expected
    assert 6 <= len(set(expected.values())) < 24


@pytest.mark.spark
@pytest.mark.usefixtures("buckets")
@pytest.mark.parametrize("similarity", [0.5, 0.8])
def test_near_texts_are_those_of_comparing_all(spark, similarity):
    draws = np.random.default_rng(2)
    words = ["".join(draws.choice(list("abcdefgh"), 6)) for _ in range(60)]
    texts = []
    for base in (draws.choice(words, 20) for _ in range(5)):
        for changes in (0, 1, 2, 5, 9):
            text = base.copy()
            text[:changes] = draws.choice(words, changes)
            texts.append(" ".join(text))
    texts += ["", "ab", "AB ", "abc"]
    ids = {f"s{at:02}": text.strip() for at, text in enumerate(texts)}
    expected = brute_force(list(ids), lambda a, b: jaccard(ids[a], ids[b], 5) >= similarity)
    rows = [{"sample_id": name, "text": text} for name, text in zip(ids, texts, strict=True)]
    made = table(spark, rows, TEXT, partitions=3)
    assert by_sample(near_groups(made, "text", Near(similarity=similarity))) == expected
    assert expected["s27"] == "s26"


@pytest.mark.spark
@pytest.mark.bad_input
def test_a_column_that_is_neither_image_nor_text_is_refused(spark):
    with pytest.raises(BadData, match=r"'txt'.*'text'"):
        near_groups(table(spark, [{"text": "a"}], TEXT), "txt", Near())
