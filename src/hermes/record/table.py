"""The record in the lake: one gold table for each strategy, market and interval, whose files are only ever created.

A row is written once, by the holder of its chain's lease, from reading the head until the row is published. When
a day is over, its files are merged into one, under a name that follows from its rows: first the merged file is
published, then the others are removed, so that a crash leaves rows twice, never none. Readers drop equal hashes.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Self, TypeVar

import polars as pl

from hermes.dataset import LOCKS, decisions_folder, decisions_table, parse_decisions_folder
from hermes.errors import AlreadyPublished, StoreError
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, Layer, check_written, fingerprint
from hermes.record import ledger
from hermes.record.ledger import NO_ROW, Chain, Head
from hermes.record.rows import Make, RowReader
from hermes.record.verification import FILE

Answer = TypeVar("Answer")

_MERGED = "day_"  # how the file of a whole day begins
_ATTEMPTS = 5
_HEAD_COLUMNS = (*Chain._fields, "kind", "sequence", "hash", "bars_sha256", "datetime", "position")


@dataclass(frozen=True, slots=True)
class Appended:
    """The result of an append.

    Attributes:
        rows: sealed, with their hashes.
        key: the file in gold.
        heads: the new heads of the chains.
    """

    rows: pl.DataFrame
    key: str
    heads: Mapping[Chain, Head]


class DecisionsTable:
    """The decisions of one strategy on one market at one interval, for any number of symbols.

    Args:
        lake: its gold layer holds the table.
    """

    def __init__(self, lake: Lake, strategy: str, market: str, interval: str) -> None:
        self.name = decisions_table(strategy, market, interval)
        self._gold: Layer = lake.gold
        of = {"strategy": strategy, "market": market, "interval": interval}
        self._reader = RowReader(lake.gold, self.name, of)
        self._held: frozenset[Chain] = frozenset()

    @classmethod
    def of(cls, lake: Lake, chain: Chain) -> Self:
        """The table that holds `chain`."""
        return cls(lake, chain.strategy, chain.market, chain.interval)

    # --- reading ----------------------------------------------------------------------------------------------------

    def files(self) -> list[LakeFile]:
        """The table's files, in order of their days."""
        return self._gold.files(self.name)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files())

    def read(
        self,
        symbols: Collection[str] | None = None,
        *,
        since: date | None = None,
        with_files: bool = False,
        each: Make | None = None,
    ) -> pl.DataFrame:
        """The record of some symbols, or of all, in the order of the files and of the rows in them.

        Args:
            since: only what was decided on this UTC day or later.
            with_files: keep rows that stand in two files, and name each row's file in a column `_file`; else equal
                hashes count once, and the rows are sorted by symbol and sequence.
            each: what to make of every piece of rows as it is read, so that the whole record is never in memory.

        Returns:
            Columns as in `ledger.decision_schema`; where parameters changed, the union of their columns. With `each`,
            what it made.
        """
        rows = self._settled(lambda files: self._reader.read(_from(files, since), symbols, None, each))
        if with_files or rows.is_empty():
            return rows
        return rows.drop(FILE).unique("hash", keep="first").sort(*Chain._fields, "sequence")

    def days(self) -> list[date]:
        """The UTC days on which something was decided, in order."""
        folders = {file.key.rpartition("/")[0] for file in self.files()}
        return sorted(day for folder in folders if (day := parse_decisions_folder(folder)))

    def read_day(self, day: date, symbols: Collection[str], columns: Collection[str]) -> pl.DataFrame:
        """What was decided on a UTC day, as it is stored: rows may stand there twice.

        Args:
            columns: those of them that are there.
        """
        folder = decisions_folder(self.name, day)
        return self._settled(lambda files: self._reader.read(files, symbols, columns).drop(FILE, strict=False), folder)

    def symbols(self) -> list[str]:
        """Every symbol that has a row."""
        found = self._settled(lambda files: self._reader.read(files, None, ["symbol"]))
        return sorted(found["symbol"].unique()) if found.height else []

    def renamed(self, heads: Collection[str], symbols: Collection[str]) -> pl.DataFrame:
        """`symbol, sequence, datetime` of rows that follow one of these hashes, of symbols other than these."""
        names = ["symbol", "sequence", "datetime", "previous_hash"]
        others = pl.col("previous_hash").is_in(list(heads)) & ~pl.col("symbol").is_in(list(symbols))
        return self._settled(lambda files: self._reader.read(files, None, names, lambda rows: rows.filter(others)))

    def lost(self) -> Sequence[str]:
        """Files that were published and are not there any more; a folder alone can tell."""
        return self._gold.lost(self.name, {file.key for file in self.files()})

    def heads(self, chains: Iterable[Chain]) -> dict[Chain, Head]:
        """The head of each chain; those without a row are omitted.

        Days are read from the newest on, until all chains are found, and one more: the exchange's clock may have been
        set back over midnight.
        """
        return self._settled(lambda files: self._heads(files, set(chains)))

    # --- writing ----------------------------------------------------------------------------------------------------

    @contextmanager
    def held(self, chains: Iterable[Chain], command: str) -> Iterator[Self]:
        """Hold the leases of these chains until the block is left.

        Args:
            command: shown to others who meet the lease, like `live`.

        Yields:
            The table to append to; it refuses to publish once a lease was lost.

        Raises:
            DatasetLocked: another process holds one of them; says which.
        """
        wanted = sorted(set(chains))
        with ExitStack() as stack:
            stack.enter_context(self._gold.keeping_staging())
            checks = [
                stack.enter_context(self._gold.locked(self._lock_key(chain), f"the record of {chain}", command))
                for chain in wanted
            ]
            mine = copy.copy(self)
            mine._gold, mine._held = self._gold.with_checks(*checks), frozenset(wanted)
            yield mine

    def append(self, rows: pl.DataFrame, heads: Mapping[Chain, Head]) -> Appended:
        """Seal rows and publish them in one new file.

        Args:
            rows: as `ledger.decisions` makes them, of chains that are held; all of one UTC day by `server_time`.
            heads: where the chains end, read (`heads`) or appended (`Appended.heads`) while they were held.

        Raises:
            AlreadyPublished: another process has appended to these heads.
            LockLost: a lease was lost meanwhile; nothing was published.
        """
        sealed, ends = ledger.seal(rows, heads)
        assert ends.keys() <= self._held, "append only to chains that are held"
        # Named after the heads that it follows: two writers that both saw them cannot both publish.
        first = sorted(heads.get(chain, NO_ROW).hash for chain in ends)
        newest: datetime = sealed["datetime"].max()  # type: ignore[assignment]
        begun: datetime = sealed["server_time"].min()  # type: ignore[assignment]
        ended: datetime = sealed["server_time"].max()  # type: ignore[assignment]
        assert begun.date() == ended.date(), "append one day's decisions at a time"
        name = f"{newest:%Y%m%dT%H%M%S}_{fingerprint(first)[:16]}.parquet"
        key = f"{decisions_folder(self.name, ended.date())}/{name}"
        self._create(key, sealed)
        return Appended(sealed, key, ends)

    def merge(self, before: date) -> list[str]:
        """Merge each day before `before` into one file; returns the keys of those that were written.

        Several processes may do so at once, and it may be killed at any point: no row is lost.
        """
        days: dict[date, list[LakeFile]] = {}
        for file in self.files():
            day = parse_decisions_folder(file.key.rpartition("/")[0])
            if day is not None and day < before:
                days.setdefault(day, []).append(file)
        return [key for day, files in days.items() if len(files) > 1 and (key := self._merge(day, files))]

    def _merge(self, day: date, files: Sequence[LakeFile]) -> str | None:
        try:
            rows = self._reader.read(files, None, None).drop(FILE)
        except StoreError:
            if self._gold.same(files):
                raise
            return None  # somebody else merges this day
        # By all columns: a row that only claims another's hash must not take its place.
        merged = rows.unique(maintain_order=True).sort(*Chain._fields, "sequence")
        name = f"{_MERGED}{fingerprint(sorted(merged['hash']))[:16]}.parquet"
        key = f"{decisions_folder(self.name, day)}/{name}"
        with suppress(AlreadyPublished):  # by one that was killed before it could remove the others
            self._create(key, merged)
        for file in files:
            if file.key != key:
                self._gold.remove(file.key)
        return key

    def _create(self, key: str, rows: pl.DataFrame) -> None:
        with self._gold.staged() as path:
            self._gold.stage(path, rows, {"layer": "gold", "rows": rows.height, "table": self.name})
            check_written([path], rows.height)
            self._gold.create(key, path)

    def _lock_key(self, chain: Chain) -> str:
        return f"{LOCKS}/{self.name}/{chain.provider}_{chain.symbol}.lock"

    # --- files to rows ----------------------------------------------------------------------------------------------

    def _settled(self, ask: Callable[[list[LakeFile]], Answer], folder: str = "") -> Answer:
        """What `ask` makes of the files, or of those in one folder, when no day was merged meanwhile."""
        for attempt in range(_ATTEMPTS):
            files = self._gold.files(folder or self.name)
            try:
                answer = ask(files)
            except StoreError:
                if attempt == _ATTEMPTS - 1 or self._gold.same(files):
                    raise
                continue
            known, now = {file.key for file in files}, {file.key for file in self._gold.files(folder or self.name)}
            if known <= now and not any(_is_merged(key) for key in now - known):
                return answer
        raise StoreError(f"days of {self.name} were merged again and again while it was read", "run it again")

    def _heads(self, files: Sequence[LakeFile], chains: set[Chain]) -> dict[Chain, Head]:
        days: dict[str, list[LakeFile]] = {}
        for file in files:
            days.setdefault(file.key.rpartition("/")[0], []).append(file)
        symbols = {chain.symbol for chain in chains}
        rows, heads, complete = pl.DataFrame(), dict[Chain, Head](), False
        for day in sorted(days, reverse=True):
            rows = pl.concat([rows, self._reader.read(days[day], symbols, _HEAD_COLUMNS)], how="diagonal")
            heads = ledger.heads(rows) if rows.height else {}
            if complete:
                break
            complete = all(chain in heads and heads[chain].datetime for chain in chains)
        return {chain: head for chain, head in heads.items() if chain in chains}


def _from(files: Sequence[LakeFile], since: date | None) -> Sequence[LakeFile]:
    """The files of this day and of later ones."""
    if since is None:
        return files
    days = [parse_decisions_folder(file.key.rpartition("/")[0]) for file in files]
    return [file for file, day in zip(files, days, strict=True) if day and day >= since]


def _is_merged(key: str) -> bool:
    return key.rpartition("/")[2].startswith(_MERGED)
