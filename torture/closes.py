"""Work for the suite `appends`: closes of three symbols, always the same, appended to the record a few at a time."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import polars as pl
import tests.record.simulated_record as market

from hermes.dataset import Dataset
from hermes.errors import AlreadyPublished
from hermes.lake.store import Lake
from hermes.record import ledger
from hermes.record.ledger import Chain
from hermes.record.table import DecisionsTable
from hermes.settings import Settings

SYMBOLS = ("SIM0USDT", "SIM1USDT", "SIM2USDT")
CLOSES, AT_ONCE = 9, 3
BEGIN = market.START.replace(hour=20)  # so that midnight is after the first closes
CHAINS = [Chain("binance", "spot", symbol, "1h", "smart_momentum") for symbol in SYMBOLS]


def table_of(lake: Lake) -> DecisionsTable:
    """The record in a lake."""
    return DecisionsTable.of(lake, CHAINS[0])


@cache
def closes() -> list[pl.DataFrame]:
    """What is decided at each close, one row for each symbol."""
    series = [
        market.decided(
            market.judged(CLOSES, seed=number, start=BEGIN), dataset=Dataset(symbol=symbol, interval="1h")
        )
        for number, symbol in enumerate(SYMBOLS)
    ]  # fmt: skip
    return [pl.concat(each.slice(number, 1) for each in series) for number in range(CLOSES)]


def expected() -> pl.DataFrame:
    """The record of all closes."""
    return ledger.seal(pl.concat(closes()), {}).rows.sort(*Chain._fields, "sequence")


def append(settings: Settings, lake: Lake) -> dict[str, Any]:
    """The next closes that are not on record, then merge what is over; how many are on record now, and a head."""
    with table_of(lake).held(CHAINS, "live") as table:
        heads = table.heads(CHAINS)
        done = max((head.sequence + 1 for head in heads.values()), default=0)
        for rows in closes()[done : done + AT_ONCE]:
            heads = {**heads, **table.append(rows, heads).heads}
            done += 1
        table.merge(closes()[done - 1]["server_time"][0].date())
    return {"closes": done, "head": heads[CHAINS[0]].hash}


def append_without_a_lease(lake: Lake) -> int:
    """As a service does that does not know of another one: what it could not append, the other one did."""
    table, appended = table_of(lake), 0
    table._held = frozenset(CHAINS)
    while True:
        heads = table.heads(CHAINS)
        done = max((head.sequence + 1 for head in heads.values()), default=0)
        if done == CLOSES:
            return appended
        try:
            table.append(closes()[done], heads)
            appended += 1
        except AlreadyPublished:
            continue


STEPS: Mapping[str, Callable[[Settings, Lake], Any]] = {"append": append}
