"""Warnings about measures, one sentence each: the same in lineage, JSON, tables and pages."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hermes.dataset import BRONZE_FREQUENCIES, Dataset, is_simulated
from hermes.freshness import Freshness, freshness
from hermes.lake.store import Lake
from hermes.measures import FEW_TRADES, SHORT
from hermes.schemas import JUMP_FACTOR
from hermes.text import counted, span

_STALE = "the newest bar opened at"


def warnings(dataset: Dataset, metrics: Mapping[str, Any], fresh: Freshness | None = None) -> list[str]:
    """All warnings about the measures of one account.

    Args:
        dataset: the traded dataset.
        metrics: the measures by name; executions of older versions may lack some.
        fresh: how old the newest bar is.
    """
    found = []
    if (trades := metrics["trades"]) < FEW_TRADES:
        found.append(
            f"{counted(trades, 'trade')}: too few to conclude; fewer than {FEW_TRADES} say little about a Sharpe ratio"
        )
    if metrics.get("short_span"):
        found.append(
            f"{span(metrics['elapsed_days'] or 0)}: what is annualized (return per year, Sharpe, Sortino, Calmar,"
            f" alpha) from less than {SHORT.days} days says little"
        )
    if jumps := metrics.get("price_jumps"):
        found.append(
            f"{counted(jumps, 'price jump')}: an open at least {JUMP_FACTOR:g} times the close before,"
            f" or at most 1/{JUMP_FACTOR:g} of it, is a redenomination or a fault; {_spanning(metrics)}."
            f" These figures are not validated; name a known ratio in [quality] splits"
        )
    refused = metrics.get("refused_orders") or 0
    later = counted(refused, "later entry", "later entries")
    if metrics.get("end_value", 1) <= 0:
        found.append(
            "the account lost all it had: its position was closed at the first close at which its equity was not above"
            f" 0{f', and {later} could not be made' if refused else ''}"
        )
    elif refused:
        found.append(
            f"{counted(refused, 'entry', 'entries')} could not be filled: less than 1e-8 units, or below the account's"
            f" minimum order; there were more signals than trades, and more --cash fills them"
        )
    return [*found, *_staleness(dataset, fresh)] if fresh else found


def warnings_now(dataset: Dataset, kept: Sequence[str], fresh: Freshness) -> list[str]:
    """The warnings of a lineage, with the current age of the newest bar."""
    return [*(each for each in kept if not each.startswith(_STALE)), *_staleness(dataset, fresh)]


def _staleness(dataset: Dataset, fresh: Freshness) -> list[str]:
    if not fresh.stale or is_simulated(dataset.symbol):
        return []
    return [
        f"{_STALE} {fresh.newest} UTC and closed {duration(fresh.age.total_seconds())} ago; by now the one of"
        f" {fresh.expected} is over: these signals are not about now; `hermes ingest` brings newer bars"
    ]


def duration(seconds: float) -> str:
    """`3 days`, `5 hours`, `12 minutes`: the largest unit alone."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return counted(int(seconds // length), unit)
    return counted(int(seconds), "second")


def closed(fresh: Freshness) -> str:
    """When the newest bar closed: `closed 3 days ago`, or what is wrong if it has not closed yet."""
    seconds = fresh.age.total_seconds()
    if seconds >= 0:
        return f"closed {duration(seconds)} ago"
    return f"closes in {duration(-seconds)} by this machine's clock: that is behind, or the bar is wrong"


def freshness_of(dataset: Dataset, lake: Lake, newest: datetime) -> Freshness:
    """The age of the newest bar of a feature table, judged by how its bars arrive in bronze."""
    arrive = [each for each in BRONZE_FREQUENCIES if lake.bronze.files(dataset.with_frequency(each).bronze_folder)]
    now = datetime.now(UTC).replace(tzinfo=None)
    known = arrive or [dataset.data_frequency]
    return freshness(newest, dataset.interval, known, now, simulated=is_simulated(dataset.symbol))


def _spanning(metrics: Mapping[str, Any]) -> str:
    count = metrics["trades_over_jumps"]
    if not count:
        return "no trade was held through one"
    return f"{counted(count, 'trade')} {'was' if count == 1 else 'were'} held through one"
