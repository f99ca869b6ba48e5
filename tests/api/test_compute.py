"""Frames in, frames out: the same definitions as the pipeline's, and frames that are refused."""

from collections.abc import Callable
from datetime import datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import hermes
from hermes.errors import StrategyError, TableRefused, UsageError
from hermes.steps.run import Run


@pytest.fixture(scope="session")
def bars(settings: hermes.Settings, finished: Run) -> pl.DataFrame:
    return hermes.read_features(settings).select("datetime", "open", "high", "low", "close", "volume").collect()


def test_features_of_a_frame_are_the_tables(settings: hermes.Settings, bars: pl.DataFrame):
    table = hermes.read_features(settings).collect()
    assert_frame_equal(hermes.compute_features(bars, settings), table, check_exact=True)
    assert_frame_equal(hermes.compute_features(bars.lazy(), settings), table, check_exact=True)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"signals__start": "2024-11-01"},
        {"signals__start": "2024-11-03T05:00", "signals__end": "2025-02-01T04:00", "signals__context_rows": 1},
        {"signals__strategy": "donchian_breakout", "signals__context_rows": 40},
        {"strategy__smart_momentum__ema_fast": 9, "signals__end": "2025-01-15"},
    ],
)
def test_signals_and_figures_of_a_frame_are_an_executions(
    settings: hermes.Settings, finished: Run, load: Callable, given
):
    own = load(settings.lake.url, dataset__symbol="SIMUSDT", **given)
    made = hermes.signals(own)
    found = hermes.compute_signals(hermes.read_features(own), own)
    assert_frame_equal(found, made.frame().select(found.columns), check_exact=True)
    assert {"buy_signal", "sell_signal", "position", "symbol"} <= set(found.columns)
    measured = hermes.backtest(own, frame=found)
    assert measured.metrics == made.metrics
    assert measured.as_json()["rows"] == made.tally.rows
    assert_frame_equal(measured.trades, made.trades, check_exact=True)
    assert_frame_equal(measured.equity, made.equity, check_exact=True)
    assert_frame_equal(measured.frame(), found)


def test_the_bar_before_the_start_is_still_seen(settings: hermes.Settings, finished: Run, load: Callable):
    table = hermes.read_features(settings).collect()
    sells = hermes.compute_signals(table, load("./x/{layer}", dataset__symbol="SIMUSDT")).filter("sell_signal")
    own = load("./x/{layer}", dataset__symbol="SIMUSDT", signals__start=sells["datetime"][3])
    assert hermes.compute_signals(table, own).row(0, named=True)["sell_signal"]  # a flip is told from the bar before


def test_nan_never_makes_a_signal(settings: hermes.Settings, finished: Run):
    # In Polars NaN is above every number: an EMA that is not known yet would cross.
    table = hermes.read_features(settings).collect()
    nan = table.with_columns(
        pl.col(pl.Float64).exclude("open", "high", "low", "close", "volume").fill_null(float("nan"))
    )
    assert nan["ema_26"].is_nan().any()
    assert_frame_equal(hermes.compute_signals(nan, settings), hermes.compute_signals(table, settings))


def test_signals_of_your_own_are_measured_without_any_lake(bars: pl.DataFrame, load: Callable):
    mine = bars.with_columns(
        buy_signal=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(value=True)),
        sell_signal=pl.lit(value=None, dtype=pl.Boolean),
    )
    made = hermes.backtest(load("./nowhere/{layer}", backtest__fees=0.0), frame=mine)
    assert made.metrics["total_return_pct"] == pytest.approx(made.metrics["benchmark_return_pct"])
    assert (made.metrics["trades"], made.metrics["open_trade"]) == (1, True)


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_equity_is_of_the_configured_fill(bars: pl.DataFrame, load: Callable, fill: str):
    turn = pl.int_range(pl.len()) % 50
    mine = bars.with_columns(pl.col("open") * 1.01, buy_signal=turn == 7, sell_signal=turn == 40)
    made = hermes.backtest(load("./nowhere/{layer}", backtest__fill=fill), frame=mine)
    assert made.equity["equity"][-1] == pytest.approx(made.metrics["end_value"], rel=1e-12)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda frame: frame.drop("close"), "no column close"),
        (lambda frame: frame.reverse(), "do not ascend"),
        (lambda frame: pl.concat([frame.head(3), frame.tail(1), frame.tail(1)]), "do not ascend"),
        (lambda frame: frame.with_columns(close=pl.lit(0.0)), "close at .* is 0"),
        (lambda frame: frame.with_columns(open=pl.lit(float("nan"))), "open at .* is None"),
        (lambda frame: frame.with_columns(close=pl.lit(float("inf"))), "close at .* is inf"),
        (lambda frame: frame.with_columns(close=pl.lit("high")), "another type"),
        (lambda frame: frame.clear(), "no row|no bar"),
    ],
)
def test_frames_that_no_account_could_trade_are_refused(
    settings: hermes.Settings, finished: Run, spoil: Callable, said: str
):
    table = hermes.read_features(settings).collect()
    judged = hermes.compute_signals(table, settings)
    with pytest.raises(TableRefused, match=said):
        hermes.backtest(settings, frame=spoil(judged))
    with pytest.raises(TableRefused, match=said):
        hermes.compute_signals(spoil(table), settings)


def test_one_of_the_23_that_is_missing_and_a_span_without_bars_are_refused(
    settings: hermes.Settings, finished: Run, load
):
    table = hermes.read_features(settings).collect()
    with pytest.raises(TableRefused, match="no column ema_12"):
        hermes.compute_signals(table.drop("ema_12"), settings)
    with pytest.raises(TableRefused, match="no bar from 2030"):
        hermes.compute_signals(table, load("./x/{layer}", signals__start=datetime(2030, 1, 1)))
    with pytest.raises(StrategyError, match="nonsense"):
        hermes.compute_signals(table, load("./x/{layer}", signals__strategy="nonsense"))


def test_a_pandas_frame_will_do(settings: hermes.Settings, finished: Run):
    table = hermes.read_features(settings).collect()
    judged = hermes.compute_signals(table, settings)
    with_index = table.to_pandas().set_index("datetime")
    assert_frame_equal(hermes.compute_signals(with_index, settings), judged)
    elsewhere = with_index.tz_localize("UTC").tz_convert("Asia/Tokyo")
    assert_frame_equal(hermes.compute_signals(elsewhere, settings), judged)
    bars = table.select("datetime", "open", "high", "low", "close", "volume")
    assert_frame_equal(hermes.compute_features(bars.to_pandas(), settings), hermes.compute_features(bars, settings))
    assert hermes.backtest(settings, frame=judged.to_pandas()).metrics == hermes.backtest(settings).metrics


@pytest.mark.parametrize("frame", [[1, 2], "bars.parquet", None])
def test_what_is_no_frame_is_refused(settings: hermes.Settings, frame: object):
    with pytest.raises(UsageError, match=f"expected a frame, not {type(frame).__name__}"):
        hermes.compute_features(frame, settings)
