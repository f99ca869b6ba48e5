"""Decisions of a real strategy on a simulated market, made as a service makes them: for reconciliation and accounts."""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from hermes import __version__
from hermes.compute import compute_features, compute_signals
from hermes.record import ledger
from hermes.record.ledger import Chain, Head
from hermes.record.reconciliation import Reconciliation, reconcile
from hermes.settings import Settings
from hermes.stages.signals.plan import signals
from hermes.strategies.smart_momentum import SmartMomentum

HOUR = timedelta(hours=1)
PARAMETERS = {"rsi_low": 20.0, "rsi_high": 90.0}  # as the defaults hardly ever trade in so short a time
FIRST = datetime(2025, 1, 1)


def simulated_bars(count: int, seed: int = 3) -> pl.DataFrame:
    """Hourly bars that cross and flip often enough to trade."""
    random = np.random.default_rng(seed)
    close = (20_000 * np.exp(np.cumsum(random.normal(0, 0.012, count)))).round(2)
    opens = np.concatenate([[20_000.0], close[:-1]]) + random.normal(0, 15, count).round(2)
    return pl.DataFrame(
        {
            "datetime": [FIRST + HOUR * number for number in range(count)],
            "open": opens,
            "high": np.maximum(opens, close) + 20.0,
            "low": np.minimum(opens, close) - 20.0,
            "close": close,
            "volume": random.random(count).round(6) * 100,
        },
        schema_overrides={"datetime": pl.Datetime("us")},
    )


def settings_of(parameters: dict[str, Any]) -> Settings:
    strategy = {"smart_momentum": parameters}
    return Settings.load(dataset={"symbol": "SIMUSDT", "interval": "1h"}, strategy=strategy, environ={})


def decide(bars: pl.DataFrame, parameters: str | dict[str, Any] | None) -> pl.DataFrame:
    """What today's rules decide on bars."""
    given = json.loads(parameters) if isinstance(parameters, str) else parameters or PARAMETERS
    settings = settings_of(given)
    return compute_signals(compute_features(bars, settings), settings)


@dataclass
class Service:
    """Decides bar by bar; can be slow, can miss bars, can be given other parameters."""

    bars: pl.DataFrame
    parameters: dict[str, Any] = field(default_factory=lambda: PARAMETERS)
    head: Head = field(default_factory=Head)
    parts: list[pl.DataFrame] = field(default_factory=list)
    decide: Any = decide

    def run(self, begin: int, end: int, delay: float = 0.4, **stamps: Any) -> "Service":
        """Decide on the bars from row `begin` up to row `end`, each `delay` seconds after its close."""
        strategy, dataset = SmartMomentum(**self.parameters), settings_of({}).dataset
        chain = Chain(*ledger.chain_of(dataset, strategy.name))
        if not self.parts:
            self.head = Head.before_first(self.bars.head(begin))
        judged = self.decide(self.bars.head(end), self.parameters).slice(begin)
        rows = ledger.decisions(
            judged, dataset, strategy, decided_at=FIRST, server_time=FIRST, late_seconds=60
        ).with_columns(
            server_time=pl.col("datetime") + HOUR + timedelta(seconds=delay),
            late=pl.lit(delay > 60),
            **{name: pl.lit(value) for name, value in stamps.items()},
        )  # fmt: skip
        sealed, heads = ledger.seal(rows, {chain: self.head})
        self.head = heads[chain]
        self.parts.append(sealed)
        return self

    @property
    def record(self) -> pl.DataFrame:
        return pl.concat(self.parts, how="diagonal")


def changed(bars: pl.DataFrame, row: int, **values: float) -> pl.DataFrame:
    """Bars of which the exchange revised one."""
    here = pl.int_range(pl.len()) == row
    return bars.with_columns(
        pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )


def with_parameters(service: Service, **parameters: Any) -> Service:
    return replace(service, parameters=parameters)


BARS_900 = simulated_bars(900)


def judge(columns: pl.DataFrame, parameters: str) -> pl.DataFrame:
    """Today's rules on indicators that are at hand."""
    return signals(columns, SmartMomentum(**json.loads(parameters)), 0, 0)


def reconciled(record: pl.DataFrame, bars: pl.DataFrame = BARS_900) -> Reconciliation:
    return reconcile(record, bars, decide, judge, __version__)
