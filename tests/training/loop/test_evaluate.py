"""Models that are measured on a dataset version other than their own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from millstream.tracking.dataset.records import Column, Serving, Step
from millstream.tracking.errors import BadData
from millstream.tracking.runs import model_logging
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.run import Run
from millstream.training.assembly import model_folder
from millstream.training.loop.evaluate import evaluate
from millstream.training.loop.train import train
from tests.datasets import make_dataset
from tests.training.fitted import located
from tests.training.signatures import number, target

CITIES = ["Bonn", "Graz", "Oslo", "Wien"]
ROWS = {"train": 200, "valid": 40, "test": 90}


def raw(seed, rows):
    """Spending and city say whether somebody leaves, mostly."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"spent": draw.normal(50, 20, rows), "city": draw.choice(CITIES, rows)})
    score = (frame["spent"] - 50) / 20 + frame["city"].map({"Bonn": 2.0, "Graz": -2.0, "Oslo": 1.0, "Wien": -1.0})
    return frame.assign(label=(score + draw.normal(0, 0.7, rows) > 0).astype(int))


def version(folder, seed, cities, offset=50.0, **learned):
    """A version as `encode` and `scale` prepare it, with what they learned; and its raw test rows."""
    splits = {split: raw(seed + at, rows) for at, (split, rows) in enumerate(ROWS.items())}
    classes = ["(unknown)", *cities]
    figures = {"offset": offset, "factor": 0.05, **learned}

    def prepared(frame):
        spent = ((frame["spent"] - figures["offset"]) * figures["factor"]).astype(np.float32)
        city = [classes.index(one) if one in classes else 0 for one in frame["city"]]
        return {"spent": spent.to_numpy(), "city": np.array(city), "label": frame["label"].to_numpy()}

    done = {"version": 1, "config": {}, "rows_in": 1, "rows_out": 1, "seconds": 0.0, "served": Serving(does="replayed")}
    encoded = {"city": {"method": "index", "from": "string", "classes": classes}}
    steps = (Step(name="encode", learned=encoded, **done), Step(name="scale", learned={"spent": figures}, **done))
    city = Column(name="city", dtype="int64", role="input", meaning="category", classes=tuple(classes))
    columns = [number("spent"), city, target(2)]
    values = {split: prepared(frame) for split, frame in splits.items()}
    return make_dataset(folder, values, columns, steps=steps), splits["test"]


def named(dataset, name):
    """The same version under another name, as `prepare` names it by its content."""
    folder = dataset.folder.rename(dataset.folder.with_name(name))
    manifest = dataset.manifest.model_copy(update={"version": name})
    (folder / "manifest.json").write_text(manifest.text(), encoding="utf-8")
    return type(dataset).open(folder, folder.parent)


def fit(settings, dataset, epochs, lr=0.02):
    fit = {"epochs": epochs, "optimizer": {"name": "adam", "lr": lr}}
    recipe = replace(located(settings.home / "recipe", fit=fit), name="mine")
    with Run.start(settings, recipe) as run:
        return train(recipe, run, dataset)


def right(settings, uri, rows):
    """Share of raw rows about which the model that is served is right: an oracle without feed and prepared rows."""
    model = model_folder.load(model_logging.model_folder(uri, settings))
    return (model.predict(rows)["prediction"] == "class " + rows["label"].astype(str)).mean()


def test_a_model_is_measured_on_rows_that_were_prepared_with_other_values(settings, tmp_path):
    store = settings.home / "datasets"
    old, own = version(store, 1, CITIES)
    trained = fit(settings, old, 4)
    assert 0.8 < trained.metrics["test/accuracy"] == pytest.approx(right(settings, trained.model_uri, own))
    # another scale, and cities in another order with a new one among them: as stored, the model would misread them
    new, rows = version(tmp_path, 11, ["Wien", "Rom", "Bonn", "Graz", "Oslo"], offset=70.0, factor=-0.02)
    found = evaluate(trained.model_uri, settings, on=new)
    assert found.rows == ROWS["test"]
    assert 0.8 < found.metrics["test/accuracy"] == pytest.approx(right(settings, trained.model_uri, rows))
    same = evaluate(trained.model_uri, settings, on=old).metrics
    assert same == evaluate(trained.model_uri, settings).metrics


def test_on_new_data_the_better_model_there_is_champion(settings):
    store = settings.home / "datasets"
    old = named(version(store, 1, CITIES)[0], "old")
    first = fit(settings, old, 4)
    new, rows = version(store, 11, CITIES, offset=60.0)
    client = open_store(settings)

    worse = fit(settings, new, 1, lr=1e-6)
    compared = client.get_model_version("mine", "2").tags
    theirs = right(settings, first.model_uri, rows)
    assert worse.metrics["test/accuracy"] < theirs
    assert client.get_model_version_by_alias("mine", "champion").version == 1
    why = f"test/accuracy is {worse.metrics['test/accuracy']:.5g} against {theirs:.5g} of version 1 (measured again)"
    assert compared["promotion.why"] == f"{why} on the test split of digits/v1"


def test_one_of_several_ranks_measures_without_the_others(settings, monkeypatch):
    dataset, _ = version(settings.home / "datasets", 1, CITIES)
    trained = fit(settings, dataset, 1)

    def gathered(state, group=None):
        raise AssertionError("it waits for ranks that have ended")

    # as inside a process group, which a training in ranks has not left when it registers its model
    monkeypatch.setattr("torchmetrics.metric.jit_distributed_available", lambda: True)
    monkeypatch.setattr("millstream.training.task.all_gather", gathered)
    found = evaluate(trained.model_uri, settings, on=dataset).metrics
    assert found == {name: trained.metrics[name] for name in found}


@pytest.mark.bad_input
def test_a_model_that_cannot_read_a_version_is_refused_with_the_reason(settings, tmp_path):
    old, _ = version(settings.home / "datasets", 1, CITIES)
    trained = fit(settings, old, 1)
    ranked = {"method": "quantile", "law": "uniform", "quantiles": [0.0, 100.0]}
    others = old.manifest.columns[1:]
    for changed, words in (
        ({"steps": _with(old, "scale", {"spent": ranked})}, r"\['spent'\] are prepared by other learned values"),
        ({"columns": others, "steps": old.manifest.steps[:1]}, r"columns \['spent'\] are missing"),
        ({"columns": others}, "column 'spent': the model reads it as .*the version has none"),
        ({"columns": (*old.manifest.columns[:2], target(3))}, "column 'label': the model reads it as .*class 1"),
    ):
        manifest = old.manifest.model_copy(update=changed)
        with pytest.raises(BadData, match=words):
            evaluate(trained.model_uri, settings, on=type(old)(old.folder, manifest))


def _with(dataset, name, learned):
    return tuple(
        one.model_copy(update={"learned": learned}) if one.name == name else one for one in dataset.manifest.steps
    )
