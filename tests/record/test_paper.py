"""The paper account: filled only where it could have been; its distance to the backtest is explained by causes."""

import random
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import polars as pl
import pytest
from tests.record.decisions import BARS_900 as BARS
from tests.record.decisions import FIRST, HOUR, Service, changed, decide, judge, reconciled, with_parameters

from hermes.record.paper import PaperAccount, paper_bars, track
from hermes.record.reconciliation import reconcile
from hermes.stages.backtest.account import Account
from hermes.stages.backtest.engine import Result, backtest
from hermes.stages.backtest.trading import equity_curve
from hermes.version import __version__

BEGIN = 400
ACCOUNT = Account(fill="next_open")


def paper_account(record: pl.DataFrame, account: Account) -> Result:
    """What a backtest makes of the whole record: the oracle of the account that follows it row by row."""
    decided = record.filter(pl.col("kind") == "decision").unique("datetime", keep="first").sort("datetime")
    return backtest(paper_bars(decided, account.side), "1h", replace(account, fill="next_open"))


def rows(*signals: str, late: dict[int, float] | None = None) -> pl.DataFrame:
    """One bar an hour for each text, b buys and s sells; `late` says how many hours after its close one was decided."""
    delays = [(late or {}).get(number, 0.0) for number in range(len(signals))]
    prices = [100.0 + number for number in range(len(signals))]
    return pl.DataFrame(
        {
            "datetime": [FIRST + HOUR * number for number in range(len(signals))],
            **dict.fromkeys(("open", "high", "low", "close", "volume"), prices),
            "buy_signal": ["b" in text for text in signals],
            "sell_signal": ["s" in text for text in signals],
            "server_time": [FIRST + HOUR * (n + 1 + delay) + timedelta(seconds=0.4) for n, delay in enumerate(delays)],
            "late": [delay > 0 for delay in delays],
        },
        schema_overrides={"datetime": pl.Datetime("us"), "server_time": pl.Datetime("us")},
    )


def asked(bars: pl.DataFrame) -> str:
    return "".join(
        "b" if buy else "s" if sell else "." for buy, sell in bars.select("buy_signal", "sell_signal").iter_rows()
    )


@pytest.mark.parametrize(
    ("signals", "late", "expected"),
    [
        (".b..s.", {}, ".b..s."),
        # Decided 2 hours and 0.4 s after the close of bar 1, while bar 4 is open: filled at the open of bar 5.
        (".b....", {1: 2.0}, "....b."),
        # Both decided at once after an outage: the sale is the later one.
        (".bs...", {1: 2.0, 2: 1.0}, "....s."),
        (".b....", {1: 0.5}, "..b..."),
        (".....b", {5: 3.0}, ".....b"),
        ("..s.b.", {2: 1.2, 4: 0.0}, "....b."),
    ],
)
def test_late_signals_wait_for_the_first_open_after_they_were_made(signals, late, expected):
    assert asked(paper_bars(rows(*signals, late=late))) == expected


def test_paper_account_is_the_backtest_where_nothing_differs():
    service = Service(BARS).run(BEGIN, 900)
    found = track(reconciled(service.record), Account(), "1h")
    assert found.paper.metrics == found.backtest.metrics
    assert found.paper.metrics.trades > 3
    assert found.error_pct == 0
    assert all((share.return_pct, share.trades, share.bars) == (0, 0, 0) for share in found.shares)
    alone = paper_account(service.record, Account())
    assert alone.metrics == found.paper.metrics


def test_backtest_beside_it_is_todays_on_the_same_bars():
    service = Service(BARS).run(BEGIN, 600).run(600, 640, delay=9000).run(660, 900)
    bars = changed(BARS, 700, close=BARS["close"][700] * 1.1, high=BARS["high"][700] * 1.2)
    found = track(reconciled(service.record, bars), Account(), "1h")
    from tests.record.decisions import decide

    today = decide(bars, None).slice(BEGIN)
    assert found.backtest.metrics == backtest(today, "1h", ACCOUNT).metrics
    assert found.equity.height == 500


@pytest.mark.parametrize("cause", ["late", "missed", "bar revised", "rules or parameters changed"])
def test_difference_is_the_sum_of_its_causes(cause):
    service, bars = Service(BARS), BARS
    if cause == "late":
        service.run(BEGIN, 500).run(500, 800, delay=20_000).run(800, 900)
    elif cause == "missed":
        service.run(BEGIN, 500).run(640, 900)
    elif cause == "bar revised":
        service.run(BEGIN, 900)
        bars = changed(BARS, 600, close=BARS["close"][600] * 1.2, high=BARS["high"][600] * 1.3)
    else:
        service = with_parameters(service.run(BEGIN, 500), ema_fast=3, ema_slow=9, rsi_low=1.0, rsi_high=99.0)
        service.run(500, 900)
    found = track(reconciled(service.record, bars), Account(), "1h")
    assert sum(share.return_pct for share in found.shares) == pytest.approx(found.difference_pct)
    by_cause = {share.cause: share.return_pct for share in found.shares}
    assert abs(by_cause[cause]) > 0.01
    assert by_cause["unexplained"] == 0
    assert found.error_pct > 0
    told = found.as_json()
    assert told["difference_pct"] == found.difference_pct


def test_record_beyond_silver_is_left_out_of_both():
    service = Service(BARS).run(BEGIN, 900)
    found = track(reconciled(service.record, BARS.head(700)), Account(), "1h")
    assert found.equity.height == 300
    assert track(reconciled(service.record.tail(50), BARS.head(700)), Account(), "1h") is None


def test_rules_for_shorts_are_traded_and_compared():
    """A strategy with rules of its own for shorts: its record against itself, on an account of both sides."""

    def both_ways(bars: pl.DataFrame, parameters: object) -> pl.DataFrame:
        made = decide(bars, parameters)
        return made.with_columns(
            short_signal=pl.col("sell_signal"), cover_signal=pl.col("buy_signal"),
            position=pl.col("position") * 2 - 1,
        )  # fmt: skip

    def judge_both(columns: pl.DataFrame, parameters: str) -> pl.DataFrame:
        made = judge(columns, parameters)
        return made.with_columns(short_signal=pl.col("sell_signal"), cover_signal=pl.col("buy_signal"))

    service = Service(BARS, decide=both_ways).run(BEGIN, 600).run(600, 640, delay=9000).run(640, 900)
    found = reconcile(service.record, BARS, both_ways, judge_both, __version__)
    assert {cause: count for cause, count in found.causes.items() if count} == {"late": 40}
    account = Account(side="both", fill="next_open")
    tracked = track(found, account, "1h")
    today = both_ways(BARS, None).slice(BEGIN)
    assert tracked.backtest.metrics == backtest(today, "1h", account).metrics
    assert tracked.backtest.metrics.trades > backtest(today, "1h", ACCOUNT).metrics.trades


def test_position_is_that_of_the_account_and_not_of_the_rules():
    record = Service(BARS).run(BEGIN, 900).record
    (curve,) = equity_curve([paper_bars(record)], ACCOUNT)
    for rows in (50, 137, 300, 500):
        assert PaperAccount(ACCOUNT, record.head(rows)).position == curve["account_position"][rows - 1]
    both = Account(side="both")
    assert {-1, 1} <= {PaperAccount(both, record.head(rows)).position for rows in range(5, 500, 9)}


SHORTING = ["....", "b.S.", "..C.", "s...", "b...", "...S", ".s.C", "bS..", ".C..", "S...", "s.C.", "...."]
ACCOUNTS = {
    "long": Account(),
    "short": Account(side="short"),
    "both": Account(side="both"),
    "stops": Account(side="both", stop_loss=0.02, take_profit=0.03, trailing_stop=0.025),
    "few bars": Account(side="short", max_bars=7, size="fraction:0.5"),
    "lots": Account(side="both", lot_step=0.01, min_order=500.0, size="volatility:0.2", bars_per_year=8760.0),
}


def with_shorts(bars: pl.DataFrame, parameters: object) -> pl.DataFrame:
    """Decisions of rules that have signals of their own for shorts, which ask for all there is in every order."""
    made = decide(bars, parameters)
    asked = ["".join(SHORTING)[number % 48] for number in range(bars.height)]
    signal = pl.Series(asked, dtype=pl.String)
    return made.with_columns(
        buy_signal=signal == "b", sell_signal=signal == "s", short_signal=signal == "S", cover_signal=signal == "C"
    )


@pytest.mark.parametrize("name", ACCOUNTS)
@pytest.mark.parametrize("rules", [decide, with_shorts])
def test_record_without_delay_gives_the_account_of_the_backtest(name: str, rules):
    service = Service(BARS, decide=rules).run(BEGIN, 500).run(500, 900)
    terms = replace(ACCOUNTS[name], fill="next_open")
    expected = backtest(rules(BARS, None).slice(BEGIN), "1h", terms)
    found = paper_account(service.record, ACCOUNTS[name])
    assert found.metrics == expected.metrics
    assert found.trades.equals(expected.trades)
    assert found.metrics.trades > 0


@pytest.mark.parametrize("name", ACCOUNTS)
def test_account_that_goes_on_holds_what_one_that_begins_anew_holds(name: str):
    service = Service(BARS, decide=with_shorts).run(BEGIN, 430).run(430, 436, delay=9000).run(440, 455)
    record = service.run(455, 470, delay=40_000).run(470, 520).record
    account = PaperAccount(ACCOUNTS[name])
    cuts = [0, *sorted(random.Random(name).sample(range(1, record.height), 60)), record.height]
    held = []
    for begin, end in pairwise(cuts):
        overlapping = record.slice(max(0, begin - 2), end - max(0, begin - 2))
        assert account.add(overlapping), "rows that it had before change nothing"
        held.append(account.position)
        assert held[-1] == PaperAccount(ACCOUNTS[name], record.head(end)).position
    assert len(set(held)) > 1


def test_account_refuses_rows_that_it_cannot_go_on_with():
    record = Service(BARS).run(BEGIN, 430).run(432, 440).run(430, 431, delay=90_000).record
    account = PaperAccount(ACCOUNT)
    assert not account.add(record.slice(1, 3)), "the first row is missing"
    assert account.add(record.head(38))
    assert not account.add(record.slice(38)), "a bar was decided on after newer ones"
    assert PaperAccount(ACCOUNT, record).position == paper_position(record)


def paper_position(record: pl.DataFrame) -> int:
    (curve,) = equity_curve([paper_bars(record.sort("datetime"))], ACCOUNT)
    return curve["account_position"][-1]


@pytest.mark.parametrize(
    ("side", "signals", "expected"),
    [
        ("both", ["b", "S"], "..S"),  # the later entry counts where the account takes both sides
        ("both", ["S", "b"], "b.."),
        ("both", ["S", "C"], ".C."),
        ("both", ["s", "S"], "s.S"),  # what is said of longs does not undo what is said of shorts
        ("long", ["b", "S"], "b.S"),  # a short is nothing to an account of longs
        ("short", ["b", "S"], "b.S"),
    ],
)
def test_late_signals_of_both_sides_that_come_to_stand_on_one_bar(side, signals, expected):
    late = {number: 4.0 - number for number in range(len(signals))}
    plain = rows(*signals, "", "", "", "", late=late)
    both = plain.with_columns(
        short_signal=pl.Series("S" in text for text in [*signals, "", "", "", ""]),
        cover_signal=pl.Series("C" in text for text in [*signals, "", "", "", ""]),
    )
    made = paper_bars(both, side).filter(pl.any_horizontal("buy_signal", "sell_signal", "short_signal", "cover_signal"))
    assert made.height == 1
    said = made.row(0, named=True)
    named = {"b": "buy_signal", "s": "sell_signal", "S": "short_signal", "C": "cover_signal"}
    assert {letter for letter, name in named.items() if said[name]} == set(expected) - {"."}
