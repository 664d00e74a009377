import pytest

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.training.assembly import model_folder
from millstream.training.assembly.build import parts_of
from millstream.training.assembly.data_source import DatasetSource, EnvironmentSource, source_of
from millstream.training.config.fit import Fit
from millstream.training.distributed.ranks import Ranks
from millstream.training.environments import gymnasium
from tests.datasets import make_dataset
from tests.training import fitted
from tests.training.feed.plan.test_samples import blocks
from tests.training.signatures import number, target

FIT = Fit(batch_size=16, engine="arrow")


def of(dataset, *targets, **options):
    return DatasetSource(dataset, dataset.manifest.signature(*targets), FIT, **options)


def test_a_dataset_names_its_version_and_has_batches_of_each_split(tmp_path):
    source = of(fitted.rows(tmp_path), "label")
    assert source.identity == {"dataset version": "v1"}
    assert source.version == "v1"
    assert source.has_valid
    assert source.batches == fitted.BATCHES
    assert {stage: source.count(stage) for stage in ("train", "valid", "test")} == fitted.ROWS
    assert source.train_dataloader() is source.loader("train")
    in_order = source.in_order("train")
    ids = [one for batch in in_order for one in in_order.sample_ids(0, batch.index)]
    assert sorted(ids) == sorted(f"train-{row}" for row in range(fitted.ROWS["train"]))
    assert not in_order.shuffle
    assert source.loader("train").shuffle


def test_batches_of_windows_are_those_of_windows_not_of_rows(tmp_path):
    dataset, windows = blocks(tmp_path, 1)
    assert len(windows) > 3 * dataset.manifest.splits["train"].rows
    assert of(dataset, "series").batches == -(-len(windows) // 16)


def test_each_rank_has_lanes_of_its_own_from_the_start(tmp_path):
    dataset = fitted.rows(tmp_path)
    sources = [of(dataset, "label", place=Ranks(rank=rank, ranks=2)) for rank in range(2)]
    assert [one.batches for one in sources] == [fitted.BATCHES] * 2
    parts = [next(iter(one.loader("train"))) for one in sources]
    assert [len(part.mask_B) for part in parts] == [8, 8]
    assert not parts[0].arguments[0].equal(parts[1].arguments[0])


def test_a_dataset_without_a_valid_split_has_nothing_to_validate_on(tmp_path):
    values = {"a": [0.0, 1.0], "label": [0, 1]}
    dataset = make_dataset(tmp_path, {"train": values, "test": values}, [number("a"), target(2)])
    assert not of(dataset, "label").has_valid


def test_an_environment_has_rounds_and_episodes():
    rounds = {"train": 7, "valid": 2, "test": 5}
    source = EnvironmentSource(gymnasium, gymnasium.Config(id="CartPole-v1"), rounds)
    assert source.identity["environment id"] == "CartPole-v1"
    assert source.version is None
    assert source.has_valid
    assert source.batches == 7
    assert {stage: list(source.loader(stage)) for stage in rounds} == {
        stage: list(range(count)) for stage, count in rounds.items()
    }
    assert isinstance(source.signature, Signature)
    assert source.example().to_numpy().tolist() == [[0.0] * 4] * 2


@pytest.mark.bad_input
def test_a_recipe_with_data_needs_a_dataset_version(tmp_path):
    located = fitted.located(tmp_path)
    with pytest.raises(WrongRecipe, match=r"recipe\.yaml: a recipe with data: is trained on a dataset version"):
        source_of(located, parts_of(located), None)


def test_a_registered_policy_predicts_without_its_environment(tmp_path, monkeypatch):
    located = fitted.located(
        tmp_path,
        data=None,
        environment={"name": "gymnasium", "id": "CartPole-v1"},
        task={"name": "reinforce/dqn"},
    )
    parts = parts_of(located)
    source = source_of(located, parts, None)
    model_folder.save(tmp_path / "model", located, parts.build(source.signature), source.manifest)

    def made(config):
        raise AssertionError("a policy that only predicts makes no environment")

    monkeypatch.setattr(gymnasium, "make", made)
    monkeypatch.setattr(gymnasium, "make_vector", made)
    model = model_folder.load(tmp_path / "model")
    actions = model.predict(source.example())["action"].tolist()
    assert len(actions) == 2
    assert set(actions) <= {"left", "right"}
