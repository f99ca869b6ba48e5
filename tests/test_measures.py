"""The list of measures names what a backtest measures, each once, and nothing else."""

from dataclasses import fields

from hermes.measures import HOLDING, shown_measures
from hermes.stages.backtest.metrics import Metrics

#: What the account was asked for, and what qualifies measures; told elsewhere.
ABOUT = {
    "initial_cash", "fees", "slippage_bps", "fill", "periods_per_year", "elapsed_days", "short_span", "few_trades",
    "open_trade", "refused_orders", "price_jumps", "trades_over_jumps",
}  # fmt: skip


def test_it_is_complete():
    listed = [each.name for each in shown_measures()]
    assert len(listed) == len(set(listed))
    known = {each.name for each in fields(Metrics)}
    assert set(listed) <= known
    assert known - set(listed) == ABOUT & known


def test_funding_is_shown_where_it_was_paid_or_received():
    (funding,) = [each for each in shown_measures() if each.if_any]
    assert funding.name == "funding_paid"
    assert not funding.is_shown([{"funding_paid": 0.0}, {}])
    assert funding.is_shown([{"funding_paid": 0.0}, {"funding_paid": -1.5}])


def test_labels_are_told_apart():
    labels = [each.label for each in shown_measures()]
    assert len(labels) == len(set(labels))
    assert labels[1] == HOLDING.label
