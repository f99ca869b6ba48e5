"""The stream: cuts do not matter, order does."""

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_market import HOURS_4, accounts, bars, markets

from hermes.errors import TableRefused
from hermes.stages.backtest import engine
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.engine import Backtest, Result, backtest


def in_pieces(frame: pl.DataFrame, cuts: list[int], account: Account) -> Result:
    run = Backtest(HOURS_4, account)
    edges = [0, *sorted(cuts), frame.height]
    for begin, end in pairwise(edges):
        run.update(frame[begin:end])
    (result,) = run.finish()
    return result


def assert_same_bits(one: Result, other: Result) -> None:
    assert one.metrics == other.metrics
    for frame in ("trades", "monthly", "yearly"):
        assert getattr(one, frame).equals(getattr(other, frame))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(engine, "BLOCK_ROWS", 7)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(markets(), accounts(), st.data())
def test_any_cut_gives_the_same_bits(small_blocks, frame, account, data):
    cuts = data.draw(st.lists(st.integers(0, frame.height)))
    assert_same_bits(in_pieces(frame, cuts, account), backtest(frame, HOURS_4, account))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(markets(), st.lists(accounts(), min_size=2, max_size=3))
def test_accounts_side_by_side_are_as_each_alone(small_blocks, frame, terms):
    run = Backtest(HOURS_4, *terms)
    run.update(frame)
    for found, account in zip(run.finish(), terms, strict=True):
        assert_same_bits(found, backtest(frame, HOURS_4, account))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(markets(), accounts())
def test_blocks_lose_nothing(small_blocks, frame, account):
    """Whatever is carried from block to block: as if there were only one."""
    blocks = backtest(frame, HOURS_4, account)
    engine.BLOCK_ROWS = 1000
    whole = backtest(frame, HOURS_4, account)
    engine.BLOCK_ROWS = 7
    assert blocks.trades.equals(whole.trades) and blocks.monthly.equals(whole.monthly)
    for name, value in whole.metrics.as_dict().items():
        if isinstance(value, float):
            digits = 1e-4 if name.endswith("_over_holding") else 1e-9  # of differences: see `stages.backtest.holding`
            assert getattr(blocks.metrics, name) == pytest.approx(value, rel=digits, abs=1e-12), name
        else:
            assert getattr(blocks.metrics, name) == value, name


def test_blocks_of_the_real_size_give_the_same_bits():
    rng = np.random.default_rng(1)
    rows = 2 * engine.BLOCK_ROWS + 12_345
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, rows)))
    frame = bars(close, close, rng.random(rows) < 0.01, rng.random(rows) < 0.01, every=timedelta(minutes=1))
    # One piece lies in two chunks of memory, another is a single row.
    frame = pl.concat([frame[:1000], frame[1000:]])
    cuts = [500, 2000, 2001, engine.BLOCK_ROWS, 2 * engine.BLOCK_ROWS - 1, rows - 1]
    assert_same_bits(in_pieces(frame, cuts, Account()), backtest(frame.rechunk(), HOURS_4))


def test_times_must_ascend_within_and_between_pieces():
    frame = bars([1.0] * 4, [1.0] * 4, [False] * 4, [False] * 4)
    for pieces in ([frame.reverse()], [frame[2:], frame[:2]], [frame, frame[-1:]]):
        run = Backtest(HOURS_4, Account())
        with pytest.raises(TableRefused, match="order of time"):
            for piece in pieces:
                run.update(piece)
            run.finish()


def test_order_is_also_checked_from_block_to_block(small_blocks):
    frame = bars([1.0] * 14, [1.0] * 14, [False] * 14, [False] * 14)
    with pytest.raises(TableRefused, match="order of time"):
        backtest(pl.concat([frame[7:], frame[:7]]), HOURS_4)


def test_other_columns_and_their_order_do_not_matter():
    frame = bars([1.0, 2.0], [1.0, 2.0], [True, False], [False, True])
    wide = frame.select(pl.lit("BTCUSDT").alias("symbol"), *reversed(frame.columns))
    assert_same_bits(backtest(wide, HOURS_4), backtest(frame, HOURS_4))


def test_monthly_and_yearly_returns_compound_to_the_total():
    # One bar a day from 30 January: 2 in January, 28 in February, then none until 2024.
    days = bars(
        [1.0] * 30, [100.0 + day for day in range(30)], [True] + [False] * 29, [False] * 30, every=timedelta(days=1)
    )
    late = bars([1.0], [200.0], [False], [False], start=datetime(2024, 5, 7))
    found = backtest(pl.concat([days, late]), "1d", Account(fees=0))
    assert [str(month) for month in found.monthly["month"]] == ["2023-01-01", "2023-02-01", "2024-05-01"]
    expected = [100 * (101 / 100 - 1), 100 * (129 / 101 - 1), 100 * (200 / 129 - 1)]
    assert found.monthly["return_pct"].to_list() == pytest.approx(expected)
    assert found.yearly["year"].to_list() == [2023, 2024]
    assert found.yearly["return_pct"].to_list() == pytest.approx([29.0, 100 * (200 / 129 - 1)])
    assert found.metrics.total_return_pct == pytest.approx(100.0)


def test_an_account_that_lost_all_has_no_interval():
    """A short through a rise of the price: growth has no logarithm, and no interval would hold the estimate."""
    rows = 60
    close = [100.0] * 20 + [100.0 * 1.1**number for number in range(40)]
    frame = pl.DataFrame(
        {
            "datetime": [datetime(2024, 1, 1) + number * timedelta(hours=4) for number in range(rows)],
            "open": close,
            "high": close,
            "low": close,
            "close": close,
            "buy_signal": [False] * rows,
            "sell_signal": [number == 1 for number in range(rows)],
        }
    )
    made = backtest(frame, "4h", Account(side="short"))
    assert made.metrics.end_value <= 0
    assert made.intervals is None
    assert backtest(frame, "4h", Account()).metrics.end_value > 0
