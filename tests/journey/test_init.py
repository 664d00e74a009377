"""One's own data, by `millstream init` alone: what it writes passes `check`, and `run` makes a model that scores."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pandas as pd
import pytest
from PIL import Image

DRAW = random.Random(0)


def houses(folder):
    """Prices in dollars follow from the area; a date is missing here and there."""
    lines = ["id,listed,area,town,built.on,price"]
    for at in range(300):
        area = DRAW.uniform(40, 200)
        built = (date(1950, 1, 1) + timedelta(days=DRAW.randrange(20_000))).strftime("%d.%m.%Y") if at % 7 else ""
        listed = (date(2023, 1, 1) + timedelta(days=at)).strftime("%b %d, %Y")
        price = 1000 * area + DRAW.gauss(0, 5000)
        lines.append(f'{at},"{listed}",{area:.1f},{DRAW.choice(["Graz", "Wien", ""])},{built},"${price:,.0f}"')
    (folder / "houses.csv").write_text("\n".join([*lines, 'x,"Jan 01, 2023",n/a,Graz,,$1']) + "\n")


def made(here, tmp_path, path, *words):
    home = tmp_path / "home"
    drafted = here(home, "init", path, cwd=tmp_path)
    assert here(home, "check", drafted["recipe"], cwd=tmp_path)["faults"] == []
    found = here(home, "run", drafted["recipe"], "--budget", "smoke", *words, cwd=tmp_path)
    return drafted, found


def test_what_is_drafted_and_what_check_finds_in_the_data_is_printed(here, tmp_path):
    houses(tmp_path)
    home = tmp_path / "home"
    drafted = here(home, "init", "houses.csv", "--target", "price", cwd=tmp_path)
    assert {one["what"]: one["decided"] for one in drafted["decisions"]}["built.on"] == "time (timestamp)"
    assert here(home, "init", "houses.csv", code=2, cwd=tmp_path)["faults"][0]["where"] == "houses.yaml"
    found = here(home, "check", "houses.yaml", cwd=tmp_path)
    assert any(
        "'x' is no whole number (line 302; 1 of 301 rows looked at)" in one["message"] for one in found["doubts"]
    )
    assert here(home, "check", "houses.yaml", "--no-data", cwd=tmp_path)["doubts"] == found["doubts"][:1]
    (tmp_path / "houses.csv").unlink()
    assert "not found" in here(home, "check", "houses.yaml", code=3, cwd=tmp_path)["faults"][0]["message"]


@pytest.mark.slow
@pytest.mark.spark
def test_a_table_of_money_and_dates_becomes_a_model_that_scores_new_rows(here, tmp_path, spark):
    houses(tmp_path)
    drafted, found = made(here, tmp_path, "houses.csv")
    assert (drafted["recipe"], drafted["task"], drafted["network"]) == ("houses.yaml", "regress", "classical/xgboost")
    assert any(doubt.startswith("the target is 'price'") for doubt in drafted["doubts"])
    assert found["metrics"]["test/rmse"] < 15_000
    lines = [line for line in found["stderr"].splitlines() if line.startswith("quarantined")]
    assert lines == [
        """quarantined: 1 row: id is no whole number; the first is houses.csv:302: 'x,"Jan 01, 2023",n/a,Graz,,$1'"""
    ]
    columns = {"listed": ["Oct 03, 2023", "Oct 04, 2023"], "area": [50, 150], "town": ["Graz", ""]}
    pd.DataFrame({**columns, "built.on": ["", "1.2.1980"]}).to_csv(tmp_path / "new.csv", index=False)
    here(
        tmp_path / "home",
        "score",
        f"models:/houses/{found['model_uri'].rpartition('/')[2]}",
        "new.csv",
        "scored",
        cwd=tmp_path,
    )
    scored = pd.read_parquet(tmp_path / "scored").sort_values("area")["prediction"].tolist()
    assert scored == pytest.approx([50_000, 150_000], abs=25_000)


@pytest.mark.slow
@pytest.mark.spark
def test_texts_in_folders_become_a_model(here, tmp_path, spark):
    for name, words in {"good": "fine great lovely", "bad": "dull poor awful"}.items():
        (tmp_path / "reviews" / name).mkdir(parents=True)
        for at in range(60):
            text = " ".join(DRAW.choice((words + " a the film of it").split()) for _ in range(12))
            (tmp_path / "reviews" / name / f"{at}.txt").write_text(text)
    _, found = made(here, tmp_path, "reviews")
    assert found["metrics"]["test/accuracy"] > 0.9


@pytest.mark.slow
@pytest.mark.spark
def test_images_in_folders_become_a_model(here, tmp_path, spark):
    for name, red in {"cats": 200, "dogs": 60}.items():
        (tmp_path / "pets" / name).mkdir(parents=True)
        for at in range(40):
            colour = (red + DRAW.randint(-40, 40), 90, 255 - red)
            Image.new("RGB", (50 + at, 60), colour).save(tmp_path / "pets" / name / f"{at}.jpg")
    _, found = made(here, tmp_path, "pets", "--set", "fit.epochs=8")
    assert found["metrics"]["test/accuracy"] > 0.9


@pytest.mark.slow
@pytest.mark.spark
def test_parquet_without_a_key_becomes_a_model(here, tmp_path, spark):
    rows = pd.DataFrame({"x": [DRAW.gauss(0, 1) for _ in range(400)], "flag": [at % 2 == 0 for at in range(400)]})
    rows["label"] = (rows["x"] > 0).map({True: "up", False: "down"})
    rows.to_parquet(tmp_path / "it.parquet")
    _, found = made(here, tmp_path, "it.parquet")
    assert found["metrics"]["test/accuracy"] > 0.9
