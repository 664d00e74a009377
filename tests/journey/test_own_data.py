"""The recipes of docs/own-data.md and of docs/recipe.md for one's own data are run as they stand there."""

from __future__ import annotations

import random
import re

import pandas as pd
import pytest
from PIL import Image

from millstream.tracking.dataset.version import Dataset
from tests.journey.command import ROOT

PAGES = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("docs/own-data.md", "docs/recipe.md"))
BLOCKS = {re.search(r"about: (.+)", block)[1]: block for block in re.findall(r"```yaml\n(about: .+?)```", PAGES, re.S)}


def customers(folder):
    """Who spends little leaves, mostly; some rows do not fit."""
    draw, rows = random.Random(0), ["age,city,spent,left"]
    for _ in range(400):
        spent = draw.gauss(0, 1)
        left = "yes" if spent + draw.gauss(0, 0.3) < -0.3 else "no"
        rows.append(f"{draw.randint(18, 90)},{draw.choice(['Graz', 'Wien', ''])},{spent:.3f},{left}")
    rows += ["old,Graz,1.0,no", "200,Wien,0.5,yes"]
    (folder / "customers.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def pets(folder):
    """Reddish cats, bluish dogs."""
    draw = random.Random(0)
    for name, (red, blue) in {"cats": (180, 60), "dogs": (60, 180)}.items():
        (folder / "pets" / name).mkdir(parents=True)
        for at in range(30):
            colour = (red + draw.randint(-50, 50), 90, blue + draw.randint(-50, 50))
            Image.new("RGB", (40 + at, 50), colour).save(folder / "pets" / name / f"{at}.jpg")


def run(here, tmp_path, about, *words):
    (tmp_path / "data").mkdir()
    (tmp_path / "my.yaml").write_text(BLOCKS[about], encoding="utf-8")
    {"Cats and dogs": pets, "Will a customer leave?": customers}[about](tmp_path / "data")
    return here(tmp_path / "home", "run", "my.yaml", *words, cwd=tmp_path)


@pytest.mark.spark
def test_ones_own_table_becomes_a_model_that_scores_new_rows(here, tmp_path, spark):
    found = run(here, tmp_path, "Will a customer leave?")
    assert found["rows"] == {"train": 280, "valid": 40, "test": 80}
    assert found["quarantined"] == 2
    assert found["metrics"]["test/accuracy"] > 0.8
    new = pd.DataFrame({"city": ["Graz", "Bonn"], "spent": ["2.0", "-2.0"], "age": ["30", "40"], "who": ["a", "b"]})
    new.to_csv(tmp_path / "new.csv", index=False)
    here(tmp_path / "home", "score", "models:/my@champion", "new.csv", "scored", cwd=tmp_path)
    scored = pd.read_parquet(tmp_path / "scored").set_index("who")
    assert scored["prediction"].to_dict() == {"a": "no", "b": "yes"}


@pytest.mark.slow
@pytest.mark.spark
def test_ones_own_images_become_a_model(here, tmp_path, spark):
    found = run(here, tmp_path, "Cats and dogs")
    assert found["metrics"]["test/accuracy"] == 1.0
    manifest = Dataset.open(found["path"], tmp_path / "home" / "datasets").manifest
    assert manifest.splits["train"].class_counts == {"cats": 72, "dogs": 72}


def test_the_recipe_shown_is_the_one_that_is_shipped():
    shown = BLOCKS["LeNet on 8x8 handwritten digits, embedded data"]
    shipped = (ROOT / "recipes" / "cnn" / "lenet-digits.yaml").read_text(encoding="utf-8")
    assert shown.splitlines()[:-1] == [line for line in shipped.splitlines()[1:] if "full:" not in line][:-1]
