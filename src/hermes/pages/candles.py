"""The columns that a page draws, and bars merged into candles if there are more than a page can hold."""

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
        price: those in the unit of the price.
        bounded: those from 0 to 100.
        other: all others, on a separate panel.
        direction: 1 while the trend is up and -1 while it is down, or None.
    """

    price: tuple[str, ...]
    bounded: tuple[str, ...]
    other: tuple[str, ...]
    direction: str | None

    @property
    def trend(self) -> str | None:
        """The trend line that `direction` belongs to: `supertrend_10_3.0`."""
        return self.direction and self.direction.replace("_dir_", "_")

    @property
    def columns(self) -> list[str]:
        """All of them."""
        return [*self.price, *self.bounded, *self.other, *([self.direction] if self.direction else [])]


def layout(schema: Mapping[str, pl.DataType]) -> Layout:
    """Assign the indicator columns of a signal file to panels."""
    names = [name for name, dtype in schema.items() if dtype.is_numeric() and name not in _BARS | _STAMPS]
    directions = [name for name in names if "_dir_" in name]
    lines = [name for name in names if name not in directions]
    price = tuple(name for name in lines if name.startswith(_PRICE_LIKE))
    bounded = tuple(name for name in lines if name.startswith(_BOUNDED))
    other = tuple(name for name in lines if name not in price + bounded)
    return Layout(price, bounded, other, directions[0] if directions else None)


def bars_each(rows: int) -> int:
    """Bars per candle."""
    return max(1, ceil(rows / MOST_CANDLES))


def aggregate(bars: pl.DataFrame, each: int, indicators: Sequence[str]) -> pl.DataFrame:
    """Merge every `each` bars into one candle; the last may have fewer.

    Args:
        bars: `datetime, open, high, low, close, volume, equity, benchmark, drawdown_pct, benchmark_drawdown_pct,
            return, benchmark_return` and the indicators; a multiple of `each` rows, unless they are the last.

    Returns:
        The same columns: first open, highest high, lowest low, all volume, the deepest drawdown, the last value of all
        others; of both returns (fractions of each bar) their sum, and as `…_squares` the sum of their squares. A candle
        stands at the middle of its bars' open times; `last_time` is the open time of its last bar, `bars` how many it
        stands for.
    """
    time, returns = pl.col("datetime"), pl.col("return", "benchmark_return")
    return bars.group_by(pl.int_range(pl.len()).alias("candle") // each, maintain_order=True).agg(
        time.first() + (time.last() - time.first()) / 2,
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close", "equity", "benchmark", *indicators).last(),
        pl.col("volume").sum(),
        pl.col("drawdown_pct", "benchmark_drawdown_pct").max(),
        returns.sum(),
        (returns**2).sum().name.suffix("_squares"),
        last_time=time.last(),
        bars=pl.len(),
    ).drop("candle")  # fmt: skip


#: The columns of a signals table that ask for an order, with the kind of mark that one leaves.
SIGNALS = {"buy_signal": "buy", "sell_signal": "sell", "short_signal": "short", "cover_signal": "cover"}


#: The orders that a signal may lead to: one for the other side turns the account where it may.
_LEADS_TO = {"buy": ("buy", "cover"), "sell": ("sell", "short"), "short": ("short", "sell"), "cover": ("cover",)}


def signals(rows: pl.DataFrame, *, at_open: bool) -> pl.DataFrame:
    """The signals of some rows, and the times at which the account fills their orders.

    Args:
        rows: `datetime` and the columns of `SIGNALS` that the strategy has.
        at_open: whether a signal is filled at the next bar's open, instead of at its own bar's close.

    Returns:
        `datetime, kind, fills_at`, one row for each signal, in order of time; `fills_at` is null where the next bar is
        not among the rows.
    """
    time = pl.col("datetime")
    rows = rows.with_columns(fills_at=time.shift(-1) if at_open else time)
    known = [
        rows.filter(pl.col(column)).select("datetime", "fills_at", kind=pl.lit(kind))
        for column, kind in SIGNALS.items()
        if column in rows.columns
    ]
    return pl.concat(known).sort("datetime", maintain_order=True)


def marks(signals: pl.DataFrame, trades: pl.DataFrame, candles: pl.DataFrame) -> pl.DataFrame:
    """The marks on the candles: every order of the account, and the signals without an order.

    Args:
        signals: as `signals` returns them.
        trades: as `Records.frame` returns them.
        candles: as `aggregate` returns them.

    Returns:
        `datetime, kind, edge, price, said` in order of time. `kind` is `buy`, `short` for an entry, `sell`, `cover` for
        the exit that a signal asked for, `forced_sell`, `forced_cover` for any other, `idle_…` for a signal without an
        order. `edge` is the low of the candle where the mark belongs below it, else the high; `price` that of the
        order, null without one; `said` the reason of an exit with its return.
    """
    entries = trades.select(
        datetime="entry_time",
        kind=pl.when(side="long").then(pl.lit("buy")).otherwise(pl.lit("short")),
        price="entry_price",
        said=pl.lit(""),
    )
    leave = pl.when(side="long").then(pl.lit("sell")).otherwise(pl.lit("cover"))
    returned = pl.format("{}: {}%", pl.col("reason").str.replace_all("_", " "), pl.col("return_pct").round(2) + 0.0)
    exits = trades.filter(~pl.col("open")).select(
        datetime="exit_time",
        kind=pl.when(reason="signal").then(leave).otherwise(pl.concat_str(pl.lit("forced_"), leave)),
        price="exit_price",
        said=returned,
    )
    orders = pl.concat([entries, exits])
    asked = pl.concat(
        orders.filter(pl.col("kind").is_in(leads_to)).select(fills_at="datetime", kind=pl.lit(signal))
        for signal, leads_to in _LEADS_TO.items()
    )
    idle = signals.join(asked, on=["fills_at", "kind"], how="anti", maintain_order="left").select(
        "datetime",
        pl.concat_str(pl.lit("idle_"), "kind").alias("kind"),
        price=pl.lit(None, pl.Float64),
        said=pl.lit(""),
    )
    below = pl.col("kind").str.contains("buy|cover")
    edges = candles.select("last_time", "low", "high")
    return (
        pl.concat([orders, idle])
        .sort("datetime", maintain_order=True)
        .join_asof(edges, left_on="datetime", right_on="last_time", strategy="forward")
        .select("datetime", "kind", pl.when(below).then("low").otherwise("high").alias("edge"), "price", "said")
    )
