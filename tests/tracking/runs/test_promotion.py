"""Decisions about registered versions, in a real store."""

import json

import pytest
from mlflow.exceptions import MlflowException

from millstream.tracking.errors import BadEnvironment
from millstream.tracking.health import checks
from millstream.tracking.runs.champion import RULE, Entry
from millstream.tracking.runs.metric_spool import file_of
from millstream.tracking.runs.registry import register
from millstream.tracking.runs.run import Run


def entry(accuracy, **more):
    facts = {"recipe": "mine", "about": "Mine", "dataset": "digits", "dataset_version": "v1", "budget": "cpu"}
    return Entry(**{**facts, "marks": {"test/accuracy": ">= 0.5"}, "metrics": {"test/accuracy": accuracy}, **more})


def unregistered(settings, located, accuracy):
    with Run.start(settings, located) as run:
        run.metrics({"test/accuracy": accuracy})
        run.text("model/MLmodel", "flavors: {}\n")
    return run


def registered(settings, located, accuracy, measure=None, **more):
    run = unregistered(settings, located, accuracy)
    return run.client, register(run.client, run.id, entry(accuracy, **more), measure)


def version(client, number):
    return client.get_model_version("mine", number)


def champion(client):
    found = client.get_registered_model("mine").aliases.get("champion")
    return None if found is None else str(found)


def test_rule_and_decision_stand_on_the_version(settings, located):
    client, first = registered(settings, located, 0.8)
    _, second = registered(settings, located, 0.7)
    assert (champion(client), client.get_model_version_by_alias("mine", "candidate").version) == (first, 2)
    why = "test/accuracy is 0.7 against 0.8 of version 1 on the test split of digits/v1"
    found = version(client, second)
    lineage = "Trained on the dataset version digits/v1 with the budget cpu."
    assert found.description == f"Mine\n\n{lineage}\n\n**Not champion when it was registered:** {why}.\n\n{RULE}"
    assert (found.tags["promotion"], found.tags["promotion.why"]) == ("not champion", why)
    compared = json.loads(found.tags["promotion.compared"])
    assert compared["promoted"] is False
    assert (compared["metric"], compared["direction"]) == ("test/accuracy", "max")
    assert (compared["value"], compared["champion"], compared["champion_value"]) == (0.7, "1", 0.8)
    assert (version(client, first).tags["promotion"], version(client, first).tags["champion.before"]) == (
        "champion",
        "",
    )
    _, third = registered(settings, located, 0.9)
    assert version(client, third).tags["champion.before"] == first


def test_a_smoke_run_is_candidate_and_the_first_full_one_takes_its_place(settings, located):
    client, first = registered(settings, located, 0.99, budget="smoke")
    assert (champion(client), client.get_model_version_by_alias("mine", "candidate").version) == (None, int(first))
    client.set_registered_model_alias("mine", "champion", first)  # as it was before there was a rule
    client.set_tag(version(client, first).run_id, "budget", "smoke")
    _, second = registered(settings, located, 0.6)
    assert champion(client) == second


def test_on_new_data_the_champion_is_measured_once_however_often_its_rival_is_registered(settings, located):
    client, first = registered(settings, located, 0.8)
    calls = []

    def measure(uri, on):
        calls.append((uri, on))
        return {"test/accuracy": 0.6}

    run = unregistered(settings, located, 0.7)
    for _ in range(2):
        assert register(client, run.id, entry(0.7, dataset_version="v2"), measure) == "2"
    assert calls == [(f"models:/mine/{first}", "digits/v2")]
    assert champion(client) == "2"


@pytest.mark.fault
def test_a_model_that_waited_for_its_store_is_decided_about_when_it_is_sent(settings, located, tmp_path):
    client, first = registered(settings, located, 0.8)
    run = unregistered(settings, located, 0.7)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    line = {"model": str(tmp_path / "model"), "entry": entry(0.7, dataset_version="v2").model_dump()}
    file_of(settings, run.id).write_text(json.dumps(line) + "\n")

    def sent(**more):
        (found,) = [one for one in checks(settings, send_spool=True, **more) if one.name == "metrics"]
        return found

    # without an evaluation the model is registered, and the decision waits
    waits = sent()
    assert not waits.ok
    assert "the champion models:/mine/1 is still to be measured on digits/v2" in waits.found
    assert (champion(client), "promotion" in version(client, "2").tags) == (first, False)
    assert sent(measure=lambda uri, on: {"test/accuracy": 0.6}).found == "sent what 1 runs had left"
    assert (champion(client), version(client, "2").tags["promotion"]) == ("2", "champion")
    assert sent(measure=lambda uri, on: {"test/accuracy": 0.9}).found == "all sent"
    assert champion(client) == "2"


INTERRUPTED = [
    ("update_model_version", 0),
    ("set_model_version_tag", 0),  # of the reason
    ("set_model_version_tag", 3),
    ("set_registered_model_alias", 0),  # candidate
    ("set_registered_model_alias", 1),  # champion
    ("set_model_version_tag", 6),  # that it was decided
]


@pytest.mark.fault
def test_a_decision_that_was_interrupted_anywhere_is_completed(settings, located, monkeypatch):
    for at, (call, times) in enumerate(INTERRUPTED):
        name = f"mine-{at}"
        client, first = registered(settings, located, 0.8, recipe=name)
        run, kept, made = unregistered(settings, located, 0.9), getattr(type(client._client), call), []

        def breaking(*words, kept=kept, made=made, times=times, **more):
            made.append(words)
            if len(made) > times:
                raise MlflowException("the connection was closed") from ConnectionResetError()
            return kept(*words, **more)

        with monkeypatch.context() as cut:
            cut.setattr(type(client._client), call, breaking)
            with pytest.raises(BadEnvironment):
                register(client, run.id, entry(0.9, recipe=name))
        second = register(client, run.id, entry(0.9, recipe=name))
        found = client.get_model_version(name, second).tags
        assert (found["promotion"], found["champion.before"]) == ("champion", first)
        assert client.get_model_version_by_alias(name, "champion").run_id == run.id


@pytest.mark.fault
def test_a_champion_that_another_process_sets_meanwhile_is_compared_with_as_well(settings, located):
    client, _ = registered(settings, located, 0.6)
    run = unregistered(settings, located, 0.7)

    def measure(uri, on):
        if uri.endswith("/1"):
            registered(settings, located, 0.9, dataset_version="v1")
            return {"test/accuracy": 0.55}
        return {"test/accuracy": 0.95}

    number = register(client, run.id, entry(0.7, dataset_version="v2"), measure)
    assert champion(client) != number
    assert "against 0.95 of version 3 (measured again)" in version(client, number).tags["promotion.why"]
