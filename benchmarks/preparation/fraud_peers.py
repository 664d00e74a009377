"""The features of card fraud by hand, in one process: from the files of raw transactions to a file a split.

    python -m benchmarks.preparation.fraud_peers (applied|rolled|polars|spark) OUT FILE...

`applied` calls a function for each card and each terminal, as the Fraud Detection Handbook does (chapter 3); `rolled`
uses pandas' own groups of windows, and `polars` the same in Polars. All give the columns of recipes/data/fraud.yaml.
`spark` makes none of them: it reads the files, writes the rows of the three weeks, and shows what Spark alone costs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

DAYS, DELAY = (1, 7, 30), 7
PERIODS = {
    "train": ("2018-07-25", "2018-08-01"),
    "valid": ("2018-08-01", "2018-08-08"),
    "test": ("2018-08-08", "2018-08-15"),
}


def main() -> None:
    way, out, *files = sys.argv[1:]
    Path(out).mkdir(parents=True, exist_ok=True)
    ways = {"applied": with_pandas, "rolled": with_pandas, "polars": with_polars, "spark": with_spark}
    ways[way](way, Path(out), files)


def with_pandas(way: str, out: Path, files: list[str]) -> None:
    import pandas as pd

    rows = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    rows = rows.drop_duplicates("TRANSACTION_ID").query("TX_AMOUNT >= 0 and TX_FRAUD in (0, 1)")
    rows = rows.sort_values(["TX_DATETIME", "TRANSACTION_ID"], ignore_index=True)
    rows["TX_DURING_WEEKEND"] = (rows["TX_DATETIME"].dt.weekday >= 5).astype(int)
    rows["TX_DURING_NIGHT"] = (rows["TX_DATETIME"].dt.hour <= 6).astype(int)
    windows = _applied if way == "applied" else _rolled
    for entity, value, mean, delay in (
        ("CUSTOMER_ID", "TX_AMOUNT", "AVG_AMOUNT", 0),
        ("TERMINAL_ID", "TX_FRAUD", "RISK", DELAY),
    ):
        for days, (count, total) in windows(rows, entity, value, delay).items():
            rows[f"{entity}_NB_TX_{days}DAY_WINDOW"] = count
            rows[f"{entity}_{mean}_{days}DAY_WINDOW"] = (total / count).where(count > 0, 0.0)
    for split, (start, until) in PERIODS.items():
        chosen = rows[(rows["TX_DATETIME"] >= start) & (rows["TX_DATETIME"] < until)]
        chosen.to_parquet(out / f"{split}.parquet", compression="zstd", index=False)


def _applied(rows: Any, entity: str, value: str, delay: int) -> dict[int, tuple[Any, Any]]:
    """Counts and sums of each window of days, by a function that sees the rows of one entity."""
    import pandas as pd

    def of_one(own: Any) -> Any:
        series = own.set_index("TX_DATETIME")[value]
        found = {}
        for days in DAYS:
            whole = series.rolling(f"{delay + days}D")
            count, total = whole.count(), whole.sum()
            if delay:
                late = series.rolling(f"{delay}D")
                count, total = count - late.count(), total - late.sum()
            found |= {("count", days): count.to_numpy(), ("total", days): total.to_numpy()}
        return pd.DataFrame(found, index=own.index)

    made = rows.groupby(entity, group_keys=False)[["TX_DATETIME", value]].apply(of_one).sort_index()
    return {days: (made["count", days], made["total", days]) for days in DAYS}


def _rolled(rows: Any, entity: str, value: str, delay: int) -> dict[int, tuple[Any, Any]]:
    """The same by windows over all groups at once."""
    ordered = rows.sort_values([entity, "TX_DATETIME"], kind="stable")
    groups = ordered.set_index("TX_DATETIME").groupby(entity)[value]

    def window(days: int) -> tuple[Any, Any]:
        rolling = groups.rolling(f"{days}D")
        return rolling.count().set_axis(ordered.index).sort_index(), rolling.sum().set_axis(ordered.index).sort_index()

    late = window(delay) if delay else (0, 0)
    found = {days: window(delay + days) for days in DAYS}
    return {days: (count - late[0], total - late[1]) for days, (count, total) in found.items()}


def with_polars(way: str, out: Path, files: list[str]) -> None:
    from datetime import date

    import polars as pl

    rows = pl.concat([pl.read_parquet(file) for file in files]).unique("TRANSACTION_ID")
    rows = rows.filter((pl.col("TX_AMOUNT") >= 0) & pl.col("TX_FRAUD").is_in([0, 1])).sort(
        "TX_DATETIME", "TRANSACTION_ID"
    )
    time = pl.col("TX_DATETIME")
    rows = rows.with_columns(
        (time.dt.weekday() >= 6).cast(pl.Int64).alias("TX_DURING_WEEKEND"),
        (time.dt.hour() <= 6).cast(pl.Int64).alias("TX_DURING_NIGHT"),
    )

    def summed(value: str, days: int, entity: str) -> Any:
        return pl.col(value).rolling_sum_by("TX_DATETIME", window_size=f"{days}d").over(entity)

    rows = rows.with_columns(pl.lit(1.0).alias("one"))
    made = []
    for entity, value, mean, delay in (
        ("CUSTOMER_ID", "TX_AMOUNT", "AVG_AMOUNT", 0),
        ("TERMINAL_ID", "TX_FRAUD", "RISK", DELAY),
    ):
        for days in DAYS:
            count, total = summed("one", delay + days, entity), summed(value, delay + days, entity)
            if delay:
                count, total = count - summed("one", delay, entity), total - summed(value, delay, entity)
            made.append(count.alias(f"{entity}_NB_TX_{days}DAY_WINDOW"))
            risk = pl.when(count > 0).then(total / count).otherwise(0.0)
            made.append(risk.alias(f"{entity}_{mean}_{days}DAY_WINDOW"))
    rows = rows.with_columns(made).drop("one")
    for split, (start, until) in PERIODS.items():
        chosen = rows.filter((time >= date.fromisoformat(start)) & (time < date.fromisoformat(until)))
        chosen.write_parquet(out / f"{split}.parquet", compression="zstd")


def with_spark(way: str, out: Path, files: list[str]) -> None:
    from millstream.pipelines.spark.session import session
    from millstream.tracking.settings import Settings

    spark = session(None, Settings.read({"MILLSTREAM_HOME": str(out)}))
    rows = spark.read.parquet(*(f"file:{file}" for file in files))
    for split, (start, until) in PERIODS.items():
        chosen = rows.where(f"TX_DATETIME >= '{start}' AND TX_DATETIME < '{until}'")
        chosen.write.parquet(f"file:{out / split}", compression="zstd")
    spark.stop()


if __name__ == "__main__":
    main()
