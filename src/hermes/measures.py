"""The measures of a backtest as people read them: one list for the command line, the pages, notebooks and the docs.

The names are those of `stages.backtest.metrics.Metrics`, which has each one's formula and source.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

SHORT = timedelta(days=90)  # a rate per year from less than that says nothing
FEW_TRADES = 30  # fewer say little about a Sharpe ratio
#: Measures that are scaled to a year.
ANNUALIZED = ("cagr_pct", "sharpe", "sortino", "calmar", "sharpe_over_holding", "alpha_pct")

#: By revision of the formulas, the measures whose values it changed: time by the calendar instead of by bars; the share
#: that was invested without the first bar, at which holding returns nothing.
REVISED: Mapping[int, frozenset[str]] = {
    1: frozenset({
        "cagr_pct", "calmar", "max_drawdown_duration_s", "avg_winning_trade_duration_s", "avg_losing_trade_duration_s",
        "sharpe", "sortino", "periods_per_year",
    }),
    2: frozenset({"same_exposure_return_pct", "sharpe_over_holding", "p_value_over_holding"}),
}  # fmt: skip
REVISION = max(REVISED)

#: How a value is written: a signed percentage, a percentage, a fall (a percentage shown as a loss), a fee (a fraction),
#: a number, a probability, a count, seconds, or an amount in the quote currency.
Unit = Literal["change", "percent", "fall", "fee", "number", "probability", "count", "seconds", "amount"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure.

    Attributes:
        name: among the metrics.
        label: its name for people.
        unit: how its value is written.
        better: the direction of good values; empty where there is none.
        says: its meaning, in one sentence.
        missing: why the measure can be undefined.
        of_trades: describes trades, so buy-and-hold has no value for it.
        if_any: shown only where it is not 0.
    """

    name: str
    label: str
    unit: Unit
    better: Literal["higher", "lower", ""]
    says: str
    missing: str = ""
    of_trades: bool = False
    if_any: bool = False

    def is_shown(self, columns: Iterable[Mapping[str, Any]]) -> bool:
        """Whether one of several sets of measures has something to show of it."""
        return not self.if_any or any(values.get(self.name) for values in columns)


_NO_CLOSED = "no trade was closed"
_NO_LOSS = "no bar lost anything"
_NO_FALL = "never below a peak"
_AS_HOLDING = "it does what holding does"
_STILL = "the asset never moved"

HOLDING = Measure(
    "benchmark_return_pct", "Holding instead", "change", "higher", "What buying at the first close returned."
)

#: By group, in the order in which they are shown.
GROUPS: Mapping[str, tuple[Measure, ...]] = {
    "Result": (
        Measure("total_return_pct", "Return", "change", "higher", "End value against the initial cash, fees paid."),
        Measure("end_value", "End value", "amount", "higher", "Cash and what is held at the last close."),
        Measure("cagr_pct", "Return per year (CAGR)", "change", "higher",
                "The steady yearly return that would have led to the same end.", "too large to write"),
        Measure("same_exposure_return_pct", "Holding, same exposure", "change", "higher",
                "What holding that share of the equity in the asset at all times returned, without fees.",
                "such a short would have lost everything", True),
        Measure("return_without_best_trade_pct", "Without the best trade", "change", "higher",
                "Return had the trade that earned most not taken place.", "no trade", True),
        Measure("break_even_fee", "Break-even fee", "fee", "higher",
                "Fee on each side at which nothing would have been gained.", "no gain even without fees", True),
        Measure("exposure_pct", "Time in market", "percent", "", "Share of the bars whose close saw the asset held."),
        Measure("fees_paid", "Fees paid", "amount", "lower", "At every entry and exit together."),
        Measure("funding_paid", "Funding paid", "amount", "lower",
                "For holding a perpetual contract; negative where it was received.", of_trades=True, if_any=True),
    ),
    "Risk": (
        Measure("max_drawdown_pct", "Max drawdown", "fall", "lower",
                "The largest fall from a peak of equity, at bar closes.", _NO_FALL),
        Measure("max_drawdown_duration_s", "Longest drawdown", "seconds", "lower", "The longest time below a peak.",
                _NO_FALL),
        Measure("sharpe", "Sharpe", "number", "higher",
                "Mean return of a bar over its deviation, annualized; above 1 is considered good.",
                "equity never moved"),
        Measure("sharpe_over_holding", "Sharpe over holding", "number", "higher",
                "Sharpe of the returns above holding with the same exposure: above 0 the timing was worth something.",
                _AS_HOLDING, True),
        Measure("p_value_over_holding", "P value of that", "probability", "lower",
                "Chance of such a figure, or a higher one, where timing is worth nothing.",
                "it does what holding does, at all but a few bars at most", True),
        Measure("alpha_pct", "Alpha per year", "change", "higher",
                "Return per year that the moves of the asset do not explain.", _STILL, True),
        Measure("beta", "Beta", "number", "",
                "How far a bar's return follows the asset's: 1 as much as holding, 0 not at all.", _STILL, True),
        Measure("value_at_risk_pct", "Value at risk, a bar", "fall", "lower", "The loss that 5 % of the bars exceed.",
                "equity never moved"),
        Measure("conditional_value_at_risk_pct", "Mean loss beyond that", "fall", "lower",
                "Mean loss of the worst 5 % of the bars.", "equity never moved"),
        Measure("sortino", "Sortino", "number", "higher", "Like Sharpe, but only losses count as deviation.", _NO_LOSS),
        Measure("calmar", "Calmar", "number", "higher", "Return per year over the max drawdown.", _NO_FALL),
        Measure("omega", "Omega", "number", "higher",
                "All gains of bars over all losses of bars; above 1 gains prevail.", _NO_LOSS),
    ),
    "Trades": (
        Measure("trades", "Trades", "count", "", "Entries, the one still open included.", of_trades=True),
        Measure("win_rate_pct", "Win rate", "percent", "higher",
                "Share of the closed trades that made a profit after fees.", _NO_CLOSED, True),
        Measure("profit_factor", "Profit factor", "number", "higher",
                "All profits over all losses; above 1 profits prevail.", "no trade lost", True),
        Measure("expectancy", "Mean profit of a trade", "amount", "higher", "What one closed trade earned, after fees.",
                _NO_CLOSED, True),
        Measure("best_trade_pct", "Best trade", "change", "higher", "Return of the best closed trade, after fees.",
                _NO_CLOSED, True),
        Measure("worst_trade_pct", "Worst trade", "change", "higher", "Return of the worst closed trade, after fees.",
                _NO_CLOSED, True),
        Measure("avg_winning_trade_pct", "Mean winning trade", "change", "higher", "Mean return of the winning trades.",
                "no trade won", True),
        Measure("avg_losing_trade_pct", "Mean losing trade", "change", "higher", "Mean return of the losing trades.",
                "no trade lost", True),
        Measure("avg_winning_trade_duration_s", "Duration of winning trades", "seconds", "",
                "Mean time from entry to exit.", "no trade won", True),
        Measure("avg_losing_trade_duration_s", "Duration of losing trades", "seconds", "",
                "Mean time from entry to exit.", "no trade lost", True),
    ),
}  # fmt: skip


def revised_since(revision: int) -> frozenset[str]:
    """The measures whose values the revisions after this one changed."""
    return frozenset().union(*(names for number, names in REVISED.items() if number > revision))


def shown_measures() -> Iterator[Measure]:
    """All measures that are shown, in order; the return of holding follows the total return."""
    for group in GROUPS.values():
        for measure in group:
            yield measure
            if measure.name == "total_return_pct":
                yield HOLDING


def select_measures(names: Iterable[str]) -> list[Measure]:
    """The measures with these names, in this order."""
    known = {measure.name: measure for measure in shown_measures()}
    return [known[name] for name in names]
