import hashlib
import json
import random

import pytest

from millstream.tracking.dataset.manifest import FILE, Manifest
from millstream.tracking.dataset.records import Affine, Column
from millstream.tracking.errors import BadData
from tests.training.signatures import category, image, manifest, number, target, tokens


def made():
    return manifest(image(1, 8, 8), number("größe"), target(3))


def written(body):
    """A manifest of any content, with the hash that belongs to it."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    return json.dumps({"sha256": digest, **body}, indent=1, ensure_ascii=False) + "\n"


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    (tmp_path / FILE).write_text(made().text(), encoding="utf-8")
    assert Manifest.read(tmp_path) == made()


@pytest.mark.fault
def test_every_flipped_bit_is_found(tmp_path, soak):
    whole = made().text().encode()
    generator = random.Random(0)
    for _ in range(2000 if soak else 200):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(BadData, match=r"manifest\.json"):
            Manifest.read(tmp_path)


@pytest.mark.bad_input
@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"sha256": 3}', made().text()[:-40]])
def test_what_is_no_whole_manifest_is_refused(text):
    with pytest.raises(BadData, match="prepare the dataset again"):
        Manifest.parse(text, "here")


@pytest.mark.bad_input
def test_a_manifest_of_another_format_is_refused():
    with pytest.raises(BadData, match="later"):
        Manifest.parse(written(made().model_dump(mode="json") | {"later": 1}), "here")


@pytest.mark.bad_input
def test_a_folder_without_manifest_is_no_version(tmp_path):
    with pytest.raises(BadData, match="no dataset version"):
        Manifest.read(tmp_path)


def test_scalars_of_a_kind_come_side_by_side_and_the_rest_alone():
    found = manifest(number("a"), image(1, 4, 4), category("b", 3), number("c"), category("d", 5), target(2))
    signature = found.signature("label")
    assert [(one.name, one.dtype, one.shape) for one in signature.inputs] == [
        ("image", "int64", (1, 4, 4)),
        ("numbers", "float32", (2,)),
        ("categories", "int64", (2,)),
    ]
    assert signature.inputs[2].sizes == (3, 5)
    assert (signature.classes, signature.outputs) == (("class 0", "class 1"), 2)


def test_the_target_is_no_input_and_other_targets_are_neither():
    found = manifest(number("a"), number("b", role="target"), number("c", role="target"))
    signature = found.signature("b")
    assert [column.name for column in signature.inputs[0].columns] == ["a"]
    assert signature.outputs == 1


@pytest.mark.bad_input
def test_what_a_network_cannot_read_is_refused_with_what_there_is():
    signature = manifest(number("a"), tokens(5, 9), target(2)).signature("label")
    with pytest.raises(BadData, match=r"takes one input that is image; the dataset has tokens \(tokens"):
        signature.single("image")
    with pytest.raises(BadData, match="no column 'b'"):
        made().signature("b")
    with pytest.raises(BadData, match="needs a target"):
        made().signature().outputs


@pytest.mark.bad_input
def test_a_target_that_is_text_is_refused_with_what_would_do():
    text = Column(name="label", dtype="string", role="target", meaning="category")
    with pytest.raises(
        BadData, match=r"'label' is text, which no network predicts; put `- encode: {columns: \[label\]}`"
    ):
        manifest(number("a"), text).signature("label")


def test_an_affine_keeps_bytes_as_they_are():
    scaled = image(1, 2, 2).model_copy(update={"affine": Affine(factor=1 / 255)})
    assert manifest(scaled).signature().inputs[0].dtype == "float32"


@pytest.mark.security
@pytest.mark.parametrize(
    "file", ["/etc/passwd", "../v2/split=train/part-00000.parquet", "split=train/../../x", "part.parquet"]
)
def test_a_shard_never_lies_outside_of_its_version(file):
    shard = {"file": file, "rows": 1, "bytes": 1, "sha256": "0", "row_groups": 1}
    body = made().model_dump(mode="json")
    body["splits"] = {"train": {"rows": 1, "class_counts": {}, "digest": "0", "shards": [shard]}}
    with pytest.raises(BadData, match=r"shards\.0\n.* is no file of a split"):
        Manifest.parse(written(body), "here")


def test_a_network_may_have_other_outputs_than_the_target():
    for one in (target(3), number("price", role="target")):
        signature = manifest(number("a"), one).signature(one.name)
        widened = signature.with_outputs(7)
        assert widened.outputs == 7
        assert widened.inputs == signature.inputs
        assert signature.outputs == (3 if one.classes else 1)


@pytest.mark.bad_input
def test_without_a_target_outputs_are_refused():
    with pytest.raises(BadData, match="needs a target"):
        manifest(number("a")).signature().with_outputs(2)
