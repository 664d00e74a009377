import pytest

from training.feed.limits import _without


@pytest.mark.spark
def test_the_doctor_names_the_one_part_that_limits_a_recipe(here, tmp_path, spark):
    here(tmp_path, "prepare", "cnn/lenet-digits")
    # 4: this machine has little memory or disk left just now
    told = here(tmp_path, "doctor", "--feed", "cnn/lenet-digits", code=(0, 4))
    checks = {one["name"]: one for one in told["checks"]}
    parts = {name: one for name, one in checks.items() if name.startswith("feed: ")}
    assert list(parts) == ["feed: reading", "feed: decoding", "feed: making batches", "feed: the model"]
    slow = [name for name, one in parts.items() if "the limit" in one["found"]]
    assert len(slow) == 1
    assert parts[slow[0]]["mend"]
    # the digits are held: what is read once in a run limits no epoch
    assert slow[0] not in ("feed: reading", "feed: decoding")


def test_of_two_things_done_in_turn_the_second_takes_the_rest_of_the_time():
    # 100 a second for both together, 400 for the first: 10 ms = 2.5 ms + 7.5 ms
    assert _without(100, 400) == pytest.approx(1000 / 7.5)
    assert _without(400, 400) == float("inf")
