from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.pages.candles import MOST_CANDLES, aggregate, bars_each, layout, marks, signals
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.engine import backtest


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
        "volume",
        "return",
        "benchmark_return",
        "rsi_14",
    )
    times = [datetime(2024, 1, 1) + timedelta(hours=4) * i for i in range(n)]
    return pl.DataFrame({"datetime": times, **{name: rng.uniform(1, 100, n) for name in columns}})


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 9))
def test_candles_are_what_their_bars_were(n, each):
    frame = bars(n)
    found = aggregate(frame, each, ["rsi_14"])
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
        assert candle["bars"] == part.height
        for name in ("volume", "return", "benchmark_return"):
            assert candle[name] == pytest.approx(part[name].sum())
        assert candle["return_squares"] == pytest.approx((part["return"] ** 2).sum())


def test_one_bar_each_stays_itself():
    frame = bars(10)
    assert aggregate(frame, 1, ["rsi_14"]).select(frame.columns).equals(frame)


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


market = st.lists(
    st.tuples(*[st.booleans()] * 4, st.floats(0.9, 1.1)), min_size=2, max_size=40
)  # buy, sell, short, cover, by how much the close moves


@settings(deadline=None, max_examples=60)
@given(
    market, st.sampled_from(["long", "short", "both"]), st.sampled_from(["close", "next_open"]), st.booleans(),
    st.booleans(), st.integers(1, 5),
)  # fmt: skip
def test_every_order_is_marked_and_every_signal_is_an_order_or_idle(rows, side, fill, own_shorts, stopped, each):
    closes = 100 * np.cumprod([row[4] for row in rows])
    names = ("buy_signal", "sell_signal", "short_signal", "cover_signal")[: 4 if own_shorts else 2]
    frame = pl.DataFrame({name: [row[at] for row in rows] for at, name in enumerate(names)}).with_columns(
        datetime=pl.Series([datetime(2024, 1, 1) + timedelta(hours=i) for i in range(len(rows))]),
        open=closes, high=closes * 1.05, low=closes * 0.95, close=closes,
    )  # fmt: skip
    account = Account(side=side, fill=fill, stop_loss=0.04 if stopped else None)
    trades = backtest(frame, "1h", account).trades
    candles = frame.group_by(pl.int_range(pl.len()) // each, maintain_order=True).agg(
        pl.col("low").min(), pl.col("high").max(), last_time=pl.col("datetime").last()
    )
    asked = signals(frame, at_open=fill == "next_open")
    found = marks(asked, trades, candles)
    count = dict(found["kind"].value_counts().iter_rows())
    by_side = {"long": ("buy", "sell", "forced_sell"), "short": ("short", "cover", "forced_cover")}
    for name, (entry, leave, forced) in by_side.items():
        of_side = trades.filter(side=name)
        closed = of_side.filter(~pl.col("open"))
        assert count.get(entry, 0) == of_side.height
        assert count.get(leave, 0) == closed.filter(reason="signal").height
        assert count.get(forced, 0) == closed.filter(pl.col("reason") != "signal").height
    # A signal is idle exactly where no order was filled that it asks for.
    orders = {
        *(("buy" if side == "long" else "short", at) for side, at in trades.select("side", "entry_time").iter_rows()),
        *(
            ("sell" if side == "long" else "cover", at)
            for side, at in trades.filter(reason="signal").select("side", "exit_time").iter_rows()
        ),
    }
    leads_to = {"buy": ("buy", "cover"), "sell": ("sell", "short"), "short": ("short", "sell"), "cover": ("cover",)}
    times = frame["datetime"].to_list()
    for kind, leads in leads_to.items():
        if f"{kind}_signal" not in frame.columns:
            continue
        shift = int(fill == "next_open")
        idle = [
            times[at]
            for at, said in enumerate(frame[f"{kind}_signal"])
            if said and not any((each, times[min(at + shift, len(times))]) in orders for each in leads
                                if at + shift < len(times))
        ]  # fmt: skip
        assert found.filter(kind=f"idle_{kind}")["datetime"].to_list() == idle
    for row in found.iter_rows(named=True):
        candle = candles.filter(pl.col("last_time") >= row["datetime"]).row(0, named=True)
        below = row["kind"].endswith(("buy", "cover"))
        assert row["edge"] == candle["low" if below else "high"]
        assert (row["price"] is None) == row["kind"].startswith("idle")


@settings(deadline=None, max_examples=30)
@given(market, st.booleans(), st.integers(1, 7))
def test_signals_of_pieces_that_overlap_by_a_row_are_those_of_the_whole(rows, at_open, cut):
    times = [datetime(2024, 1, 1) + timedelta(hours=i) for i in range(len(rows))]
    frame = pl.DataFrame({"datetime": times, "buy_signal": [row[0] for row in rows]})
    found, waiting = [], frame.clear()
    for piece in frame.iter_slices(cut):
        both = signals(pl.concat([waiting, piece]), at_open=at_open)
        found.append(both.filter(pl.col("datetime") < piece["datetime"][-1]))
        waiting = piece.tail(1)
    assert pl.concat([*found, signals(waiting, at_open=at_open)]).equals(signals(frame, at_open=at_open))
