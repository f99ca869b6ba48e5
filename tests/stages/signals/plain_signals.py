"""The law's two sides: random tables, and their signals made row by row in ordinary Python."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st
from pydantic import Field

from hermes.strategies import base
from hermes.strategies.smart_momentum import SmartMomentum

Row = dict[str, Any]
Judge = Callable[[list[Row], int], dict[str, bool]]

FIRST, HOUR = datetime(2024, 1, 30, 20), timedelta(hours=1)  # a month ends soon after the first bar
NAN, INF = float("nan"), float("inf")
DIRECTION = "supertrend_dir_10_3.0"

#: Few values, so that averages meet, cross and stand still often; the last number is the next float after 2.
AVERAGES = (None, NAN, -INF, -0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 2.0000000000000004, INF)
STRENGTHS = (None, NAN, 44.999, 45.0, 50.0, 50.0, 50.0, 55.0, 55.001, INF)
DIRECTIONS = (None, NAN, 1, 1, 1, -1, -1, 0)
PRICES = (100.0, 100.0, 101.5, 97.25)
GAPS = (1, 1, 1, 1, 2, 3, 30, 800, 3000)  # hours from bar to bar: days and months may be missing


class Echo(base.Strategy):
    """Rules that look back further than Smart Momentum, and that can buy and sell on one bar."""

    class Parameters(base.Parameters):
        """Bars to look back."""

        bars: int = Field(default=3, ge=1)

    name = "echo"
    parameters_type = Parameters

    @property
    def columns(self) -> tuple[str, ...]:
        return ("level",)

    @property
    def look_back(self) -> int:
        return self.parameters.bars

    def conditions(self) -> Mapping[str, pl.Expr]:
        level = pl.col("level")
        return {"rose": level > level.shift(self.parameters.bars), "low": level <= 1}

    def buy(self) -> pl.Expr:
        return pl.col("rose")

    def sell(self) -> pl.Expr:
        return pl.col("low")


def known(value: float | None) -> bool:
    """NaN is the only number that differs from itself."""
    return value is not None and value == value


def momentum(rows: list[Row], i: int) -> dict[str, bool]:
    """Smart Momentum's rules with its default parameters, on row `i`."""
    now, before = rows[i], rows[i - 1] if i else {}
    fast, slow, rsi, direction = (now[name] for name in ("ema_12", "ema_26", "rsi_14", DIRECTION))
    fast_before, slow_before = before.get("ema_12"), before.get("ema_26")
    above = known(fast) and known(slow) and fast > slow
    not_above_before = known(fast_before) and known(slow_before) and fast_before <= slow_before
    judged = {
        "ema_cross": above and not_above_before,
        "rsi_neutral": known(rsi) and 45 <= rsi <= 55,
        "st_bullish": direction == 1,
        "st_exit": direction == -1 and before.get(DIRECTION) == 1,
    }
    buy = judged["ema_cross"] and judged["rsi_neutral"] and judged["st_bullish"]
    return {"buy_signal": buy, "sell_signal": judged["st_exit"], **judged}


def echo(bars: int) -> Judge:
    """Echo's rules on row `i`."""

    def judge(rows: list[Row], i: int) -> dict[str, bool]:
        level, before = rows[i]["level"], rows[i - bars]["level"] if i >= bars else None
        rose = known(level) and known(before) and level > before
        low = known(level) and level <= 1
        return {"buy_signal": rose, "sell_signal": low, "rose": rose, "low": low}

    return judge


def plain_signals(
    rows: list[Row], judge: Judge, start: datetime | None = None, end: datetime | None = None
) -> list[Row]:
    """The rows from `start` to `end` with their signals and the position, which starts flat."""
    position, made = 0, []
    for i, row in enumerate(rows):
        if (start is None or row["datetime"] >= start) and (end is None or row["datetime"] <= end):
            judged = judge(rows, i)
            if judged["buy_signal"] != judged["sell_signal"]:
                position = 1 if judged["buy_signal"] else 0
            values = {name: value if known(value) else None for name, value in row.items()}
            made.append({**values, **judged, "position": position})
    return made


@st.composite
def tables(draw, columns: Mapping[str, tuple], max_rows: int = 40) -> list[Row]:
    """Rows in order of time, each of the given columns taking any of its values."""
    values = st.tuples(st.sampled_from(GAPS), *(st.sampled_from(of) for of in columns.values()))
    time, rows = FIRST, []
    for gap, *drawn in draw(st.lists(values, min_size=1, max_size=max_rows)):
        time += gap * HOUR
        rows.append({"datetime": time, "symbol": "BTCUSDT", **dict(zip(columns, drawn, strict=True))})
    return rows


def bars(unknown: tuple = ()) -> dict[str, tuple]:
    """Values of the bars' columns; `unknown` may stand where a backtest does not need a number."""
    return {
        "open": PRICES,
        "high": (*unknown, 105.0),
        "low": (*unknown, 95.0),
        "close": PRICES,
        "volume": (*unknown, 0.0, 3.5),
    }


MOMENTUM_COLUMNS = {
    **bars((None, NAN)),
    "ema_12": AVERAGES,
    "ema_26": AVERAGES,
    "rsi_14": STRENGTHS,
    DIRECTION: DIRECTIONS,
}
ECHO_COLUMNS = {**bars(), "level": (None, NAN, 0.0, 1.0, 1.0, 2.0, 3.0)}
assert SmartMomentum().columns == tuple(MOMENTUM_COLUMNS)[5:]
