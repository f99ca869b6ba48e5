"""What the lake holds, also where other tools wrote into it."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from hermes.dataset import Dataset
from hermes.errors import HermesError, StoreError, UsageError
from hermes.lake import catalog
from hermes.lake.store import FOOTER, Lake
from hermes.pipeline import features as make_features
from hermes.pipeline import ingest, refine
from hermes.pipeline import signals as make_signals

DATASET = Dataset(symbol="币安人生USDT")
AT = datetime(2024, 1, 1)


@pytest.fixture
def lake(tmp_path: Path, load: Callable) -> Lake:
    return Lake.open(load(tmp_path))


def put(lake: Lake, layer: str, key: str, frame: pl.DataFrame) -> None:
    path = Path(getattr(lake, layer).address) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


def signals(lake: Lake, strategy: str, *names: str, **values) -> None:
    for number, name in enumerate(names):
        frame = pl.DataFrame({"datetime": [AT], "number": [number]} | values)
        put(lake, "gold", f"{DATASET.signals_table(strategy)}/{name}/signals.parquet", frame)


def names(lake: Lake) -> list[str]:
    return [table.name for table in catalog.tables(lake)]


def test_an_empty_lake_has_no_tables(lake: Lake):
    assert names(lake) == []
    with pytest.raises(UsageError, match="the lake's tables are: none yet"):
        catalog.query(lake, "select * from signals_BTCUSDT_4h")


def test_the_latest_execution_is_the_table(lake: Lake):
    signals(
        lake, "smart_momentum", "execution_20240101_000000", "execution_20250101_000000", "execution_20241231_235959"
    )
    (table,) = catalog.tables(lake)
    assert (table.name, table.executions) == ("signals_币安人生USDT_4h", 3)
    assert catalog.query(lake, f"select number from {table.name}").rows == [(1,)]
    latest = catalog.executions(lake, DATASET, "smart_momentum")[-1]
    assert latest.key.split("/")[1] == "execution_20250101_000000"


def test_what_is_no_execution_is_passed_over(lake: Lake):
    signals(
        lake, "smart_momentum", "execution_20250101_000000", "execution_2025", "zzz", "execution_20250101_000000/old"
    )
    (table,) = catalog.tables(lake)
    assert table.executions == 1
    signals(lake, "other_rules", "backup")
    assert names(lake) == ["signals_币安人生USDT_4h"]


def test_two_strategies_of_one_dataset_have_names_of_their_own(lake: Lake):
    signals(lake, "smart_momentum", "execution_20250101_000000")
    signals(lake, "other_rules", "execution_20250101_000000")
    assert sorted(names(lake)) == ["signals_other_rules_币安人生USDT_4h", "signals_smart_momentum_币安人生USDT_4h"]


def test_strangers_in_the_lake_are_no_tables(lake: Lake):
    for layer in ("bronze", "silver", "gold"):
        put(lake, layer, "somebody/else/year=2024/x.parquet", pl.DataFrame({"a": [1]}))
        put(lake, layer, "x.parquet", pl.DataFrame({"a": [1]}))
    assert names(lake) == []


def features(numbers: list[int], unit: str, **more) -> pl.DataFrame:
    times = pl.Series("datetime", [AT.replace(day=n) for n in numbers]).cast(pl.Datetime(unit))
    return pl.DataFrame({"datetime": times, "close": [float(n) for n in numbers], **more})


def test_a_feature_table_of_another_tool_can_be_listed_and_asked(lake: Lake):
    table = DATASET.features_table
    put(lake, "gold", f"{table}/year=2024/month=10/a.parquet", features([3, 4], "ms", year=[2024] * 2))
    put(lake, "gold", f"{table}/year=2024/month=2/a.parquet", features([1, 2], "us"))
    (found,) = catalog.tables(lake)
    shown = catalog.described(lake, found)
    assert (shown["rows"], shown["first"], shown["last"]) == (4, "2024-01-01T00:00:00", "2024-01-04T00:00:00")
    assert catalog.query(lake, f"select sum(close) from {found.name}").rows == [(10.0,)]


def test_one_broken_table_does_not_hide_the_others(lake: Lake):
    put(lake, "gold", f"{DATASET.features_table}/x.parquet", pl.DataFrame({"theirs": [1]}))
    signals(lake, "smart_momentum", "execution_20250101_000000")
    broken, sound = catalog.tables(lake)
    assert catalog.query(lake, f"select count(*) from {sound.name}").rows == [(1,)]
    with pytest.raises(HermesError) as refused:
        catalog.described(lake, broken)
    assert len(str(refused.value).splitlines()) == 1


# --- files that are not what was published ---------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """The same file with other rows or columns, and the footer that it had."""
    about = pl.read_parquet_metadata(path)[FOOTER]
    change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(path, metadata={FOOTER: about})


@pytest.fixture
def road(simulated: Path, tmp_path: Path, load: Callable) -> Lake:
    """A lake with every layer of SIMUSDT 4h."""
    settings = load(tmp_path / "lake", dataset__symbol="SIMUSDT", archive__url=str(simulated))
    lake = Lake.open(settings)
    ingest(settings, lake)
    refine(settings, lake)
    make_features(settings, lake)
    make_signals(settings, lake)
    return lake


@pytest.mark.parametrize("table", ["bronze", "silver", "features", "signals"])
@pytest.mark.parametrize(
    "change",
    [lambda frame: frame.drop("close"), lambda frame: frame.with_columns(pl.col("close").cast(pl.String))],
    ids=["missing", "mistyped"],
)
def test_a_column_that_is_not_as_it_was_published_is_refused(road: Lake, table: str, change: Callable) -> None:
    name = f"{table}_SIMUSDT_4h"
    assert catalog.query(road, f"select sum(close) from {name}").rows
    files = next(each for each in catalog.tables(road) if each.name == name).files
    rewritten(Path(files[-1].location), change)
    with pytest.raises(HermesError, match="close") as caught:
        catalog.query(road, f"select sum(close) from {name}")
    assert caught.value.cure


def test_a_footer_that_cannot_be_read_is_refused(road: Lake) -> None:
    (file,) = next(each for each in catalog.tables(road) if each.strategy).files
    path = Path(file.location)
    frame = pl.read_parquet(path)
    for about in ("{", "[]", '{"rows": 1}'):
        frame.write_parquet(path, metadata={FOOTER: about})
        with pytest.raises(StoreError, match=r"signals\.parquet: what its footer says"):
            road.gold.footer(file, "columns")


@pytest.mark.parametrize(
    "sql",
    [
        "copy (select 1) to '{folder}/evil.csv'",
        "select * from read_csv('{folder}/secret.csv')",
        "select * from '{folder}/secret.csv'",
        "attach '{folder}/evil.db'",
        "export database '{folder}/evil'",
        "set enable_external_access = true",
        "select * from known",  # a variable where the query is run
    ],
)
def test_sql_reads_the_lake_and_nothing_else(lake: Lake, tmp_path: Path, sql: str) -> None:
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    with pytest.raises(HermesError):
        catalog.query(lake, sql.format(folder=tmp_path))
    assert not [*tmp_path.glob("evil*")]
