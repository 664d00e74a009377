"""Recipes that cannot be meant: every fault is reported before anything runs, with its line and what would do."""

import json
import re

import pytest

from millstream.__main__ import cli
from millstream.tracking.errors import BadData
from millstream.tracking.recipe.loader import load
from millstream.training.assembly.build import parts_of
from tests.tracking.recipes import WHOLE, write
from tests.training.signatures import image, manifest, number, signature, target, tokens

pytestmark = pytest.mark.bad_input
SPLIT = "    - split: {by: stratified, valid: 0.1, test: 0.2}\n"
SCALE = "    - scale: {column: image, method: unit, high: 16}\n"
HASH, UNIT = "split: {by: hash}", "scale: {column: image, method: unit}"


def steps(*lines):
    return (SPLIT + SCALE, "".join(f"    - {line}\n" for line in lines))


NUMBERS = "scale: {columns: numbers, method: standard}"
TEXT_TARGET = (
    "{name: digits}",
    "{name: table, files: [{name: t.csv}], columns: {x: {type: double}, label: {type: string}}}",
)


FAULTS = {
    "an unknown section": ([("budgets:", "budgetz:")], 10, "did you mean 'budgets'"),
    "an unknown field": ([("high: 16", "hihg: 16")], 6, "did you mean 'high'"),
    "a wrong type": ([("batch_size: 64", "batch_size: many")], 9, "valid integer"),
    "a number for a list": ([("[4, 8]", "4")], 8, "tuple"),
    "a share over one": ([("test: 0.2", "test: 1.5")], 5, "less than 1"),
    "shares that leave nothing": ([("test: 0.2", "test: 0.95")], 5, "leave nothing to train on"),
    "no epochs": ([("epochs: 2", "epochs: 0")], 9, "greater than or equal to 1"),
    "a number that is none": ([("lr: 1.0e-3", "lr: .nan")], 9, "optimizer"),
    "an unknown source": ([("name: digits", "name: digitz")], 3, "did you mean 'digits'"),
    "a source of pickles": ([("name: digits", "name: table, format: pickle, columns: inferred")], 3, "'csv'"),
    "an unknown step": ([steps("spilt: {by: hash}")], 5, "did you mean 'split'"),
    "an unknown task": ([("name: classify", "name: clasify")], 7, "did you mean 'classify'"),
    "an unknown network": ([("cnn/lenet", "cnn/lenett")], 8, "did you mean 'cnn/lenet'"),
    "a field that has no default": ([("cnn/lenet, channels: [4, 8]", "classical/dbscan")], 8, "radius: required"),
    "a density of a target": ([("name: classify", "name: density")], 7, "no such field"),
    "no clusters at all": ([("cnn/lenet, channels: [4, 8]", "classical/kmeans, clusters: 0")], 8, "clusters: Input"),
    "a network of another folder": ([("cnn/lenet", "../tasks/classify")], 8, "no such network"),
    "a scale before the split": ([steps(UNIT, HASH)], 5, "put split first"),
    "a balance before the split": ([steps("rebalance: {method: duplicate}", HASH)], 5, "put split first"),
    "a balance of another split": ([steps(HASH, "rebalance: {method: duplicate, split: test}")], 6, "no such field"),
    "no split at all": ([steps(UNIT)], 5, "there is none"),
    "a second split": ([steps(HASH, HASH)], 6, "rows are split once"),
    "a rule that runs code": ([steps("filter: {keep: \"reflect('a', 'b')\"}", HASH)], 5, "'reflect' has no place"),
    "a target that stays text": ([TEXT_TARGET, steps(HASH, NUMBERS)], 7, "encode: {columns: [label]}"),
    "a mark that is none": ([(">= 0.9", "about 0.9")], 13, "expected '>= number'"),
    "a name that leads out": ([("data:\n", "data:\n  name: ../../etc\n")], 3, "match pattern"),
}  # fmt: skip


@pytest.fixture
def checked(capfd):
    """Exit code and faults of `millstream check`."""

    def check(file, *words):
        with pytest.raises(SystemExit) as ended:
            cli(["check", str(file), "--json", *words], prog_name="millstream")
        return ended.value.code, json.loads(capfd.readouterr().out.splitlines()[-1])["faults"]

    return check


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_reported_with_its_line_and_what_would_do(checked, tmp_path, case):
    changes, line, message = FAULTS[case]
    code, faults = checked(write(tmp_path, WHOLE, *changes))
    assert code == 2
    assert any(fault["where"].endswith(f"mine.yaml:{line}") and message in fault["message"] for fault in faults), faults


@pytest.mark.parametrize("chosen", ["categories", "[label]"])
def test_a_target_in_text_that_is_encoded_is_none(checked, tmp_path, chosen):
    changes = (
        TEXT_TARGET,
        steps("split: {by: hash, test: 0.2}", f"encode: {{columns: {chosen}}}"),
        ("cnn/lenet, channels: [4, 8]", "mlp/mlp"),
    )
    assert checked(write(tmp_path, WHOLE, *changes), "--no-data") == (0, [])
    code, (fault,) = checked(write(tmp_path, WHOLE, *changes))
    assert (code, "not found in" in fault["message"]) == (3, True)


UNSCALED = (SPLIT + SCALE, SPLIT)
NO_TEST = (SPLIT, "    - split: {by: stratified, valid: 0.1}\n")
NO_VALID = (SPLIT, "    - split: {by: stratified, test: 0.2}\n")
ENCODED = (TEXT_TARGET, steps("split: {by: hash, test: 0.2}", "encode: {columns: [label]}"))
OF_X = ("cnn/lenet, channels: [4, 8]", "mlp/mlp"), ("classify, target: label", "classify, target: x")
UNFIT = {
    "a number of a class": ([("classify, target: label", "regress, target: label")], 7, "not one number a row"),
    "a class of a number": ([*ENCODED, *OF_X], 7, "x has 0 classes"),
    "images of a table": ([*ENCODED], 8, "takes one input that is image"),
    "images that are not scaled": ([UNSCALED], 7, "scale: {column: image, method: unit}"),
    "a target that is not there": ([("target: label", "target: lable")], 7, "no column 'lable'"),
    "an order that no rows have": ([("seed: 3", "seed: 3, order: contiguous")], 9, "rows of the dataset have no order"),
    "no rows of test": ([NO_TEST], 5, "has no rows for test"),
    "no rows of valid to keep the best by": ([NO_VALID, ("seed: 3", "seed: 3, keep: best")], 5, "no rows for valid"),
    "a mark that is misspelt": ([("test/accuracy", "test/acuracy")], 13, "did you mean test/accuracy?"),
    "a mark on the worse side": ([(">= 0.9", "<= 0.9")], 13, "is better when larger, and the mark is <= 0.9; write >="),
    "a mark of another task": ([("test/accuracy", "test/rmse")], 13, "no such metric of this task"),
    "a mark of two classes": ([("test/accuracy", "test/auc")], 13, "no such metric of this task"),
    "a mark of a split that is not there": ([NO_VALID, ("test/loss", "valid/loss")], 5, "no rows for valid"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_what_does_not_fit_the_data_is_refused_before_they_are_read_and_leaves_nothing(here, tmp_path, case):
    changes, line, message = UNFIT[case]
    file = write(tmp_path, WHOLE, *changes)
    for verb in ("check", "run"):
        answer = here(tmp_path / "home", verb, str(file), code=2)
        (fault,) = answer["faults"]
        assert fault["where"].endswith(f"mine.yaml:{line}"), fault
        assert message in fault["message"], fault
        assert len(answer["stderr"].splitlines()) <= 1
    assert not list(tmp_path.rglob("tracking.db"))


UNREADABLE = {
    "an empty file": (b"", "empty"),
    "a comment alone": (b"# nothing\n", "empty"),
    "no utf-8": ("about: größer".encode("latin-1"), "not UTF-8"),
    "no yaml": (b"about: [1, 2", "not YAML"),
    "a list": (b"- about\n- data\n", "expected a mapping"),
    "a key twice": (b"about: x\nabout: y\n", "given twice"),
    "a tag": (b"about: !!python/object/apply:os.system ['touch owned']\n", "tag"),
    "a bomb": (b"a: &a [x, x]\nb: &b [*a, *a]\nabout: [*b, *b]\n", "anchors"),
    "too deep": (b"about: " + b"[" * 5000, "nested too deeply"),
    "itself as its base": (b"about: x\nbase: mine.yaml\n", "based on this recipe again"),
    "a base outside": (b"about: x\nbase: ../other.yaml\n", "leads out"),
    "a file of another kind": (bytes(range(256)), "not UTF-8|not YAML"),
}


@pytest.mark.security
@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_is_no_recipe_is_refused_and_nothing_is_run(checked, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    content, message = UNREADABLE[case]
    (tmp_path / "mine.yaml").write_bytes(content)
    code, faults = checked(tmp_path / "mine.yaml")
    assert code == 2
    assert re.search(message, faults[0]["message"])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("fit.epochs=many", "valid integer"),
        ("fit.epochz=3", "did you mean 'epochs'"),
        ("fit.epochs", "expected"),
        ("data.steps.cut.x=1", "no such place"),
        ("fit.epochs=!!python/name:os.system", "tag"),
        ("fit.epochs=__import__('os').system('touch owned')", "valid integer"),
    ],
)
def test_a_wrong_setting_is_reported_as_such(checked, tmp_path, setting, message):
    code, faults = checked(write(tmp_path), "--set", setting)
    assert code == 2
    assert faults[0]["where"].startswith("--set ")
    assert message in faults[0]["message"]


@pytest.mark.parametrize("task", ["cluster, against", "reduce, colour"])
def test_a_class_column_that_does_not_exist_is_refused_with_those_there_are(tmp_path, task):
    parts = parts_of(load(str(write(tmp_path, WHOLE, ("classify, target: label", f"{task}: labels")))))
    with pytest.raises(BadData, match=re.escape("no column 'labels'; it has ['image', 'label']")):
        parts.signature(manifest(image(1, 8, 8), target(3)))


@pytest.mark.parametrize(
    ("network", "data", "message"),
    [
        ("cnn/lenet, channels: [4, 8]", image(1, 2, 2), "images of (2, 2); it needs 8x8 at the least"),
        ("cnn/lenet, channels: [4, 8]", number("a"), "takes one input that is image; the dataset has numbers"),
        ("rnn/gru", image(1, 8, 8), "takes one input that is tokens; the dataset has image"),
        ("mlp/mlp", tokens(3, 5), "cannot read the sequences ['tokens']"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_refused_with_what_there_is(tmp_path, network, data, message):
    parts = parts_of(load(str(write(tmp_path, WHOLE, ("cnn/lenet, channels: [4, 8]", network)))))
    with pytest.raises(BadData, match=re.escape(message)):
        parts.build(signature(data, target(3)))
