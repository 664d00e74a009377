import json
import shlex

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from millstream.pipelines import prepare
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData, WrongRecipe
from millstream.tracking.recipe.loader import load
from millstream.tracking.settings import Settings
from millstream.tracking.verification.leakage_proofs import Watched
from millstream.tracking.verification.verify import verify

pytestmark = pytest.mark.spark

RECIPE = {
    "about": "a test",
    "data": {
        "source": {"name": "digits", "limit": 120},
        "steps": [
            {"split": {"by": "stratified", "valid": 0.1, "test": 0.2}},
            {"augment": {"copies": 1, "ops": [{"shift": 1}]}},
            {"scale": {"column": "image", "method": "unit", "high": 16}},
        ],
    },
    "task": {"name": "classify", "target": "label"},
    "network": {"name": "cnn/lenet"},
    "fit": {"seed": 3},
}


def located(folder, change=None, **sections):
    content = {**RECIPE, **sections}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return load(str(path), sets=change or ())


def quiet(message):
    pass


@pytest.fixture(scope="module")
def published(spark, tmp_path_factory):
    """What `prepare` made of the recipe, and the settings of its home."""
    folder = tmp_path_factory.mktemp("published")
    settings = Settings.read({"MILLSTREAM_HOME": str(folder / "home")})
    return prepare.prepare(located(folder), settings, say=quiet), settings


def test_a_version_is_published_whole_and_found_again(published, tmp_path):
    first, settings = published
    again = prepare.prepare(located(tmp_path), settings, say=quiet)
    assert (first.reused, again.reused) == (False, True)
    assert again.version == first.version
    assert prepare.find(located(tmp_path), settings).folder == Dataset.open("digits", settings.store).folder
    dataset = Dataset.open(f"digits/{first.version}", settings.store)
    assert verify(dataset) == []
    assert sum(split.rows for split in dataset.manifest.splits.values()) == sum(first.rows.values())
    assert all(check.ok for check in dataset.manifest.checks)
    left = [path.name for path in dataset.folder.parent.iterdir()]
    assert sorted(left) == sorted([first.version, "latest"])


def test_the_command_that_makes_a_version_is_recorded_whole(settings, tmp_path):
    folder = tmp_path / "my recipes"
    folder.mkdir()
    recipe = located(folder, change=["data.source.limit=90", "about=a 'limited' test"])
    with pytest.raises(BadData, match="not prepared yet") as refused:
        prepare.find(recipe, settings)
    command = shlex.split(refused.value.faults[0].message.split("`")[1])
    assert command[:4] == ["millstream", "prepare", str(folder / "recipe.yaml"), "--budget"]
    assert load(command[2], budget=command[4], sets=command[6::2]).resolved() == recipe.resolved()


def test_a_column_of_train_alone_is_stored_as_the_manifest_declares_in_every_split(spark, settings, tmp_path):
    steps = [RECIPE["data"]["steps"][0], {"rebalance": {"method": "weights"}}]
    data = {"source": {"name": "digits", "limit": 60}, "steps": steps}
    prepared = prepare.prepare(located(tmp_path, data=data), settings, say=quiet)
    assert verify(Dataset.open(prepared.path, settings.store)) == []


def test_version_and_digest_do_not_depend_on_partitions(spark, settings, tmp_path, monkeypatch):
    from millstream.pipelines.sources.digits import Digits

    read, published = Digits.read, {}
    for partitions in (1, 7):

        def cut(self, spark, files, seed, partitions=partitions):
            whole = read(self, spark, files, seed)
            return type(whole)(whole.frame.repartition(partitions), whole.columns)

        monkeypatch.setattr(Digits, "read", cut)
        own = settings.model_copy(update={"store": str(tmp_path / f"store{partitions}")})
        prepared = prepare.prepare(located(tmp_path), own, say=quiet)
        splits = Dataset.open("digits", own.store).manifest.splits
        published[partitions] = (prepared.version, {name: (split.digest, split.rows) for name, split in splits.items()})
    assert published[1] == published[7]


@pytest.mark.parametrize(
    "change",
    [
        "fit.seed=4",
        "data.source.limit=121",
        "data.steps.split.test=0.3",
        "data.steps.augment.copies=2",
        "data.name=other",
    ],
)
def test_whatever_changes_the_rows_changes_the_version(settings, tmp_path, change):
    def version(changes):
        return prepare.version_of(prepare._checked(located(tmp_path, changes)), ())

    assert version([change]) != version([])
    assert version(["fit.epochs=9"]) == version([])


def test_nothing_synthetic_leaves_train(published):
    prepared, settings = published
    dataset = Dataset.open(prepared.path, settings.store)
    for split in ("valid", "test"):
        for shard in dataset.shards(split):
            assert pq.read_table(dataset.folder / shard.file, columns=["op"]).column(0).null_count == shard.rows
    ops = [pq.ParquetFile(dataset.folder / shard.file).read(["op"]).column(0) for shard in dataset.shards("train")]
    assert sum(len(column) - column.null_count for column in ops) == prepared.rows["train"] // 2


@pytest.mark.bad_input
def test_an_order_of_steps_that_leaks_is_refused_before_anything_runs(tmp_path):
    steps = [
        {"scale": {"column": "image", "method": "unit"}},
        {"rebalance": {"method": "duplicate"}},
        {"split": {"by": "hash"}},
    ]
    found = prepare.faults(located(tmp_path, data={**RECIPE["data"], "steps": steps}))
    assert [fault.message.split(":")[0] for fault in found] == ["data.steps.0.scale", "data.steps.1.rebalance"]


@pytest.mark.bad_input
def test_all_faults_of_the_data_section_are_reported_at_once(tmp_path):
    steps = [{"splitt": {"by": "hash"}}, {"split": {"by": "hsh", "tst": 0.1}}]
    found = prepare.faults(located(tmp_path, data={"source": {"name": "digit"}, "steps": steps}))
    report = "\n".join(map(str, found))
    for expected in (
        "did you mean 'digits'",
        "did you mean 'split'",
        "did you mean 'test'",
        "'hash', 'stratified', 'given' or 'time'",
    ):
        assert expected in report
    with pytest.raises(WrongRecipe):
        prepare.prepare(located(tmp_path, data={"source": {"name": "digit"}}), None, say=quiet)


@pytest.mark.bad_input
def test_rows_without_a_split_are_refused_and_nothing_is_left(spark, settings, tmp_path):
    data = {"source": RECIPE["data"]["source"]}
    with pytest.raises(BadData, match="belong to no split"):
        prepare.prepare(located(tmp_path, data=data), settings, say=quiet)
    from pathlib import Path

    assert not list(Path(settings.store).rglob("*.parquet"))


def test_the_manifest_records_what_each_step_did_and_learned(published):
    prepared, settings = published
    manifest = Dataset.open(prepared.path, settings.store).manifest
    first = manifest.steps[0]
    assert (first.name, first.rows_in) == ("split", 120)
    assert manifest.steps[2].learned == {"image": {"offset": 0.0, "factor": 1 / 16}}
    assert json.loads(manifest.text())["format"] == 1


@pytest.mark.parametrize(
    "split",
    [
        {"by": "time", "time": "when", "valid": 0.2, "test": 0.2, "gap": 2},
        {"by": "hash", "key": "who", "valid": 0.2, "test": 0.2},
    ],
)
def test_what_spark_proves_is_what_verify_counts_again(spark, settings, tmp_path, split):
    """Groups, times, parents and neighbours, those of rows of rows too, and the quarantined rows."""
    lines = [f"2020-01-01 00:00:{at % 60:02d}.000001,w{at % 40},{at / 7},{at % 3 // 2}" for at in range(240)]
    days = [line.replace("2020-01-01", f"2020-{1 + at // 28:02d}-{1 + at % 28:02d}") for at, line in enumerate(lines)]
    (tmp_path / "rows.csv").write_text("\n".join(["when,who,x,label", *days]) + "\n")
    columns = {"when": {"type": "timestamp", "role": "key"}, "who": {"type": "string", "role": "key"}}
    columns |= {"x": {"type": "double"}, "label": {"type": "string", "role": "target"}}
    steps = [
        {"validate": {"rules": {"not the fifth": "x <> 5 / 7.0D"}}},
        {"split": split},
        {"scale": {"columns": "numbers", "method": "standard"}},
        {"rebalance": {"method": "smote", "neighbours": 2}},
        {"rebalance": {"method": "duplicate", "to": {"count": 200}}},
        {"encode": {"columns": ["label"]}},
    ]
    source = {"name": "table", "files": [{"name": str(tmp_path / "rows.csv")}], "columns": columns}
    prepared = prepare.prepare(
        located(tmp_path, data={"source": source, "steps": steps}, task={"name": "classify", "target": "label"}),
        settings,
        say=quiet,
    )
    dataset = Dataset.open(prepared.path, settings.store)
    assert dataset.manifest.quarantine == {"not the fifth": 1}
    assert len(dataset.manifest.put_aside) == 1
    watched = Watched.of(dataset.manifest)
    assert (watched.time is None, watched.group is None) == (split["by"] != "time", split["by"] == "time")
    assert verify(dataset) == []


def test_a_file_corrected_after_a_failed_prepare_is_read_again(spark, settings, tmp_path, monkeypatch):
    """Spark serves a cached frame for the same path, whatever the file holds by then."""
    monkeypatch.chdir(tmp_path)
    cached = dict(spark.sparkContext._jsc.getPersistentRDDs())
    columns = {"id": {"type": "string"}, "x": {"type": "double"}, "y": {"type": "string", "role": "target"}}
    source = {"name": "table", "format": "parquet", "files": [{"name": "rows"}], "key": "id", "columns": columns}
    steps = [{"split": {"by": "hash", "valid": 0.2, "test": 0.2}}, {"encode": {"columns": ["y"]}}]
    data = {"name": "own", "source": source, "steps": steps}
    recipe = located(tmp_path, data=data, task={"name": "classify", "target": "y"}, network={"name": "mlp/mlp"})
    rows = [{"id": f"r{n}", "x": n / 8, "y": "yes" if n % 2 else "no"} for n in range(40)]
    pq.write_table(pa.Table.from_pylist([*rows, rows[0]]), tmp_path / "rows")
    with pytest.raises(BadData, match="unique"):
        prepare.prepare(recipe, settings, say=quiet)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows")
    assert sum(prepare.prepare(recipe, settings, say=quiet).rows.values()) == 40
    assert dict(spark.sparkContext._jsc.getPersistentRDDs()).keys() <= cached.keys()
