"""A row's canonical text, and the chain that seals it, against a plain implementation that shares nothing."""

import json
import math
import random
import struct
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl
import pytest
import tests.record.simulated_record as market
from hypothesis import given
from hypothesis import strategies as st

from hermes.errors import TableRefused
from hermes.record import ledger
from hermes.record.canonical import canonical
from hermes.record.ledger import ZERO, Chain, Head

CHAIN = Chain("binance", "spot", "SIMUSDT", "1h", "smart_momentum")


def plainly(value: object) -> str:
    """A value's canonical text, as the format's page says it in words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, float):
        return np.format_float_positional(value, trim="-")
    return str(value)


def digest(row: dict[str, object], names: list[str]) -> str:
    lines = [f"{name}={plainly(row[name])}\n" for name in sorted(names) if row[name] is not None]
    return sha256("".join(lines).encode()).hexdigest()


def test_chain_agrees_with_a_plain_loop():
    previous, bars = ZERO, ZERO
    for number, row in enumerate(market.record(120).iter_rows(named=True)):
        bar = {name: row[name] for name in ("datetime", "open", "high", "low", "close", "volume")}
        bars = digest(bar | {"bars_sha256": bars}, [*bar, "bars_sha256"])
        assert (row["sequence"], row["previous_hash"], row["bars_sha256"]) == (number, previous, bars)
        assert row["hash"] == digest(row, [name for name in row if name != "hash"])
        previous = row["hash"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_are_the_shortest_decimals_that_read_back(values: list[float]):
    written = canonical(pl.DataFrame({"value": values}))["value"].to_list()
    assert [float(text) for text in written] == values
    assert written == [np.format_float_positional(value, trim="-") for value in values]
    assert not any("e" in text or text.endswith(".0") for text in written)


def test_floats_of_every_size():
    bits = random.Random(7)
    values = [number for _ in range(20_000) if math.isfinite(number := struct.unpack("d", bits.randbytes(8))[0])]
    written = canonical(pl.DataFrame({"value": values}))["value"].to_list()
    assert written == [format(Decimal(repr(number)), "f").removesuffix(".0") for number in values]


def test_columns_stand_in_the_order_of_the_design():
    columns = market.record(3).columns
    rules = [*market.STRATEGY.columns, *market.STRATEGY.conditions()]
    first = "decided_at server_time kind sequence provider market datetime symbol interval strategy parameters"
    last = "buy_signal sell_signal position late bars_sha256 hermes previous_hash hash"
    assert columns == [*first.split(), "open", "high", "low", "close", "volume", *rules, *last.split()]
    assert dict(market.record(3).schema) == ledger.decision_schema(market.STRATEGY)


def test_appending_in_any_pieces_gives_the_same_chain():
    rows = market.decided(market.judged(60))
    whole, pieces = ledger.seal(rows, {}).rows, []
    heads: Mapping[Any, Any] = {}
    for begin, end in ((0, 1), (1, 20), (20, 59), (59, 60)):
        sealed = ledger.seal(rows.slice(begin, end - begin), heads)
        pieces.append(sealed.rows)
        heads = ledger.heads(pl.concat(pieces))
        assert sealed.heads == heads
    assert pl.concat(pieces).equals(whole)
    assert heads[CHAIN].sequence == 59
    assert heads[CHAIN].hash == whole["hash"][-1]
    assert heads[CHAIN].datetime == whole["datetime"][-1]


def test_many_symbols_at_once_are_chained_each_on_its_own():
    alone = [market.record(9, symbol=f"SIM{n}USDT", seed=n) for n in range(5)]
    mixed = pl.concat(rows.drop("sequence", "bars_sha256", "previous_hash", "hash") for rows in alone)
    together = ledger.seal(mixed.sort("datetime", maintain_order=True), {}).rows
    for rows in alone:
        assert together.filter(pl.col("symbol") == rows["symbol"][0]).equals(rows)


def test_rows_of_many_symbols_are_made_in_one_call():
    names = [f"SIM{n}USDT" for n in range(4)]
    bars = pl.concat([market.judged(1)] * 4).with_columns(symbol=pl.Series(names))
    at = market.START + timedelta(hours=1, seconds=1)
    rows = ledger.decisions(bars, market.DATASET, market.STRATEGY, decided_at=at, server_time=at, late_seconds=60)
    assert rows["symbol"].to_list() == names
    assert rows["late"].to_list() == [False] * 4


@pytest.mark.parametrize(("interval", "after", "late"), [("1h", 60, False), ("1h", 60.1, True), ("1s", 1.1, True)])
def test_late_is_judged_by_the_server_alone(interval: str, after: float, late: bool):
    dataset = replace(market.DATASET, interval=interval)
    server = market.START + timedelta(seconds=dataset.interval_seconds + after)
    rows = ledger.decisions(
        market.judged(1), dataset, market.STRATEGY, decided_at=datetime(1999, 1, 1), server_time=server, late_seconds=60
    )
    assert rows["late"].to_list() == [late]


def test_month_is_late_after_its_own_end():
    dataset = replace(market.DATASET, interval="1mo")
    bar = market.judged(1, start=datetime(2025, 2, 1))
    late = [
        ledger.decisions(
            bar, dataset, market.STRATEGY, decided_at=at, server_time=at, late_seconds=60
        )["late"].item()
        for at in (datetime(2025, 3, 1, 0, 1), datetime(2025, 3, 1, 0, 1, 0, 1))
    ]  # fmt: skip
    assert late == [False, True]


def test_history_before_the_first_decision_is_in_the_digest():
    bars = market.judged(30)
    head = Head.before_first(bars.head(20))
    begun = ledger.seal(market.decided(bars.tail(10)), {CHAIN: head}).rows
    assert begun["bars_sha256"][-1] == ledger.seal(market.decided(bars), {}).rows["bars_sha256"][-1]
    assert (begun["sequence"][0], begun["previous_hash"][0]) == (0, ZERO)


def test_revision_leaves_the_newest_bar_where_it_was():
    record = market.record(10)
    old = market.decided(market.judged(10).slice(4, 1)).with_columns(kind=pl.lit("revision"))
    appended = ledger.seal(old, ledger.heads(record))
    head = ledger.heads(pl.concat([record, appended.rows]))[CHAIN]
    assert appended.heads[CHAIN] == head
    assert (head.sequence, head.datetime) == (10, record["datetime"][-1])


def test_hash_does_not_depend_on_columns_that_have_no_value():
    record = market.record(5)
    wider = record.with_columns(pl.lit(None, pl.Float64).alias("ema_99")).select([*sorted(record.columns), "ema_99"])
    assert ledger.due(wider).hashes == record["hash"].to_list()


def test_csv_holds_the_canonical_texts():
    record = market.record(5)
    table = pl.read_csv(ledger.to_csv(record), infer_schema=False)
    assert table.columns == record.columns
    assert table.equals(canonical(record))
    assert json.loads(table["parameters"][0]) == market.STRATEGY.parameters.model_dump()


@pytest.mark.parametrize(
    ("column", "value"), [("close", float("nan")), ("ema_12", float("inf")), ("hermes", "1\n2"), ("hermes", "")]
)
def test_values_without_a_canonical_text_are_refused(column: str, value: object):
    with pytest.raises(TableRefused, match=column):
        ledger.seal(market.decided(market.judged(3)).with_columns(pl.lit(value).alias(column)), {})
