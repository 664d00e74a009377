import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe import yaml_lines

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.text(st.characters(categories=["L", "N"]), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdefgh", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=5), PLAIN, min_size=1, max_size=4))
def test_plain_values_are_read_as_yaml_defines(value):
    text = yaml.safe_dump(value)
    assert yaml_lines.parse(text, "here")[0] == yaml.safe_load(text)


def test_each_field_has_its_line():
    _, lines = yaml_lines.parse("a: 1\nb:\n  - c: {d: 2}\n  - 5\n", "here")
    assert {name: lines[name] for name in ("a", "b", "b.0.c", "b.0.c.d", "b.1")} == {
        "a": 1,
        "b": 2,
        "b.0.c": 3,
        "b.0.c.d": 3,
        "b.1": 4,
    }


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a: [1, 2", "here:1: not YAML"),
        ("a: 1\na: 2\n", "here:2: a: given twice"),
        ("a: {b: 1, b: 2}\nc: 1\nc: 2\n", "a.b: given twice.*\n.*c: given twice"),
        ("[" * 3000, "nested too deeply"),
    ],
)
def test_text_that_is_no_recipe_is_refused_with_its_line(text, message):
    with pytest.raises(WrongRecipe, match=message):
        yaml_lines.parse(text, "here")


@pytest.mark.security
@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['touch trapped']\n",
        "a: !!python/name:os.system\n",
        "a: !mine 3\n",
        "a: &x [1, 2]\nb: [*x, *x, *x]\n",
        "base: &base {a: 1}\nb:\n  <<: *base\n",
    ],
)
def test_nothing_but_plain_values_is_read(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WrongRecipe, match=r"tag|anchors"):
        yaml_lines.parse(text, "here")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.bad_input
def test_a_file_that_cannot_be_read_is_refused_with_what_was_expected(tmp_path):
    with pytest.raises(WrongRecipe, match=r"none\.yaml: cannot be read"):
        yaml_lines.read(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("about: größer".encode("latin-1"))
    with pytest.raises(WrongRecipe, match="not UTF-8"):
        yaml_lines.read(tmp_path / "latin.yaml")
    (tmp_path / "big.yaml").write_bytes(b"a: 1\n" * 300_000)
    with pytest.raises(WrongRecipe, match="at most"):
        yaml_lines.read(tmp_path / "big.yaml")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path / "mark.yaml").write_bytes(b"\xef\xbb\xbfabout: x\n")
    assert yaml_lines.read(tmp_path / "mark.yaml")[0] == {"about": "x"}
