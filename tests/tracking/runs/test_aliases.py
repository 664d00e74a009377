"""Aliases that are moved by hand, in a real store."""

import pytest

from millstream.tracking.errors import BadData, WrongRecipe
from millstream.tracking.runs.aliases import promote, promote_back
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.registry import register
from tests.tracking.runs.test_promotion import champion, entry, registered, unregistered, version


def test_an_alias_is_moved_by_hand_with_reason_time_and_user_and_back_again(settings, located, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    client, _ = registered(settings, located, 0.9)
    for accuracy in (0.8, 0.7):
        registered(settings, located, accuracy)
    moved = promote("models:/mine/2", "champion", "it is faster", settings)
    assert moved.model_dump() == {"model": "mine", "version": "2", "alias": "champion", "before": "1"}
    found = version(client, "2")
    assert {name: found.tags[f"champion.{name}"] for name in ("why", "by", "before")} == {
        "why": "it is faster",
        "by": "anna",
        "before": "1",
    }
    assert found.tags["champion.at"][:4].isdecimal()
    assert found.description.endswith(": champion, by anna: it is faster")
    promote("models:/mine/3", "champion", "faster still", settings)
    assert [promote_back("mine", "champion", "wrong on sevens", settings).version for _ in range(2)] == ["2", "1"]
    assert champion(client) == "1"
    with pytest.raises(WrongRecipe, match="no version before models:/mine/1 is recorded; name one"):
        promote_back("mine", "champion", "further", settings)
    assert promote("models:/mine@champion", "production", "shipped", settings).before is None
    assert client.get_model_version_by_alias("mine", "production").version == 1


def test_a_champion_by_hand_stays_until_better_figures_come(settings, located):
    client, _ = registered(settings, located, 0.9)
    _, smoke = registered(settings, located, 0.8, budget="smoke")
    client.set_tag(version(client, smoke).run_id, "budget", "smoke")
    promote("models:/mine/2", "champion", "it is faster", settings)
    registered(settings, located, 0.7)
    assert champion(client) == "2"
    _, better = registered(settings, located, 0.85)
    assert champion(client) == better
    assert promote_back("mine", "champion", "slower", settings).version == "2"


@pytest.mark.bad_input
def test_what_cannot_be_promoted_is_refused_and_nothing_is_written(settings, located):
    client, first = registered(settings, located, 0.9)
    run = unregistered(settings, located, 0.8)
    register(client, run.id, entry(0.8))
    run.client._client._tracking_client._get_artifact_repo(run.id).delete_artifacts("model")
    before = [version(client, number).tags for number in ("1", "2")]
    for uri, alias, why, error, words in (
        ("models:/mine/9", "champion", "x", BadData, "models:/mine/9: no such model .*give models:/NAME/VERSION"),
        ("models:/none/1", "champion", "x", BadData, "models:/none/1: no such model"),
        ("mine", "champion", "x", BadData, "mine: no such model"),
        ("models:/mine/2", "champion", "x", BadData, "models:/mine/2: its files are missing in the store"),
        ("models:/mine/1", "champion", "x", WrongRecipe, "models:/mine/1: is champion already"),
        ("models:/mine/1", "candidate", "x", WrongRecipe, "--to candidate: is the newest version"),
        ("models:/mine/1", "latest", "x", WrongRecipe, "--to latest: no alias"),
        ("models:/mine/1", "v7", "x", WrongRecipe, "--to v7: no alias"),
        ("models:/mine/1", "two words", "x", WrongRecipe, "--to two words: no alias"),
        ("models:/mine/1", "production", " ", WrongRecipe, "--why: is empty"),
    ):
        with pytest.raises(error, match=words):
            promote(uri, alias, why, settings)
    with pytest.raises(BadData, match="mine2: no such model; give the name of one: did you mean 'mine'"):
        promote_back("mine2", "champion", "x", settings)
    with pytest.raises(WrongRecipe, match="mine@production: no version holds it; name one"):
        promote_back("mine", "production", "x", settings)
    assert [version(client, number).tags for number in ("1", "2")] == before
    assert champion(open_store(settings)) == first
