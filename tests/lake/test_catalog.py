"""What the lake holds, also where other tools wrote into it."""

import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hermes.dataset import Dataset
from hermes.errors import HermesError, StoreError, UsageError
from hermes.lake import catalog, sql
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
    with pytest.raises(UsageError, match="the lake has no tables yet"):
        sql.query(lake, "select * from signals_BTCUSDT_4h")


def test_the_latest_execution_is_the_table(lake: Lake):
    signals(
        lake, "smart_momentum", "execution_20240101_000000", "execution_20250101_000000", "execution_20241231_235959"
    )
    (table,) = catalog.tables(lake)
    assert (table.name, table.alias) == ("signals_smart_momentum_币安人生USDT_4h", "signals_币安人生USDT_4h")
    assert table.executions == 3
    assert sql.query(lake, f"select number from {table.name}").rows == [(1,)]
    latest = catalog.executions(lake, DATASET, "smart_momentum")[-1]
    assert latest.key.split("/")[1] == "execution_20250101_000000"


def test_what_is_no_execution_is_passed_over(lake: Lake):
    signals(
        lake, "smart_momentum", "execution_20250101_000000", "execution_2025", "zzz", "execution_20250101_000000/old"
    )
    (table,) = catalog.tables(lake)
    assert table.executions == 1
    signals(lake, "other_rules", "backup")
    assert names(lake) == ["signals_smart_momentum_币安人生USDT_4h"]


def test_names_stay_when_another_strategy_appears(lake: Lake):
    signals(lake, "smart_momentum", "execution_20250101_000000")
    before = names(lake)
    signals(lake, "other_rules", "execution_20250101_000000", number=[7])
    assert sorted(names(lake)) == ["signals_other_rules_币安人生USDT_4h", *before]
    short = "select number from signals_币安人生USDT_4h"
    assert sql.query(lake, short).rows == [(0,)]  # of the default strategy
    assert sql.query(lake, short, strategy="other_rules").rows == [(7,)]  # of the configured one
    lake.gold.write_bytes(DATASET.promotion_key("other_rules"), b"{}")
    assert sql.query(lake, short).rows == [(7,)]  # of the promoted one
    lake.gold.write_bytes(DATASET.promotion_key("smart_momentum"), b"{}")
    assert sql.query(lake, short).rows == [(0,)]


def test_show_tables_lists_every_name(lake: Lake):
    signals(lake, "smart_momentum", "execution_20250101_000000")
    answer = sql.query(lake, "Show Tables;")
    assert answer.columns == ["name", "also", "layer", "folder"]
    assert answer.rows == [
        (
            "signals_smart_momentum_币安人生USDT_4h",
            "signals_币安人生USDT_4h",
            "gold",
            DATASET.signals_table("smart_momentum"),
        ),
        ("executions", None, "gold", ""),
    ]


def test_sql_says_what_every_execution_was_made_from(lake: Lake):
    made = {
        "strategy": "smart_momentum",
        "parameters": {"ema_fast": 9},
        "feature_set": "test",
        "trial": {"name": "test", "version": "2", "columns": ["zscore_20", "ema_50@1d"]},
    }
    table = DATASET.signals_table("smart_momentum")
    with lake.gold.staged() as path:
        lake.gold.stage(path, pl.DataFrame({"datetime": [AT]}), made)
        lake.gold.create(f"{table}/execution_20250101_000000/signals.parquet", path)
    signals(lake, "smart_momentum", "execution_20250102_000000")  # another tool's
    damaged = Path(lake.gold.address) / table / "execution_20250103_000000" / "signals.parquet"
    damaged.parent.mkdir()
    damaged.write_bytes(b"no parquet at all")
    asked = "select execution, feature_set, features_version, features_columns, parameters, error from Executions"
    rows = sql.query(lake, f"{asked} order by execution").rows
    own = ("execution_20250101_000000", "test", "2", "zscore_20, ema_50@1d", '{"ema_fast": 9}', None)
    assert rows[:2] == [own, ("execution_20250102_000000", *[None] * 5)]
    assert rows[2][:5] == ("execution_20250103_000000", *[None] * 4)
    assert str(damaged) in rows[2][5]
    by_default = "select execution from executions where read_by_default"
    assert sql.query(lake, by_default).rows == [], "nobody can tell whether the damaged one is meant"
    damaged.unlink()
    assert sql.query(lake, by_default).rows == [("execution_20250102_000000",)]
    assert sql.query(lake, "select distinct table_name, symbol from executions").rows == [
        ("signals_smart_momentum_币安人生USDT_4h", "币安人生USDT")
    ]


def test_a_wrong_name_is_answered_with_those_like_it(lake: Lake):
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"):
        table = Dataset(symbol=symbol).signals_table("smart_momentum")
        put(lake, "gold", f"{table}/execution_20250101_000000/signals.parquet", pl.DataFrame({"datetime": [AT]}))
    with pytest.raises(UsageError) as refused:
        sql.query(lake, "select * from signals_BTCUSD_4h")
    assert refused.value.cure.startswith("did you mean signals_BTCUSDT_4h or ")
    assert len(refused.value.cure) < 300
    assert "`hermes sql 'show tables'` lists all tables" in refused.value.cure
    assert len(sql.query(lake, "show tables").rows) == 5  # the cure


def test_a_limit_says_that_there_is_more(lake: Lake):
    signals(lake, "smart_momentum", "execution_20250101_000000")
    rows = "select * from range(5)"
    assert [len(sql.query(lake, rows, limit=limit).rows) for limit in (1, 4, 5, 6)] == [1, 4, 5, 5]
    assert [sql.query(lake, rows, limit=limit).more for limit in (1, 4, 5, 6)] == [True, True, False, False]


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_rows_go_to_a_file_whole_or_not_at_all(
    lake: Lake, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sql, "BATCH_ROWS", 2_048)
    path = tmp_path / f"rows.{format}"
    read: Any = {"csv": pl.read_csv, "json": pl.read_ndjson, "parquet": pl.read_parquet}[format]
    wanted = "select range as n, 'é,\"' || range as name from range(10000)"
    assert sql.export(lake, wanted, path, format) == 10_000
    found = read(path)
    assert found["n"].to_list() == list(range(10_000))
    assert found["name"][3] == 'é,"3'
    assert sql.export(lake, wanted, path, format, limit=3_000) == read(path).height == 3_000
    before = path.read_bytes()
    with pytest.raises(UsageError):
        sql.export(lake, "select case when range = 9999 then error('bad') else 'x' end from range(10000)", path, format)
    with pytest.raises(UsageError, match="two columns are called 'a'"):
        sql.export(lake, "select 1 as a, 2 as a", path, format)
    with pytest.raises(StoreError, match="No such file or directory"):
        sql.export(lake, wanted, tmp_path / "absent" / path.name, format)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [path.name]
    assert sql.export(lake, "select 1 as a where false", path, format) == 0


@pytest.mark.parametrize(
    ("format", "path", "wanted"),
    [(None, None, "table"), (None, "a.csv", "csv"), (None, "a.PARQUET", "parquet"), ("json", "a.txt", "json")],
)
def test_the_format_follows_from_the_file(format: str | None, path: str | None, wanted: str):
    assert sql.check_format(format, path and Path(path)) == wanted


@pytest.mark.parametrize(("format", "path"), [("xml", None), (None, "a"), ("table", "a"), ("parquet", None)])
def test_a_format_that_cannot_be_is_refused(format: str | None, path: str | None):
    with pytest.raises(UsageError) as refused:
        sql.check_format(format, path and Path(path))
    assert "--" in refused.value.cure


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
    assert sql.query(lake, f"select sum(close) from {found.name}").rows == [(10.0,)]


def test_one_broken_table_does_not_hide_the_others(lake: Lake):
    put(lake, "gold", f"{DATASET.features_table}/x.parquet", pl.DataFrame({"theirs": [1]}))
    signals(lake, "smart_momentum", "execution_20250101_000000")
    broken, sound = catalog.tables(lake)
    assert sql.query(lake, f"select count(*) from {sound.name}").rows == [(1,)]
    with pytest.raises(HermesError) as refused:
        catalog.described(lake, broken)
    assert len(str(refused.value).splitlines()) == 1


# --- files that are not what was published ---------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """The same file with other rows or columns, and the footer that it had."""
    about = pl.read_parquet_metadata(path)[FOOTER]
    change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(path, metadata={FOOTER: about})


@pytest.fixture
def whole(simulated: Path, tmp_path: Path, load: Callable) -> Lake:
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
def test_a_column_that_is_not_as_it_was_published_is_refused(whole: Lake, table: str, change: Callable) -> None:
    name = f"{table}_SIMUSDT_4h"
    assert sql.query(whole, f"select sum(close) from {name}").rows
    files = next(each for each in catalog.tables(whole) if name in (each.name, each.alias)).files
    rewritten(Path(files[-1].location), change)
    with pytest.raises(HermesError, match="close") as caught:
        sql.query(whole, f"select sum(close) from {name}")
    assert caught.value.cure


def test_a_footer_that_cannot_be_read_is_refused(whole: Lake) -> None:
    (file,) = next(each for each in catalog.tables(whole) if each.strategy).files
    path = Path(file.location)
    frame = pl.read_parquet(path)
    for about in ("{", "[]", '{"rows": 1}'):
        frame.write_parquet(path, metadata={FOOTER: about})
        with pytest.raises(StoreError, match=r"signals\.parquet: what its footer says"):
            whole.gold.footer(file, "columns")


@pytest.mark.parametrize(
    "text",
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
def test_sql_reads_the_lake_and_nothing_else(lake: Lake, tmp_path: Path, text: str) -> None:
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    with pytest.raises(HermesError):
        sql.query(lake, text.format(folder=tmp_path))
    assert not [*tmp_path.glob("evil*")]


def test_sql_that_is_no_unicode_is_refused(lake: Lake) -> None:
    with pytest.raises(UsageError, match="not Unicode text"):
        sql.query(lake, "select '\ud800' as x")


def test_recent_days_have_a_name_of_their_own(lake: Lake):
    times = {"monthly": 0, "daily": 86_400_000, "recent": 172_800_000}
    for frequency, time in times.items():
        folder = DATASET.with_frequency(frequency).bronze_folder
        put(lake, "bronze", f"{folder}/year=1970/month=01/x.parquet", pl.DataFrame({"open_time": [time]}))
    found = names(lake)
    assert [name.removeprefix("bronze_币安人生USDT_4h") for name in found] == ["_daily", "", "_recent"]


def test_portfolios_are_tables(lake: Lake):
    table = DATASET.portfolio_table("smart_momentum")
    for second, worth in enumerate((1.0, 2.0)):
        frame = pl.DataFrame({"datetime": [AT], "equity": [worth]})
        put(lake, "gold", f"{table}/execution_20250101_00000{second}/portfolio.parquet", frame)
    assert names(lake) == [table]
    assert sql.query(lake, f"select equity from {table}").rows == [(2.0,)]
    (found,), broken = catalog.overview(lake)
    assert (found["rows"], found["executions"], found["first"], broken) == (1, 2, AT.isoformat(), [])


def test_a_file_is_written_without_a_warning(lake: Lake, tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sql.export(lake, "select 1 as a", tmp_path / "a.csv", "csv") == 1
