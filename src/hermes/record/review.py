"""The record of one dataset and strategy in the lake: read, verified, reconciled with today."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import polars as pl

from hermes.compute import compute_features, compute_signals
from hermes.errors import HermesError, MissingTable, UsageError
from hermes.lake.store import Lake
from hermes.record import ledger, verification
from hermes.record.ledger import Chain, Head, head_json
from hermes.record.paper import Tracking, track
from hermes.record.reconciliation import Reconciliation, as_json, reconcile
from hermes.record.table import DecisionsTable
from hermes.record.verification import Fault, Gap
from hermes.schemas import silver_schema
from hermes.settings import Settings
from hermes.stages.gold.features import adjusted
from hermes.stages.signals.plan import signals
from hermes.steps.account import account_of
from hermes.strategies import find_strategy, strategy_name
from hermes.version import __version__

_DRAWN = 600  # points of an equity line on a page, about


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of verifying one table of decisions.

    Attributes:
        rows: number of rows checked; heads: of the chains; faults: every trace of a change.
        missed: bars in silver without a decision; absent: bars that silver does not have either.
        kept: number of given hashes.
    """

    table: str
    rows: int
    heads: dict[Chain, Head]
    faults: list[Fault]
    missed: list[Gap]
    absent: list[Gap]
    kept: int

    @property
    def sound(self) -> bool:
        """Whether nothing was changed and nothing is missing."""
        return not (self.faults or self.missed)

    def as_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "table": self.table,
            "rows": self.rows,
            "kept_hashes": self.kept,
            "chains": [{**chain._asdict(), **head_json(head)} for chain, head in sorted(self.heads.items())],
            "faults": [fault.as_json() for fault in self.faults],
            "missed": [_gap_json(gap) for gap in self.missed],
            "absent": [_gap_json(gap) for gap in self.absent],
        }


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The record of one dataset, compared with today's bars and rules."""

    chain: Chain
    found: Reconciliation
    tracking: Tracking | None

    @property
    def unexplained(self) -> int:
        """The number of differences without a known cause."""
        return self.found.causes["unexplained"]

    def as_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        account = self.tracking.as_json() if self.tracking else None
        return {**self.chain._asdict(), **as_json(self.found), "account": account}


class Record:
    """The record of the settings' dataset and strategy.

    Args:
        settings: the dataset, the strategy with its parameters, and the account.
    """

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self._settings, self._lake = settings, lake
        self.chain = ledger.chain_of(settings.dataset, strategy_name(settings.signals.strategy))
        self._table = DecisionsTable.of(lake, self.chain)

    def symbols(self) -> list[str]:
        """Every symbol that the same table has decisions of."""
        return self._table.symbols()

    @cached_property
    def rows(self) -> pl.DataFrame:
        """The whole record, sorted by sequence.

        Raises:
            MissingTable: there is none.
        """
        rows = self._table.read([self.chain.symbol])
        if not rows.is_empty():
            rows = rows.filter(pl.col("provider") == self.chain.provider)
        if rows.is_empty():
            of = self.chain
            raise MissingTable(
                f"there is no record of {of} at {self._lake.gold.address}",
                f"run `hermes live {of.symbol} --market {of.market} --interval {of.interval} --strategy {of.strategy}`"
                " first",
            )
        return rows

    def head(self) -> Head:
        """The head of the chain, with the newest hash.

        Raises:
            MissingTable: there is no record.
        """
        return self._table.heads([self.chain]).get(self.chain) or ledger.heads(self.rows)[self.chain]

    def reconcile(self) -> Reconciled:
        """Decide again from today's silver, and trade both decisions.

        Raises:
            MissingTable: there is no record, or no silver.
        """
        found = reconcile(self.rows, self.bars(), self._decide, self._judge, __version__)
        account = account_of(self._settings, fill="next_open")
        return Reconciled(self.chain, found, track(found, account, self._settings.dataset.interval))

    def bars(self) -> pl.DataFrame:
        """The whole series, as silver has it today."""
        dataset = self._settings.dataset
        files = self._lake.silver.files(dataset.silver_folder)
        if not files:
            raise MissingTable(
                f"silver has no rows of {dataset} at {self._lake.silver.address}", "run `hermes refine` first"
            )
        names = ("datetime", "open", "high", "low", "close", "volume")
        with self._lake.silver.errors():
            bars = self._lake.silver.scan(files, schema=silver_schema(dataset.market)).select(names)
            return adjusted(bars, self._settings.quality.of(dataset.symbol)).collect()

    def _with(self, parameters: str | None) -> Settings:
        """The settings with the parameters of the record, for the whole series."""
        signals_section = self._settings.signals.model_copy(update={"end": None})
        changed: dict[str, Any] = {"signals": signals_section}
        if parameters is not None:
            changed["strategy"] = {**self._settings.strategy, self.chain.strategy: json.loads(parameters)}
        return self._settings.model_copy(update=changed)

    def _decide(self, bars: pl.DataFrame, parameters: str | None) -> pl.DataFrame:
        settings = self._with(parameters)
        return compute_signals(compute_features(bars, settings), settings)

    def _judge(self, columns: pl.DataFrame, parameters: str) -> pl.DataFrame:
        strategy = find_strategy(self._settings.signals.strategy).make(json.loads(parameters))
        return signals(columns, strategy, 0, 0)


def verify(settings: Settings, lake: Lake, symbols: Sequence[str] = (), kept: Sequence[str] = ()) -> Verified:
    """Check every row, hash, file and day of one table of decisions.

    Args:
        settings: the strategy, market and interval, which name the table.
        symbols: to check; by default all.
        kept: hashes kept from `head`, which must be on record.

    Raises:
        MissingTable: nothing is on record.
        UsageError: a kept hash is incomplete.
    """
    for head in kept:
        if not re.fullmatch("[0-9a-f]{64}", head):
            raise UsageError(
                f"--head {head} is not a hash: it has 64 digits", "see `hermes record head` for a whole one"
            )
    record = Record(settings, lake)
    table = DecisionsTable.of(lake, record.chain)
    rows = table.read(symbols or None, with_files=True, each=verification.links)
    if rows.is_empty() and not table.lost():
        raise MissingTable(f"nothing is on record in {table.name} at {lake.gold.address}", "run `hermes live` first")
    faults = [Fault("deleted file", key, None, None, "it was published and is gone") for key in table.lost()]
    if rows.is_empty():
        return Verified(table.name, 0, {}, faults, [], [], len(kept))
    faults += verification.misplaced(rows) + verification.find_faults(rows, whole=True)
    there = set(rows.filter(pl.col("hash").is_in(kept))["hash"]) if kept else set()
    faults += [
        Fault("other head", table.name, None, None, f"the kept hash {head} is not on record")
        for head in kept
        if head not in there
    ]
    heads = ledger.heads(rows)
    if symbols:
        faults += _renamed(table, heads, symbols)
    missed: list[Gap] = []
    absent: list[Gap] = []
    for gap in verification.find_gaps(rows):
        for part, known in _split(gap, settings, lake):
            (missed if known else absent).append(part)
    return Verified(table.name, rows["hash"].n_unique(), heads, faults, missed, absent, len(kept))


def _renamed(table: DecisionsTable, heads: Mapping[Chain, Head], symbols: Sequence[str]) -> list[Fault]:
    """The newest rows of chains that were given to a symbol that is not checked."""
    ends = {head.hash: chain for chain, head in heads.items()}
    found = table.renamed(ends, symbols)
    return [
        Fault("edited", table.name, sequence, at, f"a row of {symbol} follows one of {' or '.join(symbols)}")
        for symbol, sequence, at in (found.select("symbol", "sequence", "datetime").iter_rows() if found.height else ())
    ]


def _split(gap: Gap, settings: Settings, lake: Lake) -> list[tuple[Gap, bool]]:
    """Split a gap into the bars that silver has, and the others."""
    dataset = settings.dataset.with_symbol(gap.chain.symbol)
    files = lake.silver.files(dataset.silver_folder)
    within = pl.col("datetime").is_between(gap.first, gap.last)
    with lake.silver.errors():
        found = (
            lake.silver.scan(files, schema=silver_schema(dataset.market)).filter(within).select("datetime").collect()
            if files
            else None
        )
    if found is None or found.is_empty():
        return [(gap, False)]
    first, last = found["datetime"][0], found["datetime"][-1]
    known = Gap(gap.chain, first, last, found.height)
    rest = replace(gap, bars=gap.bars - found.height)
    return [(known, True), *([(rest, False)] if rest.bars else [])]


def on_record(settings: Settings, lake: Lake) -> dict[str, Any] | None:
    """The page's section on the record, see `pages.record.section`; None where there is no record."""
    record = Record(settings, lake)
    try:
        rows = record.rows
    except MissingTable:
        return None
    decided = rows.filter(pl.col("kind") == "decision")
    about: dict[str, Any] = {
        "rows": decided.height,
        "first": str(decided["datetime"].min()),
        "last": str(decided["datetime"].max()),
        "late": int(decided["late"].sum()),
        "head": ledger.heads(rows)[record.chain].hash,
    }
    try:
        made = record.reconcile()
    except HermesError as error:  # the record is there, and so is the page
        return {**about, "note": error.message}
    drawn = made.tracking.equity if made.tracking else pl.DataFrame()
    each = max(1, drawn.height // _DRAWN)
    return {**about, **made.as_json(), "equity": drawn.gather_every(each).to_dicts()}


def rows_json(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of the record as JSON; times are ISO 8601, UTC without offset."""
    return rows.with_columns(pl.col(pl.Datetime).dt.to_string("iso:strict")).to_dicts()


def _gap_json(gap: Gap) -> dict[str, Any]:
    return {"symbol": gap.chain.symbol, "first": gap.first.isoformat(), "last": gap.last.isoformat(), "bars": gap.bars}
