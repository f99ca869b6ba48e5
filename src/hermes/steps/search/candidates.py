"""The combinations of a strategy's parameters to try, and the signals of each on one feature table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from hermes.errors import StrategyError
from hermes.indicators.registry import known_indicators
from hermes.lake.batches import check_all_read
from hermes.lake.store import Lake
from hermes.lake.tables import Table, column_names, in_order, open_table, with_prices
from hermes.schemas import INDICATORS
from hermes.settings import Settings
from hermes.stages.backtest.account import Account, SignalEvents, signal_events
from hermes.stages.backtest.bars import Bars
from hermes.stages.gold.features import with_indicators
from hermes.stages.signals.generate import check_context
from hermes.stages.signals.plan import many_signals
from hermes.steps.account import AXES, account_of, axes, remarks
from hermes.steps.feature_set import FeatureSet, merged, read_feature_set
from hermes.steps.funding import funding_of
from hermes.steps.selection import feature_files, no_bars
from hermes.strategies import find_strategy, grid, make_strategy, strategy_name
from hermes.strategies.base import Strategy
from hermes.strategies.columns import input_schema
from hermes.strategies.contract import check_strategy


@dataclass(frozen=True, slots=True)
class Candidates:
    """The combinations to trade.

    Attributes:
        sample, seed: how they were sampled, see `candidates`.
        strategies, accounts: one for each combination.
        varied: parameters with more than one value, and their values.
        skipped: number of combinations that the strategy refused, and why it refused the first.
        bars: from start to end, in memory.
        rows: the input of the rules, up to the end; first: row of the first bar.
        trial: the feature set that was read, as in the lineage; None without one.
    """

    settings: Settings
    sample: int | None
    seed: int
    strategies: list[Strategy]
    accounts: list[Account]
    varied: Mapping[str, list[Any]]
    skipped: int
    reason: str
    bars: Bars
    rows: pl.DataFrame
    first: int
    trial: Mapping[str, Any] | None = None

    def signals(self, numbers: Sequence[int]) -> list[SignalEvents]:
        """The signals of these combinations on `bars`; shared conditions are computed once."""
        keys = [self.strategies[number].parameters.model_dump_json() for number in numbers]
        distinct = {key: self.strategies[number] for key, number in zip(keys, numbers, strict=True)}
        signals = many_signals(self.rows, list(distinct.values()), self.first)
        found = {key: signal_events(*each) for key, each in zip(distinct, signals, strict=True)}
        return [found[key] for key in keys]

    @property
    def warnings(self) -> list[str]:
        """Warnings about what the figures of all combinations leave out."""
        first, last = self.bars.times[0].item(), self.bars.times[-1].item()
        return remarks(self.settings.dataset, self.settings.account.side, self.bars.funding, first, last)

    @property
    def fixed(self) -> dict[str, Any]:
        """The parameters that have one value."""
        return {name: value for name, value in self.parameters(0).items() if name not in self.varied}

    @property
    def terms(self) -> dict[str, Any]:
        """The terms of the account by their names in the settings; None for varied ones."""
        settings = self.settings
        terms = {**settings.backtest.model_dump(), **settings.account.model_dump()}
        return terms | dict.fromkeys(self.varied.keys() & terms.keys())

    def parameters(self, number: int) -> dict[str, Any]:
        """All parameters of one combination."""
        found: dict[str, Any] = self.strategies[number].parameters.model_dump(mode="json")
        return found | {name: getattr(self.accounts[number], name) for name in self.varied if name in AXES}


def candidates(settings: Settings, lake: Lake, sample: int | None = None, seed: int = 0) -> Candidates:
    """Make the strategies, and read what they need; each distinct indicator is computed once.

    Args:
        settings: the strategy's parameters may be texts as `grid.values` takes them.
        lake: holds the gold table; indicators that the table lacks are derived from all of its bars.
        sample: number of combinations to try, chosen at random by `seed`.

    Raises:
        MissingTable: there is no feature table.
        TableRefused: the table cannot be used, or no bar lies between start and end.
        StrategyError, UsageError: every combination is refused; or values that cannot be read.
    """
    strategies, accounts, varied, skipped, reason = _strategies(settings, sample, seed)
    table, rows, trial = _table(settings, lake, strategies)
    times, (start, end) = rows["datetime"], (settings.signals.start, settings.signals.end)
    first = int((times < start).sum()) if start else 0
    until = int((times <= end).sum()) if end else rows.height
    if until <= first:
        raise no_bars(settings, table)
    bars = Bars.of(rows.slice(first, until - first), funding_of(settings.dataset, lake))
    rows = rows.head(until)
    return Candidates(
        settings, sample, seed, strategies, accounts, varied, skipped, reason, bars, rows, first,
        merged([trial]),
    )  # fmt: skip


def _strategies(
    settings: Settings, sample: int | None, seed: int
) -> tuple[list[Strategy], list[Account], dict[str, list[Any]], int, str]:
    """Valid strategies and accounts, the varied values, the number of refused combinations, and the first reason."""
    spec = settings.signals.strategy
    section = settings.strategy.get(strategy_name(spec), {})
    given = {name: grid.values(f"--set {name}", text) for name, text in section.items()}
    terms = axes(settings)
    if taken := terms.keys() & find_strategy(spec).kind.parameters_type.model_fields.keys():
        raise StrategyError(f"{spec} has a parameter {min(taken)!r}, as the account has", "give the account one value")
    made: list[Strategy] = []
    accounts: list[Account] = []
    refused: list[StrategyError] = []
    for values in grid.combinations(given | terms, sample, seed):
        try:
            made.append(make_strategy(spec, {name: value for name, value in values.items() if name not in terms}))
        except StrategyError as error:
            refused.append(error)
        else:
            accounts.append(account_of(settings, **{name: values[name] for name in terms}))
    if not made:
        raise refused[0]
    check_strategy(made[0])
    for each in made:
        check_context(each, settings.signals.context_rows)
    varied = {name: each for name, each in (given | terms).items() if len(each) > 1}
    return made, accounts, varied, len(refused), refused[0].message if refused else ""


def _table(settings: Settings, lake: Lake, strategies: list[Strategy]) -> tuple[Table, pl.DataFrame, FeatureSet | None]:
    """The feature table, all of its bars with the columns of all strategies, and what a feature set brought of them."""
    dataset, gold = settings.dataset, lake.gold
    files = feature_files(dataset, gold)
    wanted = {name: dtype for each in strategies for name, dtype in input_schema(each).items()}
    there = column_names(gold, files) | set(INDICATORS)
    kept = {name: dtype for name, dtype in wanted.items() if name in there}
    table = open_table(gold, files, kept, dataset.symbol)
    with gold.errors():
        plan = table.plan.select(*kept).collect_batches(maintain_order=True, engine="streaming")
        bars = pl.concat(list(with_prices(in_order(plan, table), table)))
    check_all_read(f"the table of {dataset}", bars.height, table.rows)
    lacking = {name: dtype for name, dtype in wanted.items() if name not in there}
    trial = read_feature_set(settings, lake, list(lacking))
    if trial is not None:
        bars = trial.joined(bars.lazy()).collect()
    derived = {name: dtype for name, dtype in lacking.items() if name not in bars.columns}
    known = known_indicators(settings.features.indicators).families
    made = with_indicators(bars.lazy(), list(derived), dataset.interval, known).collect()
    return table, made.with_columns(pl.col(name).cast(dtype) for name, dtype in derived.items()).rechunk(), trial
