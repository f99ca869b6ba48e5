"""The ledger of decisions, pure: the columns of a row, its canonical text, and the chain of hashes that seals it.

`docs/record-format.md` specifies the text and the hashes for other languages. In short: the canonical text of a row is
one line `name=value` for each column that has a value, except `hash`, in the order of the names; `hash` is its SHA-256.
As the text holds `previous_hash`, no row can change without changing every hash after it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Self

import polars as pl

from hermes.dataset import Dataset
from hermes.record.canonical import canonical, check_values, digest, texts
from hermes.schemas import DATETIME, Schema
from hermes.strategies.base import Strategy
from hermes.version import __version__

Kind = Literal["decision", "revision"]

#: The `previous_hash` of a chain's first row, and the `bars_sha256` before its first bar.
ZERO = "0" * 64

_BEFORE: Schema = {
    "decided_at": DATETIME,  # UTC, by the clock of the machine that decided
    "server_time": DATETIME,  # UTC, by the exchange's clock, when the bar was known to be closed
    "kind": pl.String(),  # decision, or revision: the exchange changed a bar that was decided on
    "sequence": pl.Int64(),
    "provider": pl.String(),
    "market": pl.String(),
    "datetime": DATETIME,
    "symbol": pl.String(),
    "interval": pl.String(),
    "strategy": pl.String(),
    "parameters": pl.String(),  # JSON, names in order
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
}
_DECIDED: Schema = {"buy_signal": pl.Boolean(), "sell_signal": pl.Boolean(), "position": pl.Int8()}
_SHORT: Schema = {"short_signal": pl.Boolean(), "cover_signal": pl.Boolean()}
_AFTER: Schema = {
    "late": pl.Boolean(),
    "bars_sha256": pl.String(),
    "hermes": pl.String(),
    "previous_hash": pl.String(),
    "hash": pl.String(),
}
#: Columns that have a value in every row.
ALWAYS = frozenset({*_BEFORE, *_DECIDED, *_AFTER})
_BAR = ("datetime", "open", "high", "low", "close", "volume")
_SEALS = ("sequence", "bars_sha256", "previous_hash", "hash")


class Chain(NamedTuple):
    """The key of a hash chain: one dataset and one strategy."""

    provider: str
    market: str
    symbol: str
    interval: str
    strategy: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} ({self.strategy}, {self.provider} {self.market})"


def chain_of(dataset: Dataset, strategy: str) -> Chain:
    """The chain of `strategy` on `dataset`."""
    return Chain(dataset.provider, dataset.market, dataset.symbol, dataset.interval, strategy)


class Head(NamedTuple):
    """The end of a chain: all that is needed to append to it.

    Attributes:
        sequence: of the newest row, -1 without one.
        hash: of the newest row.
        bars_sha256: the digest of all bars up to it.
        datetime: open time of the newest bar decided on, None without one.
        position: after that bar.
    """

    sequence: int = -1
    hash: str = ZERO
    bars_sha256: str = ZERO
    datetime: "datetime | None" = None
    position: int = 0

    @classmethod
    def before_first(cls, history: pl.DataFrame) -> Self:
        """The head of a chain that has no row yet.

        Args:
            history: the bars before the first one that is decided on, in order of time. They are no decisions; their
                digest tells later whether the exchange changed what the first decisions were made from.
        """
        made = ZERO
        (bars,) = texts(canonical(history.select(_BAR)), [_BAR])
        for text in bars:
            made = bar_digest(text, made)
        return cls(bars_sha256=made)


#: Where a chain ends that has no row yet, and whose history nobody knows.
NO_ROW = Head()


def find_alien(schema: Mapping[str, pl.DataType]) -> str:
    """The reason why a file with this schema is not part of the record; empty if it can be."""
    for name, kind in {**_BEFORE, **_DECIDED, **_AFTER}.items():
        if name not in schema:
            return f"it has no column {name}"
        if schema[name] != kind:
            return f"its column {name} is {schema[name]}, not {kind}"
    return ""


def decision_schema(strategy: Strategy, *, short: bool = False) -> dict[str, pl.DataType]:
    """The columns of a sealed row, in order.

    Args:
        short: whether the strategy has the signals `short_signal` and `cover_signal`.
    """
    rules = {name: pl.Int8() if "_dir_" in name else pl.Float64() for name in strategy.columns}
    conditions = dict.fromkeys(strategy.conditions(), pl.Boolean())
    return {**_BEFORE, **rules, **conditions, **_DECIDED, **(_SHORT if short else {}), **_AFTER}


def decisions(
    judged: pl.DataFrame,
    dataset: Dataset,
    strategy: Strategy,
    *,
    decided_at: datetime,
    server_time: datetime,
    late_seconds: float,
    kind: Kind = "decision",
) -> pl.DataFrame:
    """Rows for `seal`, from bars with signals.

    Args:
        judged: closed bars, those of a dataset in order of time, with the strategy's columns, conditions, signals and
            `position`, as `signals` gives them. With a column `symbol`, they may be those of many symbols at once;
            other columns are left out.
        dataset: whose bars these are.
        decided_at: now, by this machine's clock (naive UTC).
        server_time: now, by the exchange's clock (naive UTC); it alone tells what is late.
        late_seconds: after a bar's close, or a whole interval where that is shorter, a decision is late.
        kind: of these rows.

    Returns:
        One row for each bar, without `sequence`, `bars_sha256`, `previous_hash` and `hash`.
    """
    schema = decision_schema(strategy, short="short_signal" in judged.columns)
    grace = min(dataset.interval_seconds, late_seconds)
    # As a series: in an expression, Polars 2.1 may make one value of what is compared with a literal.
    in_time = judged["datetime"].dt.offset_by(dataset.interval) + timedelta(seconds=grace) >= server_time
    known: dict[str, Any] = {
        "decided_at": pl.lit(decided_at, DATETIME),
        "server_time": pl.lit(server_time, DATETIME),
        "kind": pl.lit(kind),
        **{name: pl.lit(value) for name, value in chain_of(dataset, strategy.name)._asdict().items()},
        "parameters": pl.lit(parameters_text(strategy)),
        "late": ~in_time,
        "hermes": pl.lit(__version__),
    }
    if "symbol" in judged.columns:
        del known["symbol"]
    rows = judged.with_columns(**known)
    return rows.select(pl.col(name).cast(kind) for name, kind in schema.items() if name not in _SEALS)


def parameters_text(strategy: Strategy) -> str:
    """A strategy's parameters, as in the record."""
    named = strategy.parameters.model_dump(mode="json")
    return json.dumps(named, sort_keys=True, separators=(",", ":"))


class Sealed(NamedTuple):
    """Appended rows, and the new heads of their chains."""

    rows: pl.DataFrame
    heads: dict[Chain, Head]


def seal(rows: pl.DataFrame, heads: Mapping[Chain, Head]) -> Sealed:
    """Turn the rows of `decisions`, of any number of chains, into rows of the record with hashes.

    Args:
        rows: of one strategy or several; those of one chain stand in the order in which they are appended.
        heads: the head of each chain; a missing one has no row yet.

    Returns:
        The same rows, with the columns of `decision_schema`, and the new heads.

    Raises:
        TableRefused: a value that the record cannot hold, such as NaN or a text of several lines.
    """
    rows = rows.rechunk()  # what was put together from hundreds of datasets takes ten times as long
    check_values(rows)
    written = canonical(rows)
    bounds = ["", "bars_sha256", "previous_hash", "sequence", chr(0x10FFFF)]
    parts = [[name for name in written.columns if low < name < high] for low, high in pairwise(bounds)]
    known = rows[[*Chain._fields, "kind", "datetime", "position"]].rows()
    pieces = texts(written, [*parts, _BAR])

    ends: dict[tuple[str, ...], Head] = {}
    seals: list[tuple[int, str, str, str]] = []
    for row, one, two, three, four, bar in zip(known, *pieces, strict=True):
        chain = row[:5]  # equals the `Chain` of these names
        head = ends.get(chain) or heads.get(chain, NO_ROW)
        number, previous, bars = head.sequence + 1, head.hash, bar_digest(bar, head.bars_sha256)
        made = digest(f"{one}bars_sha256={bars}\n{two}previous_hash={previous}\n{three}sequence={number}\n{four}")
        seals.append((number, bars, previous, made))
        # A revision is of a bar that was decided on before: it moves neither the newest bar nor its position.
        at, position = row[6:] if row[5] == "decision" else (head.datetime, head.position)
        ends[chain] = Head(number, made, bars, at, position)
    columns = [
        pl.Series(name, values, pl.Int64 if name == "sequence" else pl.String)
        for name, values in zip(_SEALS, zip(*seals, strict=True) if seals else [()] * 4, strict=True)
    ]
    sealed = rows.hstack(columns)
    moved = {Chain(*chain): end for chain, end in ends.items()}
    return Sealed(sealed[in_order(sealed.columns)], moved)


def by_chain(rows: pl.DataFrame) -> Iterator[tuple[Chain, pl.DataFrame]]:
    """The rows of each chain, in their order; those of a single one are not copied."""
    chains = rows.select(Chain._fields).unique().rows() if rows.height else []
    if len(chains) == 1:
        yield Chain(*chains[0]), rows
    elif chains:
        for names, mine in rows.group_by(Chain._fields, maintain_order=True):
            yield Chain(*(str(name) for name in names)), mine


def heads(rows: pl.DataFrame) -> dict[Chain, Head]:
    """The head of each chain, from its rows in any order."""
    decided = pl.col("kind") == "decision"
    newest = rows.group_by(Chain._fields).agg(
        pl.col("sequence", "hash", "bars_sha256").get(pl.col("sequence").arg_max()),
        # A revision is of a bar that was decided on before: it moves neither the newest bar nor its position.
        # A bar that came too late may have been decided on after newer ones.
        pl.col("datetime", "position").filter(decided).get(pl.col("datetime").filter(decided).arg_max()),
    )
    return {Chain(*row[:5]): Head(*row[5:]) for row in newest.iter_rows()}


class Due(NamedTuple):
    """The hashes that rows must have by their values, and the texts of their bars, see `bar_digest`."""

    hashes: list[str]
    bars: list[str]


def due(rows: pl.DataFrame) -> Due:
    """The hash and the bar text that each row must have by its values."""
    names = [name for name in rows.columns if name != "hash"]
    whole, bars = texts(canonical(rows), [names, _BAR])
    return Due(list(map(digest, whole)), bars)


def head_json(head: Head) -> dict[str, Any]:
    """The head of a chain as JSON."""
    at = head.datetime.isoformat() if head.datetime else None
    return {"sequence": head.sequence, "datetime": at, "position": head.position, "record_head": head.hash}


def to_csv(rows: pl.DataFrame) -> bytes:
    """The rows as CSV (RFC 4180, UTF-8), every value as its canonical text; a missing value is empty."""
    return canonical(rows.select(in_order(rows.columns))).write_csv().encode()


def in_order(names: Iterable[str]) -> list[str]:
    """Column names in the order of the record; unknown ones are the rules' columns and conditions."""
    given = list(names)
    known = {*_BEFORE, *_DECIDED, *_SHORT, *_AFTER}
    order = [*_BEFORE, *(name for name in given if name not in known), *_DECIDED, *_SHORT, *_AFTER]
    return [name for name in order if name in given]


def bar_digest(text: str, before: str) -> str:
    """The `bars_sha256` of a row, from its bar's text and the `bars_sha256` of the row before."""
    return digest(f"bars_sha256={before}\n{text}")
