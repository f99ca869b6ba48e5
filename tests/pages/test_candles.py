from datetime import datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.pages.candles import MOST_CANDLES, bars_each, layout, marks, together


def bars(n: int) -> pl.DataFrame:
    rng = np.random.default_rng(n)
    columns = (
        "open",
        "high",
        "low",
        "close",
        "equity",
        "benchmark",
        "drawdown_pct",
        "benchmark_drawdown_pct",
        "rsi_14",
    )
    times = [datetime(2024, 1, 1) + timedelta(hours=4) * i for i in range(n)]
    return pl.DataFrame({"datetime": times, **{name: rng.uniform(1, 100, n) for name in columns}})


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 9))
def test_candles_are_what_their_bars_were(n, each):
    frame = bars(n)
    found = together(frame, each, ["rsi_14"])
    slices = [frame.slice(at, each) for at in range(0, n, each)]
    assert found.height == len(slices)
    for candle, part in zip(found.iter_rows(named=True), slices, strict=True):
        assert candle["open"] == part["open"][0]
        assert candle["high"] == part["high"].max()
        assert candle["low"] == part["low"].min()
        for name in ("close", "equity", "benchmark", "rsi_14"):
            assert candle[name] == part[name][-1]
        for name in ("drawdown_pct", "benchmark_drawdown_pct"):
            assert candle[name] == part[name].max()
        assert part["datetime"][0] <= candle["datetime"] <= part["datetime"][-1]
        assert candle["last_time"] == part["datetime"][-1]


def test_one_bar_each_stays_itself():
    frame = bars(10)
    assert together(frame, 1, ["rsi_14"]).select(frame.columns).equals(frame)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 10_000_000))
def test_a_page_never_has_more_candles_than_it_can_hold(rows):
    each = bars_each(rows)
    assert -(-rows // each) <= MOST_CANDLES
    assert each == 1 or rows > MOST_CANDLES


def test_indicators_find_their_panel():
    numbers = ("open", "close", "volume", "year", "position", "validated_return_pct", "ema_12", "donchian_upper_20",
               "rsi_14", "macd_12_26_9")  # fmt: skip
    schema = {"datetime": pl.Datetime("us"), "buy_signal": pl.Boolean(), "strategy": pl.String()}
    schema |= {name: pl.Float64() for name in numbers} | {"supertrend_dir_10_3.0": pl.Int8()}
    found = layout(schema)
    assert found.price == ("ema_12", "donchian_upper_20")
    assert found.bounded == ("rsi_14",)
    assert found.other == ("macd_12_26_9",)
    assert (found.direction, found.trend) == ("supertrend_dir_10_3.0", "supertrend_10_3.0")
    assert layout({"close": pl.Float64()}).columns == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40), st.integers(0, 1), st.integers(1, 7))
def test_marks_say_which_signal_changed_the_position(signals, position, cut):
    held, rows = position, []
    for i, (buy, sell) in enumerate(signals):
        before = held
        held = held if buy == sell else int(buy)
        rows.append((datetime(2024, 1, 1 + i // 24, i % 24), 10.0 + i, 1.0 + i, buy, sell, held, held - before))
    names = ("datetime", "high", "low", "buy_signal", "sell_signal", "position", "turn")
    frame = pl.DataFrame(rows, schema=names, orient="row")
    found, at = [], position
    for piece in frame.drop("turn").iter_slices(cut):  # pieces must not change what is found
        found.append(marks(piece, at))
        at = piece["position"][-1]
    told = pl.concat(found)
    buys = {t: ("buy" if turn == 1 else "idle_buy") for t, _, _, buy, _, _, turn in rows if buy}
    sells = {t: ("sell" if turn == -1 else "idle_sell") for t, _, _, _, sell, _, turn in rows if sell}
    assert dict(told.filter(pl.col("kind").str.contains("buy")).select("datetime", "kind").iter_rows()) == buys
    assert dict(told.filter(pl.col("kind").str.contains("sell")).select("datetime", "kind").iter_rows()) == sells
