"""The list of measures names what a backtest measures, each once, and nothing else."""

from dataclasses import fields

from hermes.measures import HOLDING, shown_measures
from hermes.stages.backtest.metrics import Metrics

#: What the account was asked for, and what qualifies measures; told elsewhere.
ABOUT = {
    "initial_cash", "fees", "slippage_bps", "fill", "periods_per_year", "elapsed_days", "short_span", "few_trades",
    "open_trade", "refused_orders", "funding_paid", "price_jumps", "trades_over_jumps",
}  # fmt: skip


def test_it_is_complete():
    listed = [each.name for each in shown_measures()]
    assert len(listed) == len(set(listed))
    known = {each.name for each in fields(Metrics)}
    assert set(listed) <= known
    assert known - set(listed) == ABOUT & known


def test_labels_are_told_apart():
    labels = [each.label for each in shown_measures()]
    assert len(labels) == len(set(labels))
    assert labels[1] == HOLDING.label
