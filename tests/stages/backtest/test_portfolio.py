"""One cash and many series: alone it is the single account; neither order nor cuts matter; nothing is lost."""

import itertools
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_portfolio import PlainPortfolio
from tests.stages.backtest.random_markets import HOUR, accounts, market, seeds, signals, wanted
from tests.stages.backtest.test_trading import rates, traded

from hermes.stages.backtest.account import Account
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.portfolio import Piece, Portfolio
from hermes.stages.backtest.portfolio_result import PortfolioBacktest

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT", "DUSDT")


def pieces(seed: int, rows: int, count: int, share: float, *, missing=0.1, ranked=False) -> list[Piece]:
    """Series that begin and end at different times, and have gaps."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        length = int(rng.integers(max(1, rows // 2), rows + 1))
        bars = market(seed + number, length, missing=missing)
        late = int(rng.integers(0, 10))
        bars = replace(bars, times=bars.times + np.timedelta64(late, "h"))
        rank = rng.choice([1.0, 2.0, np.nan], length) if ranked else None
        made.append(Piece(bars, wanted(signals(seed + number, length, share)), rank))
    return made


def cut(piece: Piece, begin, end) -> Piece | None:
    """The bars of a piece from one time up to, not including, another."""
    first, last = np.searchsorted(piece.bars.times, np.array([begin, end]))
    if first == last:
        return None
    rank = None if piece.rank is None else piece.rank[first:last]
    return Piece(piece.bars.between(first, last), piece.wanted.between(first, last), rank)


def trades_of(portfolio: Portfolio) -> list[pl.DataFrame]:
    """The trades of each series."""
    records, numbers = portfolio.trades()
    return [records.frame().filter(numbers == number) for number in range(len(portfolio.symbols))]


def whole(portfolio: Portfolio, given: list[Piece], hours: int | None = None):
    times = np.unique(np.concatenate([each.bars.times for each in given]))
    if hours is None:
        return portfolio.advance(given).equity
    edges = np.arange(times[0], times[-1] + np.timedelta64(hours + 1, "h"), np.timedelta64(hours, "h"))
    parts = [[cut(each, begin, end) for each in given] for begin, end in itertools.pairwise(edges)]
    return np.concatenate([portfolio.advance(part).equity for part in parts if any(part)])


@settings(max_examples=150, deadline=None)
@given(st.data(), seeds, st.integers(1, 120), accounts())
def test_a_portfolio_of_one_is_the_single_account_bit_for_bit(data, seed, rows, account):
    share = data.draw(st.sampled_from([0.0, 0.05, 0.3]))
    bars = market(seed, rows, volatility=data.draw(st.sampled_from([0.01, 0.2])), missing=0.1)
    given = signals(seed, rows, share, data.draw(st.sampled_from([2, 4])))
    funding = rates(bars, seed, timedelta(hours=3), timedelta()) if data.draw(st.booleans()) else None
    single, equity = traded(bars, given, account, funding)
    portfolio = Portfolio(account, ["AUSDT"], 1)
    hours = data.draw(st.sampled_from([None, 7, 50]))
    mine = whole(portfolio, [Piece(replace(bars, funding=funding), wanted(given))], hours)
    assert mine.tolist() == equity.tolist()
    assert trades_of(portfolio)[0].equals(single.trades())


@settings(max_examples=60, deadline=None)
@given(st.data(), seeds, accounts(inverse=False), st.booleans(), st.integers(1, 5))
def test_equals_plain_loops_over_symbols_of_all_scales_with_gaps(data, seed, account, ranked, most):
    rng, made, plain = np.random.default_rng(seed), [], []
    share, charged = data.draw(st.sampled_from([0.05, 0.3])), data.draw(st.booleans())
    for number, scale in enumerate((1.0, 1e-6, 1e5, 1e-3, 10.0)):
        length, late = int(rng.integers(60, 160)), int(rng.integers(0, 30))
        bars = market(seed + number, length, missing=0.1)
        prices = (scale * each for each in (bars.opens, bars.close, bars.high, bars.low))
        bars = Bars(bars.times + np.timedelta64(late, "h"), *prices)
        funding = rates(bars, seed + number, timedelta(hours=3), timedelta()) if charged else None
        given, rank = signals(seed + number, length, share), rng.choice([1.0, 2.0], length)
        made.append(Piece(replace(bars, funding=funding), wanted(given), rank if ranked else None))
        columns = (each.tolist() for each in (bars.times, bars.opens, bars.high, bars.low, bars.close, given.T))
        paid = list(zip(funding.times.tolist(), funding.rates.tolist(), strict=True)) if funding else []
        plain.append((list(zip(*columns, strict=True)), paid, rank.tolist()))
    series, charges, ranks = zip(*plain, strict=True)
    expected = PlainPortfolio(account, most, HOUR, series, charges, ranks if ranked else None)
    portfolio = Portfolio(account, [*SYMBOLS, "EUSDT"], most)
    near = {"rel": 1e-9, "abs": 1e-9 * account.initial_cash}
    assert whole(portfolio, made, data.draw(st.sampled_from([None, 20]))).tolist() == pytest.approx(
        expected.equity, **near
    )
    for number, trades in enumerate(trades_of(portfolio)):
        theirs = [each[1:] for each in expected.trades if each[0] == number]
        closed = trades.filter(~pl.col("open"))
        assert closed["reason"].to_list() == [each[5] for each in theirs]
        assert closed["entry_time"].to_list() == [series[number][each[0]][0] for each in theirs]
        for column, place in (("entry_price", 1), ("exit_price", 2), ("size", 3)):
            assert closed[column].to_list() == pytest.approx([abs(each[place]) for each in theirs], rel=1e-9)
        for column, place in (("fees", 4), ("profit", 6)):
            assert closed[column].to_list() == pytest.approx([each[place] for each in theirs], **near)


def test_an_entry_is_sized_by_the_equity_at_its_signal_though_its_series_has_a_gap_after_it():
    """B rises after A's signal, before A's next bar: A's order was for a part of the equity before that."""
    hours = np.datetime64("2023-01-01", "us") + np.arange(6) * np.timedelta64(1, "h")
    prices = np.array([10.0, 10.0, 10.0, 20.0, 20.0, 20.0])
    flat = np.full(3, 10.0)
    long, late = Bars(hours, prices, prices), Bars(hours[[0, 1, 5]], flat, flat)
    buys = [np.zeros((2, 6), bool), np.zeros((2, 3), bool)]
    buys[0][0, 0] = buys[1][0, 1] = True
    account = Account(fees=0.0, fill="next_open", size="fraction:0.25")
    for hour in (None, 1):
        portfolio = Portfolio(account, ["BUSDT", "AUSDT"], 2)
        whole(portfolio, [Piece(long, wanted(buys[0])), Piece(late, wanted(buys[1]))], hour)
        assert [each["size"].to_list() for each in trades_of(portfolio)] == [[250.0], [250.0]]


def test_what_rounding_leaves_of_the_cash_buys_nothing():
    """Eleven entries of a tenth: sums of floats leave 1e-13, which would buy a coin at 1e-6."""
    bars = market(1, 3)
    buys = np.zeros((2, 3), bool)
    buys[0, 1] = True
    cheap = Bars(bars.times, bars.opens * 1e-8, bars.close * 1e-8)
    for cash in (10_000.0, 137.31, 0.7):
        portfolio = Portfolio(Account(initial_cash=cash, size="fraction:0.1"), [f"S{n:02}" for n in range(12)], 12)
        portfolio.advance([Piece(cheap, wanted(buys))] * 12)
        assert [each.height for each in trades_of(portfolio)] == [1] * 10 + [0] * 2


@settings(max_examples=25, deadline=None)
@given(st.data(), seeds, accounts(inverse=False), st.booleans(), st.integers(1, 4))
def test_neither_order_nor_cuts_matter(data, seed, account, ranked, most):
    given = pieces(seed, 80, 4, data.draw(st.sampled_from([0.05, 0.3])), ranked=ranked)
    one, two = Portfolio(account, SYMBOLS, most), Portfolio(account, SYMBOLS, most)
    equity = whole(one, given)
    assert whole(two, given, data.draw(st.sampled_from([3, 17]))).tolist() == equity.tolist()
    for mine, other in zip(trades_of(one), trades_of(two), strict=True):
        assert mine.equals(other)


def test_no_measure_depends_on_how_bars_were_cut():
    given, found = pieces(5, 900, 4, 0.1), []
    times = np.unique(np.concatenate([each.bars.times for each in given]))
    for hours in (5000, 7, 100):
        backtest = PortfolioBacktest(Account(size="value:1000", stop_loss=0.02), SYMBOLS, 4, "1h")
        for begin in np.arange(times[0], times[-1] + np.timedelta64(1, "h"), np.timedelta64(hours, "h")):
            part = [cut(each, begin, begin + np.timedelta64(hours, "h")) for each in given]
            if any(part):
                backtest.update(part)
        found.append(backtest.finish())
    assert found[0].as_json() == found[1].as_json() == found[2].as_json()
    assert found[0].curve.equals(found[1].curve) and found[0].curve.equals(found[2].curve)


@settings(max_examples=60, deadline=None)
@given(seeds, accounts(inverse=False), st.integers(1, 4))
def test_money_adds_up_and_there_are_never_too_many_positions(seed, account, most):
    given = pieces(seed, 80, 4, 0.2)
    portfolio = Portfolio(account, SYMBOLS, most)
    curve = portfolio.advance(given)
    profit = sum(float(each["profit"].sum()) for each in trades_of(portfolio))
    assert curve.equity[-1] == pytest.approx(account.initial_cash + profit, rel=1e-9)
    assert curve.positions.max() <= most
    before = curve.equity - curve.value
    if account.side == "long":
        assert before.min() >= -1e-9 * account.initial_cash
    trades = pl.concat(trades_of(portfolio))
    assert not trades["open"].any() or curve.positions[-1] == trades["open"].sum()


@settings(max_examples=40, deadline=None)
@given(seeds, accounts(inverse=False), st.integers(1, 3), st.integers(10, 70))
def test_what_comes_later_changes_no_earlier_fill(seed, account, most, row):
    given = pieces(seed, 80, 3, 0.2, ranked=True)
    end = given[0].bars.times.min() + np.timedelta64(row, "h")
    early = [cut(each, np.datetime64("2000-01-01"), end) for each in given]
    if not any(early):
        return
    one, two = Portfolio(account, SYMBOLS[:3], most), Portfolio(account, SYMBOLS[:3], most)
    short, long = one.advance(early), two.advance(given)
    assert long.equity[: len(short.equity)].tolist() == short.equity.tolist()
    for mine, other in zip(trades_of(one), trades_of(two), strict=True):
        done = mine.filter(~pl.col("open"))
        assert other.head(done.height).equals(done)


def test_the_higher_rank_comes_first_and_then_the_symbol():
    bars = market(1, 20)
    buys = np.zeros((2, 20), bool)
    buys[0, 5] = True
    account = Account()
    for ranks, expected in (((1, 2, 3), 2), ((3, 3, 1), 0), ((np.nan, 1, 1), 1)):
        given = [Piece(bars, wanted(buys), np.full(20, float(rank))) for rank in ranks]
        portfolio = Portfolio(account, SYMBOLS[:3], 1)
        portfolio.advance(given)
        assert [each.height for each in trades_of(portfolio)] == [int(number == expected) for number in range(3)]


def test_all_is_an_equal_part_of_the_equity_for_each_position():
    bars = market(1, 20)
    buys = np.zeros((2, 20), bool)
    buys[0, 5] = True
    portfolio = Portfolio(Account(fees=0), SYMBOLS, 2)
    portfolio.advance([Piece(bars, wanted(buys))] * 4)
    spent = [each["size"][0] * each["entry_price"][0] if each.height else 0 for each in trades_of(portfolio)]
    assert spent == pytest.approx([5000, 5000, 0, 0])


def test_measures_of_a_portfolio_with_several_open_trades():
    given = pieces(11, 200, 4, 0.3, missing=0.0)
    buys = np.zeros((2, 200), bool)
    buys[0, 5] = True
    given = [Piece(each.bars, wanted(buys[:, : len(each.bars)])) for each in given]
    backtest = PortfolioBacktest(Account(size="value:1000"), SYMBOLS, 4, "1h")
    backtest.update(given)
    found = backtest.finish()
    assert found.trades["open"].sum() == 4 and found.metrics.trades == 4 and found.metrics.open_trade
    profit = found.symbols["contribution_pct"].sum()
    assert profit == pytest.approx(found.metrics.total_return_pct)
    assert found.metrics.end_value == pytest.approx(found.curve["equity"][-1])
