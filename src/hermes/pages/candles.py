"""Which columns a page draws, and bars put together where there are more than a page can hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import polars as pl

#: More candles than this are put together into fewer.
MOST_CANDLES = 50_000
#: Signals that changed nothing are left out of the chart where there are more of them than this.
MOST_IDLE_SIGNALS = 20_000

_PRICE_LIKE = ("sma_", "ema_", "wma_", "dema_", "tema_", "kama_", "vwap_", "bb_", "donchian_", "keltner_")
_BOUNDED = ("rsi_", "stoch_", "mfi_")  # from 0 to 100
_BARS = {"datetime", "open", "high", "low", "close", "volume"}
_STAMPS = {"year", "month", "position", "validated_return_pct", "validated_sharpe_ratio", "validated_max_drawdown_pct"}


@dataclass(frozen=True, slots=True)
class Layout:
    """The indicator columns of one execution, by the panel they belong on.

    Attributes:
        price: have the unit of the price.
        bounded: go from 0 to 100.
        other: everything else, on a panel of their own.
        direction: 1 while the trend is up and -1 while it is down, or None.
    """

    price: tuple[str, ...]
    bounded: tuple[str, ...]
    other: tuple[str, ...]
    direction: str | None

    @property
    def trend(self) -> str | None:
        """The line that `direction` gives the direction of: `supertrend_10_3.0`."""
        return self.direction and self.direction.replace("_dir_", "_")

    @property
    def columns(self) -> list[str]:
        """All of them."""
        return [*self.price, *self.bounded, *self.other, *([self.direction] if self.direction else [])]


def layout(schema: Mapping[str, pl.DataType]) -> Layout:
    """Sort the indicator columns of a signal file by what they look like."""
    names = [name for name, dtype in schema.items() if dtype.is_numeric() and name not in _BARS | _STAMPS]
    directions = [name for name in names if "_dir_" in name]
    lines = [name for name in names if name not in directions]
    price = tuple(name for name in lines if name.startswith(_PRICE_LIKE))
    bounded = tuple(name for name in lines if name.startswith(_BOUNDED))
    other = tuple(name for name in lines if name not in price + bounded)
    return Layout(price, bounded, other, directions[0] if directions else None)


def bars_each(rows: int) -> int:
    """How many bars one candle stands for."""
    return max(1, ceil(rows / MOST_CANDLES))


def together(bars: pl.DataFrame, each: int, indicators: Sequence[str]) -> pl.DataFrame:
    """Put every `each` bars together into one; the last may stand for fewer.

    Args:
        bars: `datetime, open, high, low, close, equity, benchmark, drawdown_pct, benchmark_drawdown_pct` and the
            indicators; a multiple of `each` rows, unless they are the last.

    Returns:
        The same columns: first open, highest high, lowest low, the deepest drawdown, the last value of all others. A
        candle stands at the middle of its bars' open times; `last_time` is the open time of its last bar.
    """
    time = pl.col("datetime")
    return bars.group_by(pl.int_range(pl.len()).alias("candle") // each, maintain_order=True).agg(
        time.first() + (time.last() - time.first()) / 2,
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close", "equity", "benchmark", *indicators).last(),
        pl.col("drawdown_pct", "benchmark_drawdown_pct").max(),
        last_time=time.last(),
    ).drop("candle")  # fmt: skip


def marks(rows: pl.DataFrame, position: int) -> pl.DataFrame:
    """The signals among some rows, and what each of them did.

    Args:
        rows: `datetime, high, low, buy_signal, sell_signal, position`.
        position: held before the first row, 0 or 1.

    Returns:
        `datetime, price, kind`: `buy` and `sell` changed the position, `idle_buy` and `idle_sell` found nothing to
        change. The price is where the mark is drawn: a buy at its bar's low, a sell at the high.
    """
    turn = pl.col("position") - pl.col("position").shift(1, fill_value=position)
    acted = rows.with_columns(turn=turn)
    buys = acted.filter("buy_signal").select(
        "datetime", price="low", kind=pl.when(pl.col("turn") > 0).then(pl.lit("buy")).otherwise(pl.lit("idle_buy"))
    )
    sells = acted.filter("sell_signal").select(
        "datetime", price="high", kind=pl.when(pl.col("turn") < 0).then(pl.lit("sell")).otherwise(pl.lit("idle_sell"))
    )
    return pl.concat([buys, sells]).sort("datetime")
