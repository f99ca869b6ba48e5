"""The figures that the original notebooks published, on the same real bars."""

import io
import json
import zipfile
from datetime import datetime, timedelta

import polars as pl
import polars_talib as ta
import pytest
from tests.stages.backtest.plain_market import HOURS_4

from hermes.stages.backtest.engine import Result, backtest


@pytest.fixture(scope="module")
def signals(archive) -> pl.DataFrame:
    """The rules over the whole BTCUSDT 4h history, written down here once more."""
    columns = ["datetime", "open", "high", "low", "close", *(f"unused_{n}" for n in range(7))]
    months = []
    for path in sorted((archive / "data/spot/monthly/klines/BTCUSDT/4h").glob("*.zip")):
        with zipfile.ZipFile(path) as file:
            text = file.read(file.namelist()[0])
        months.append(pl.read_csv(io.BytesIO(text), has_header=False, new_columns=columns).select(columns[:5]))
    time, close = pl.col("datetime"), pl.col("close")
    history = pl.concat(months, how="vertical_relaxed").with_columns(
        pl.when(time > 10**14).then(time).otherwise(time * 1000).cast(pl.Datetime("us"))
    )
    supertrend = ta.supertrend(pl.col("high"), pl.col("low"), close, 10, 3.0)
    table = history.sort("datetime").with_columns(
        fast=ta.ema(close, 12).fill_nan(None),
        slow=ta.ema(close, 26).fill_nan(None),
        rsi=ta.rsi(close, 14).fill_nan(None),
        trend=supertrend.struct.field("trend"),
    )
    fast, slow, trend = pl.col("fast"), pl.col("slow"), pl.col("trend")
    cross = (fast > slow) & (fast.shift(1) <= slow.shift(1))
    return table.with_columns(
        buy_signal=(cross & pl.col("rsi").is_between(45, 55) & (trend == 1)).fill_null(False),
        sell_signal=((trend == -1) & (trend.shift(1) == 1)).fill_null(False),
    )


def window(signals: pl.DataFrame, start: str) -> pl.DataFrame:
    return signals.filter(pl.col("datetime") >= datetime.fromisoformat(start))


def run(signals: pl.DataFrame, start: str) -> Result:
    return backtest(window(signals, start), HOURS_4)


@pytest.mark.parametrize("start", ["2023-01-01", "2017-09-01"])
def test_every_published_figure_to_the_digits_given(signals, published, start):
    expected = dict(published[f"backtest_from_{start}"])
    del expected["source"]
    frame = window(signals, start)
    assert frame.height == expected.pop("rows")
    assert frame["buy_signal"].sum() == expected.pop("buy_signals")
    assert frame["sell_signal"].sum() == expected.pop("sell_signals")

    found = run(signals, start).metrics.as_dict()
    # The published Calmar ratio counts bars instead of days: bars are missing from 2017 to 2023.
    years = frame.height / found["periods_per_year"]
    counted = 100 * ((1 + found["total_return_pct"] / 100) ** (1 / years) - 1) / found["max_drawdown_pct"]
    assert round(counted, 6) == expected.pop("calmar")
    for name, figure in expected.items():
        if name.endswith("_duration"):
            assert str(timedelta(seconds=found[f"{name}_s"])) == figure.replace("days ", "days, ").replace(" 0", " "), (
                name
            )
        elif isinstance(figure, float):
            assert round(found[name], 6) == figure, name
        else:
            assert found[name] == figure, name


def test_rate_per_year_is_by_the_calendar(signals):
    found = run(signals, "2017-09-01").metrics
    first, last = datetime(2017, 9, 1), signals["datetime"][-1] + timedelta(hours=4)
    assert found.elapsed_days == (last - first) / timedelta(days=1)
    expected = 100 * ((1 + found.total_return_pct / 100) ** (365 / found.elapsed_days) - 1)
    assert found.cagr_pct == pytest.approx(expected, rel=1e-12)
    assert found.calmar == pytest.approx(expected / found.max_drawdown_pct, rel=1e-12)


def test_years_compound_to_the_total(signals):
    found = run(signals, "2017-09-01")
    for periods in (found.monthly, found.yearly):
        growth = (1 + periods["return_pct"] / 100).product()
        assert 100 * (growth - 1) == pytest.approx(found.metrics.total_return_pct)
    assert found.yearly.height == 9 and found.monthly.height == 96
    assert json.dumps(found.metrics.as_dict(), allow_nan=False)
