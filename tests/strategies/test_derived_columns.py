"""Indicator columns that the gold table lacks: TA-Lib's own values, whatever the start, the chunks and the files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib

from hermes.errors import HermesError, StrategyError, TableRefused
from hermes.lake.store import Lake
from hermes.pipeline import backtest, signals
from hermes.schemas import INDICATORS
from hermes.steps.features import read_features

MINE = """
import polars as pl
from hermes.strategies.base import Strategy

class Mine(Strategy):
    name = "mine"
    columns = {columns}
    look_back = 1
    def conditions(self):
        one = pl.col(self.columns[0])
        return {{"up": pl.col("close") > one.shift(1), "down": pl.col("close") < one}}
    def buy(self): return pl.col("up") & ~pl.col("down")
    def sell(self): return pl.col("down")
"""
COLUMNS = ("ema_9", "rsi_7", "supertrend_dir_14_2.5", "donchian_high_20", "donchian_low_20", "ema_12")
TABLE = "gold_features_spot_monthly_klines_SIMUSDT_4h"


@pytest.fixture
def root(simulated_lake: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(simulated_lake, tmp_path / "lake"))


def run(load: Callable, root: Path, columns: tuple[str, ...] = COLUMNS, **flags: object):
    """Signals of a strategy in a file that reads these columns: rows, lineage, summary."""
    path = root / "mine.py"
    path.write_text(MINE.format(columns=columns))
    settings = load(root, dataset__symbol="SIMUSDT", signals__strategy=f"{path}:Mine", **flags)
    done = signals(settings, Lake.open(settings))
    return (
        pl.read_parquet(done.path, hive_partitioning=False).drop("generated_at"),
        json.loads(pl.read_parquet_metadata(done.path)["hermes"]),
        done,
    )


def test_they_are_ta_libs(load: Callable, root: Path):
    rows, lineage, done = run(load, root)
    high, low, close = (rows[name].to_numpy() for name in ("high", "low", "close"))
    oracle = {
        "ema_9": talib.EMA(close, 9),
        "rsi_7": talib.RSI(close, 7),
        "donchian_high_20": talib.MAX(high, 20),
        "donchian_low_20": talib.MIN(low, 20),
    }
    for name, values in oracle.items():
        assert np.array_equal(rows[name].fill_null(np.nan).to_numpy(), values, equal_nan=True)
    assert rows["supertrend_dir_14_2.5"].dtype == pl.Int8
    assert set(rows["supertrend_dir_14_2.5"].unique()) == {None, 1, -1}
    assert lineage["derived_columns"] == [
        "ema_9",
        "rsi_7",
        "supertrend_dir_14_2.5",
        "donchian_high_20",
        "donchian_low_20",
    ]
    assert str(root / "mine.py") in lineage["strategy_source"]
    assert lineage["strategy"] == done.as_json()["strategy"] == "mine"
    assert "trading_signals_mine_spot_SIMUSDT_4h/" in done.path
    assert rows["buy_signal"].any()


def test_start_and_chunks_change_nothing(load: Callable, root: Path):
    """A start cuts the rows that are written, never the bars that an indicator is computed from."""
    whole, *_ = run(load, root)
    marks = ["position", "validated_return_pct", "validated_sharpe_ratio", "validated_max_drawdown_pct"]
    for chunk_rows in (1, 37, 500):
        rows, *_ = run(load, root, signals__chunk_rows=chunk_rows)
        assert rows.equals(whole)
        late, *_ = run(load, root, signals__chunk_rows=chunk_rows, signals__start="2024-11-17T08:00")
        assert late.drop(marks).equals(whole.drop(marks).tail(late.height))
        assert 0 < late.height < whole.height


def test_files_change_nothing(load: Callable, root: Path):
    whole, *_ = run(load, root)
    table = pl.concat(pl.read_parquet(path) for path in sorted((root / "gold" / TABLE).rglob("*.parquet")))
    shutil.rmtree(root / "gold" / TABLE)
    (root / "gold" / TABLE).mkdir()
    for number, begin in enumerate(range(0, table.height, 301)):
        table.slice(begin, 301).write_parquet(root / "gold" / TABLE / f"{99 - number}.parquet")
    rows, *_ = run(load, root)
    assert rows.equals(whole)


def test_a_column_that_the_table_has_is_read_not_derived(load: Callable, root: Path):
    for path in (root / "gold" / TABLE).rglob("*.parquet"):
        pl.read_parquet(path).with_columns(ema_9=pl.lit(7.0), level=pl.lit(1.0)).write_parquet(path)
    rows, lineage, _ = run(load, root, ("ema_9", "rsi_7", "level"))
    assert rows["ema_9"].unique().to_list() == [7.0]
    assert lineage["derived_columns"] == ["rsi_7"]


def test_a_column_that_some_files_lack_is_refused(load: Callable, root: Path):
    path = min((root / "gold" / TABLE).rglob("*.parquet"))
    pl.read_parquet(path).with_columns(ema_9=pl.lit(7.0)).write_parquet(path)
    with pytest.raises(TableRefused, match="lacks 1 column: ema_9"):
        run(load, root, ("ema_9",))


@pytest.mark.parametrize("name", ["ema_12", "supertrend_dir_10_3.0"])
def test_a_contract_column_is_never_derived(load: Callable, root: Path, name: str):
    assert name in INDICATORS
    for path in (root / "gold" / TABLE).rglob("*.parquet"):
        pl.read_parquet(path).drop(name).write_parquet(path)
    with pytest.raises(TableRefused, match=f"lacks 1 column: {name}"):
        run(load, root, (name, "ema_9"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("emma_9", "did you mean ema_"), ("ema_0", "it takes N from 1"), ("level", "it can be sma_N")],
)
def test_a_column_that_is_neither_there_nor_an_indicator(load: Callable, root: Path, name: str, said: str):
    with pytest.raises(
        StrategyError, match=f"mine: indicator '{name}' .*, and it is not in the feature table"
    ) as error:
        run(load, root, (name,))
    assert said in error.value.cure


def test_nothing_is_published_where_the_rules_fail_on_the_data(load: Callable, root: Path):
    path = root / "mine.py"
    path.write_text(MINE.format(columns=("ema_9",)).replace("< one}", "< one, 'odd': (one * 1e6).cast(pl.Int8) > 1}"))
    settings = load(root, dataset__symbol="SIMUSDT", signals__strategy=str(path))
    for step in (signals, backtest):
        with pytest.raises(StrategyError, match="mine: odd fails on the bars 2024"):
            step(settings, Lake.open(settings))
    assert not list(root.rglob("signals.parquet"))


@pytest.mark.parametrize("name", ["ma_cross", "macd_trend", "donchian_breakout", "bollinger_reversion"])
def test_the_shipped_ones_on_the_lake(load: Callable, root: Path, name: str):
    settings = load(root, dataset__symbol="SIMUSDT", signals__strategy=name)
    lake = Lake.open(settings)
    found = signals(settings, lake)
    assert f"trading_signals_{name}_spot_SIMUSDT_4h/" in found.path
    assert found.tally.rows == read_features(settings, lake).select(pl.len()).collect().item()
    assert found.metrics == backtest(settings, lake).as_json()["metrics"]


def test_the_section_is_by_the_strategys_own_name(load: Callable, root: Path):
    path = root / "mine.py"
    path.write_text(MINE.format(columns=("ema_9",)))
    settings = load(root, dataset__symbol="SIMUSDT", signals__strategy=str(path), strategy__mine__window=3)
    with pytest.raises(HermesError, match="mine: window is not a parameter"):
        signals(settings, Lake.open(settings))
