import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder

from millstream.pipelines.steps import encode
from millstream.pipelines.steps.encode import Encode
from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.errors import BadData
from millstream.tracking.serving import columns, replay
from tests.pipelines.made import CITY, LABEL, TEXT, rows_of, table
from tests.training.signatures import manifest

pytestmark = pytest.mark.spark
PRICE = Column(name="price", dtype="float64", role="target", meaning="number")


def test_unknown_and_missing_inputs_are_class_zero(spark):
    step = Encode(columns=("city",))
    learned = step.fit(table(spark, [{"city": "Graz"}, {"city": "Bonn"}, {"city": None}], CITY), 0)
    assert learned["city"]["classes"] == ["(unknown)", "Bonn", "Graz"]
    found = step.apply(table(spark, [{"city": "Graz"}, {"city": "Oslo"}, {"city": None}], CITY), learned, 0)
    assert rows_of(found, "city") == [(2,), (0,), (0,)]
    assert found.columns[0].classes == ("(unknown)", "Bonn", "Graz")


def test_a_label_that_train_does_not_know_is_quarantined(spark):
    step = Encode(columns=("label",))
    learned = step.fit(table(spark, [{"label": "b"}, {"label": "a"}], LABEL), 0)
    found = step.apply(table(spark, [{"label": "a"}, {"label": "z"}, {"label": None}], LABEL), learned, 0)
    assert rows_of(found, "label") == [(0,)]
    assert sorted(row[0] for row in found.refused.select("sample_id").collect()) == ["s1", "s2"]
    assert {row[0] for row in found.refused.select("reason").collect()} == {"label: missing, or no class of train"}


def test_a_target_may_be_the_share_of_each_class(spark):
    step = Encode(columns=("label",), method="onehot")
    learned = step.fit(table(spark, [{"label": "b"}, {"label": "a"}], LABEL), 0)
    found = step.apply(table(spark, [{"label": "a"}, {"label": "z"}, {"label": "b"}], LABEL), learned, 0)
    assert [np.frombuffer(row[0], "<f4").tolist() for row in rows_of(found, "label")] == [[1, 0], [0, 1]]
    assert [row[0] for row in found.refused.select("sample_id").collect()] == ["s1"]
    signature = manifest(*found.columns).signature("label")
    assert (signature.classes, signature.outputs, signature.target.dtype) == (("a", "b"), 2, "float32")
    with pytest.raises(BadData, match="one class alone"):
        step.fit(table(spark, [{"label": "b"}], LABEL), 0)


def test_characters_of_train_make_the_vocabulary(spark):
    step = Encode(columns=("text",), method="characters", longest=5)
    learned = step.fit(table(spark, [{"text": "ab a"}, {"text": "ç"}], TEXT), 0)
    assert learned["text"]["vocabulary"] == ["(pad)", "(unknown)", " ", "a", "b", "ç"]
    rows = [{"text": text} for text in ("bab", "axb", "  ", "abcdef")]
    found = step.apply(table(spark, rows, TEXT), learned, 0)
    assert rows_of(found, "tokens") == [([4, 3, 4],), ([3, 1, 4],)]
    reasons = {row.sample_id: row.reason for row in found.refused.collect()}
    assert reasons == {"s2": "text: empty", "s3": "text: over 5 characters"}
    assert found.column("tokens").shape == (3,)
    assert found.column("text").role == "key"


def test_serving_reads_rows_as_the_step_did(spark):
    step = Encode(columns=("city",))
    rows = [{"city": name} for name in ("Graz", "Bonn", "Graz", "Kyiv")]
    learned = step.fit(table(spark, rows, CITY), 0)
    by_spark = [row[0] for row in rows_of(step.apply(table(spark, rows, CITY), learned, 0), "city")]
    served = columns.category_numbers(pd.Series([row["city"] for row in rows]), learned["city"]["classes"], unknown=0)
    assert by_spark == served.tolist()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("method", "limit"), [("index", "MOST_NUMBERED"), ("onehot", "MOST_PLACES"), ("target", "MOST_NUMBERED")]
)
def test_an_id_is_no_category(spark, monkeypatch, method, limit):
    made = table(spark, [{"city": f"city {at}", "price": float(at)} for at in range(4)], CITY, PRICE)
    step = Encode(columns=("city",), method=method, target="price" if method == "target" else None)
    step.fit(made, 0)
    monkeypatch.setattr(encode, limit, 3)
    with pytest.raises(BadData, match="city: more than 3 different values in train, as of an id"):
        step.fit(made, 0)


@pytest.mark.bad_input
def test_a_missing_column_is_named(spark):
    with pytest.raises(BadData, match="'town'"):
        Encode(columns=("town",)).fit(table(spark, [{"city": "Graz"}], CITY), 0)


def served(prepared, learned):
    """The manifest of a served model."""
    step = Step(name="encode", version=1, config={}, learned=learned, rows_in=1, rows_out=1, seconds=0)
    return manifest(*prepared.columns).model_copy(update={"steps": (step,)})


def test_one_hot_vectors_are_those_of_scikit_learn_for_serving_too(spark):
    train, cities = ["Graz", "Wien", "Bonn", "Graz"], ["Wien", "Oslo", "Bonn", None]
    step = Encode(columns=("city",), method="onehot")
    learned = step.fit(table(spark, [{"city": city} for city in train], CITY), 0)
    found = step.apply(table(spark, [{"city": city} for city in cities], CITY), learned, 0)
    oracle = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(np.array(train)[:, None])
    expected = oracle.transform(np.array(cities, dtype=object)[:, None])
    vectors = [np.frombuffer(row[0], "<f4") for row in rows_of(found, "city")]
    np.testing.assert_array_equal(vectors, expected)
    column = found.column("city")
    assert (column.layout, column.shape, column.classes) == ("tensor", (3,), ("Bonn", "Graz", "Wien"))
    known = served(found, learned)
    assert [(one.dtype, one.meaning, one.layout) for one in replay.raw_columns(known)] == [
        ("string", "category", "scalar")
    ]
    again = replay.replay(pd.DataFrame({"city": cities}), known)
    np.testing.assert_array_equal([np.frombuffer(row, "<f4") for row in again["city"]], expected)
    back = replay.restore(again, known)
    assert back["city"].tolist() == ["Wien", "(unknown)", "Bonn", "(unknown)"]


def sales(spark, partitions=None):
    draws = np.random.default_rng(3)
    rows = pd.DataFrame({"city": draws.choice(["Graz", "Wien", "Bonn", None], 80), "price": draws.normal(5, 2, 80)})
    rows["split"] = np.where(np.arange(80) % 4 == 0, "test", "train")
    rows["sample_id"] = [f"s{at:02}" for at in range(80)]
    rows.loc[80] = ["Oslo", 1.0, "test", "s80"]
    return rows, table(spark, rows, CITY, PRICE, partitions=partitions)


def smooth(train, city, m):
    here = train[train.city == city].price
    return (here.sum() + m * train.price.mean()) / (len(here) + m)


@pytest.mark.parametrize("smoothing", [0.0, 7.0])
def test_a_category_is_the_mean_of_its_targets_and_no_train_row_sees_its_own(spark, smoothing):
    rows, made = sales(spark)
    step = Encode(columns=("city",), method="target", target="price", smoothing=smoothing, folds=3)
    learned = step.fit(type(made)(made.frame.where("split = 'train'"), made.columns), 11)
    found = step.apply(made, learned, 11)
    fold = dict(made.frame.selectExpr("sample_id", "pmod(xxhash64(11L, 'encode fold', sample_id), 3)").collect())
    rows = rows.fillna({"city": "(unknown)"})
    train = rows[rows.split == "train"]
    expected = []
    for row in rows.sort_values("sample_id").itertuples():
        seen = train if row.split == "test" else train[train.sample_id.map(fold) != fold[row.sample_id]]
        expected.append(smooth(seen, row.city, smoothing) if row.city != "Oslo" else seen.price.mean())
    np.testing.assert_allclose([row[0] for row in rows_of(found, "city")], expected, rtol=1e-6)
    replayed = replay.replay(rows[rows.split == "test"][["city"]], served(found, learned))
    np.testing.assert_allclose(
        replayed["city"], [row for row, s in zip(expected, rows.split, strict=True) if s == "test"]
    )
    back = replay.restore(replayed, served(found, learned))
    assert back["city"].tolist()[:-1] == rows[rows.split == "test"]["city"].tolist()[:-1]


def test_target_means_do_not_depend_on_partitions(spark):
    step = Encode(columns=("city",), method="target", target="price")
    first, *others = [step.fit(sales(spark, partitions)[1], 0) for partitions in (1, 2, 7)]
    assert all(other == first for other in others)  # to the last bit


@pytest.mark.parametrize("label", [LABEL, LABEL.model_copy(update={"dtype": "int64", "classes": ("no", "yes")})])
def test_of_a_class_the_share_of_the_positive_one_is_taken(spark, label):
    yes, no = ("yes", "no") if label.classes is None else (1, 0)
    rows = [{"city": "a", "label": one} for one in (yes, yes, no, no)] + [{"city": "b", "label": yes}] * 3
    step = Encode(columns=("city",), method="target", target="label", positive="yes", smoothing=0, folds=2)
    learned = step.fit(table(spark, rows, CITY, label), 0)
    assert learned["city"]["means"] == {"a": 0.5, "b": 1.0}
    assert learned["city"]["prior"] == pytest.approx(5 / 7)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "cost"}, r"'cost'.*'label'"),
        ({"target": "label"}, "name the `positive` one"),
        ({"target": "label", "columns": ("label",), "positive": "x"}, "target is for inputs"),
    ],
)
def test_a_target_without_a_mean_is_refused(spark, fields, message):
    with pytest.raises(BadData, match=message):
        Encode(**{"columns": ("city",), "method": "target", **fields}).fit(
            table(spark, [{"city": "a", "label": "x"}], CITY, LABEL), 0
        )


GRADE = Column(name="grade", dtype="int64", role="target", meaning="number")


@pytest.mark.parametrize("column", [GRADE, GRADE.model_copy(update={"dtype": "string", "meaning": "category"})])
def test_classes_that_are_numbers_stand_by_their_value(spark, column):
    values = [10, 2, 1, 30, 3] if column.dtype == "int64" else ["10", "2", "1", "30", "3"]
    learned = Encode(columns=("grade",)).fit(table(spark, [{"grade": one} for one in values], column), 0)
    assert learned["grade"]["classes"] == ["1", "2", "3", "10", "30"]


def test_classes_stand_in_the_declared_order(spark):
    rows = table(spark, [{"label": one} for one in ("low", "high", "medium")], LABEL)
    step = Encode(columns=("label",), classes=("low", "medium", "high"))
    assert rows_of(step.apply(rows, step.fit(rows, 0), 0), "label") == [(0,), (2,), (1,)]
    with pytest.raises(BadData, match=r"\['high'\] besides `classes`, and no row of \['highest'\]"):
        Encode(columns=("label",), classes=("low", "medium", "highest")).fit(rows, 0)


def test_keys_are_no_categories(spark):
    key = CITY.model_copy(update={"name": "user", "role": "key"})
    rows = table(spark, [{"user": "u1", "city": "Graz"}, {"user": "u2", "city": "Bonn"}], key, CITY)
    step = Encode(columns="categories")
    assert rows_of(step.apply(rows, step.fit(rows, 0), 0), "user", "city") == [("u1", 2), ("u2", 1)]


def test_a_category_that_is_called_like_the_unknown_one_is_unknown(spark):
    rows = table(spark, [{"city": "(unknown)"}, {"city": "Graz"}, {"city": None}], CITY)
    step = Encode(columns=("city",))
    learned = step.fit(rows, 0)
    assert learned["city"]["classes"] == ["(unknown)", "Graz"]
    assert rows_of(step.apply(rows, learned, 0), "city") == [(0,), (1,), (0,)]


@pytest.mark.bad_input
def test_tokens_do_not_write_over_a_column(spark):
    rows = table(spark, [{"text": "ab", "Tokens": 1.0}], TEXT, PRICE.model_copy(update={"name": "Tokens"}))
    step = Encode(columns=("text",), method="characters")
    with pytest.raises(BadData, match="there is a column 'Tokens' already"):
        step.apply(rows, step.fit(rows, 0), 0)
