"""Stored columns beside what the bars give, in blocks that do not have all bars before them."""

from collections.abc import Callable

import numpy as np
import polars as pl
import polars_talib as ta
import pytest

from hermes.stages.audit import columns
from hermes.stages.audit.columns import Compared, compare_columns

ROWS = 3_000
HIGH, LOW, CLOSE = (pl.col(name) for name in ("high", "low", "close"))
TREND = ta.supertrend(HIGH, LOW, CLOSE, 10, 3.0).struct.field("trend").replace(0, None).cast(pl.Int8)
WANTED = {"mean": ta.sma(CLOSE, 20).fill_nan(None), "decay": ta.ema(CLOSE, 12).fill_nan(None), "trend": TREND}
STATES = {"trend": "trend"}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "BLOCK_ROWS", 500)
    monkeypatch.setattr(columns, "LEAD_ROWS", 50)


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """Bars and their columns, as they are stored."""
    random = np.random.default_rng(11)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, ROWS)))
    return bars(close).with_columns(**WANTED)


def bars(close: np.ndarray) -> pl.DataFrame:
    opened = np.r_[close[0], close[:-1]]
    return pl.DataFrame(
        {
            "datetime": (np.arange(len(close)) * 3_600_000_000).astype("datetime64[us]"),
            "open": opened,
            "high": np.maximum(opened, close) * 1.002,
            "low": np.minimum(opened, close) * 0.998,
            "close": close,
            "volume": np.ones(len(close)),
        }
    )


def compared(stored: pl.DataFrame, read: Callable[[int, int], None] = lambda begin, end: None) -> Compared:
    def slice_of(begin: int, end: int) -> pl.DataFrame:
        read(begin, end)
        return stored.slice(begin, end - begin)

    return compare_columns(slice_of, stored.height, list(WANTED), lambda rows: rows.select(**WANTED), STATES)


def test_what_the_bars_give_is_the_same_in_every_block(table: pl.DataFrame) -> None:
    assert compared(table) == Compared(None, {}, {}, {}, [])


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize("row", [30, 499, 500, 1_777, ROWS - 1])
def test_one_wrong_value_is_found_wherever_it_stands(name: str, row: int, table: pl.DataFrame) -> None:
    wrong = -pl.col(name) if name == "trend" else pl.col(name) * (1 + 1e-5)
    stored = table.with_columns(pl.when(pl.int_range(ROWS) == row).then(wrong).otherwise(pl.col(name)).alias(name))
    found = compared(stored).difference
    assert found is not None
    assert (found.column, found.bar) == (name, table["datetime"][row])


def test_a_missing_value_is_a_difference_but_for_those_before_the_first(table: pl.DataFrame) -> None:
    def without(where: pl.Expr) -> pl.DataFrame:
        return table.with_columns(decay=pl.when(where).then(None).otherwise(pl.col("decay")))

    later = compared(without(pl.int_range(ROWS) < 700))
    assert (later.difference, later.late) == (None, {"decay": 700})
    found = compared(without(pl.int_range(ROWS) == 700)).difference
    assert found is not None
    assert (found.column, found.found) == ("decay", None)


def test_a_column_without_any_value_is_named(table: pl.DataFrame) -> None:
    assert compared(table.with_columns(mean=pl.lit(None, dtype=pl.Float64))).empty == ["mean"]


def test_an_infinite_value_does_not_hide_the_others(table: pl.DataFrame) -> None:
    """A mean of sizes with one of them infinite would make every difference a small one."""
    ratio = {"ratio": 1 / (CLOSE - CLOSE.shift(1)).abs().clip(0.001).sub(0.001)}
    stored = table.with_columns(**ratio)
    assert stored["ratio"].is_infinite().any()

    def difference(rows: pl.DataFrame) -> object:
        read = lambda begin, end: rows.slice(begin, end - begin)  # noqa: E731
        return compare_columns(read, ROWS, ["ratio"], lambda part: part.select(**ratio), {}).difference

    assert difference(stored) is None
    assert difference(stored.with_columns(pl.col("ratio").shift(-1))) is not None


def test_a_column_that_never_forgets_cannot_be_compared_where_its_first_values_are_not_those_of_the_bars(
    table: pl.DataFrame,
) -> None:
    running = {"all": CLOSE.cum_sum().shift(30)}
    peeks = table.with_columns(all=CLOSE.cum_sum().shift(-1))
    read = lambda begin, end: peeks.slice(begin, end - begin)  # noqa: E731
    found = compare_columns(read, ROWS, ["all"], lambda part: part.select(**running), {})
    assert (found.difference, found.begins) == (None, {"all": ROWS})


def test_memory_is_that_of_a_block_and_its_lead(table: pl.DataFrame) -> None:
    longest = 0

    def read(begin: int, end: int) -> None:
        nonlocal longest
        longest = max(longest, end - begin)

    compared(table, read)
    assert longest < 2_000


def test_a_trend_that_did_not_turn_for_long_is_looked_up_far_before() -> None:
    """Down, then without any trade for many blocks: only bars before the calm know that it went down."""
    random = np.random.default_rng(3)
    falling = 100 * np.exp(np.cumsum(random.normal(-0.004, 0.01, 800)))
    close = np.r_[falling, np.full(1_500, falling[-1]), falling[-1] * np.exp(np.cumsum(random.normal(0, 0.01, 700)))]
    stored = bars(close).with_columns(**WANTED)
    assert compared(stored).difference is None
    flipped = pl.when(pl.int_range(ROWS) == 2_000).then(-pl.col("trend")).otherwise("trend")
    assert compared(stored.with_columns(trend=flipped)).difference is not None


def test_bars_that_no_block_can_know_are_counted(table: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MOST_LEAD", 50)
    endless = {"all": CLOSE.cum_sum()}
    stored = table.with_columns(**endless)
    found = compare_columns(
        lambda begin, end: stored.slice(begin, end - begin), ROWS, ["all"], lambda rows: rows.select(**endless), {}
    )
    assert found.difference is None
    assert found.open == {"all": ROWS - 500}
