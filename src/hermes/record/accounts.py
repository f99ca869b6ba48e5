"""The paper accounts of a live process: read from the record once, day by day, then updated at every close."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from datetime import date

import polars as pl

from hermes.errors import HermesError
from hermes.record.ledger import Chain, by_chain
from hermes.record.paper import PAPER, PaperAccount
from hermes.record.reconciliation import SHORTS
from hermes.record.table import DecisionsTable
from hermes.stages.backtest.account import Account

_COLUMNS = (*Chain._fields, *PAPER, *SHORTS)


class PaperAccounts:
    """The positions of the paper accounts of all chains; the cost of a close does not depend on the record's length.

    Positions are unknown until the record has been read (`catch_up`).

    Args:
        table: the caller alone appends to these chains.
        terms: the account of each chain.
    """

    def __init__(self, table: DecisionsTable, terms: Mapping[Chain, Account]) -> None:
        self._table, self._terms = table, terms
        self._known: dict[Chain, PaperAccount] = {}
        self._lost: deque[Chain] = deque()  # a bar of theirs was decided on after newer ones: they start over
        self._reading = self._read()

    @property
    def behind(self) -> bool:
        """Whether some of the record is still to be read."""
        return len(self._known) < len(self._terms)

    def position(self, chain: Chain) -> int | None:
        """The position of a chain's account: 1 long, 0 flat, -1 short; None if not known yet."""
        account = self._known.get(chain)
        return account.position if account else None

    def add(self, rows: pl.DataFrame) -> None:
        """Continue with rows that were just appended, of any chain."""
        for chain, mine in by_chain(rows):
            if (account := self._known.get(chain)) and not account.add(mine):
                del self._known[chain]
                self._lost.append(chain)

    def catch_up(self) -> None:
        """Read one more day of the record, so the caller can do other work in between.

        Raises:
            HermesError: it cannot be read; then the next call starts over.
        """
        try:
            next(self._reading)
        except HermesError:
            self._reading = self._read()
            raise

    def _read(self) -> Iterator[None]:
        """Read the record of those that are not known, a day each time; then of each that starts over, and so on."""
        accounts = {chain: PaperAccount(terms) for chain, terms in self._terms.items() if chain not in self._known}
        self._lost.clear()
        for day in self._days():
            yield
            for chain, mine in self._of(day, accounts):
                if not accounts[chain].add(mine):
                    del accounts[chain]
                    self._lost.append(chain)
        self._known.update(accounts)  # what is appended from now on is added
        while True:
            while not self._lost:
                yield
            chain, parts = self._lost[0], []
            for day in self._days():
                yield
                parts += [mine for _, mine in self._of(day, [chain])]
            record = pl.concat(parts, how="diagonal").unique("sequence", keep="first").sort("sequence")
            self._known[chain] = PaperAccount(self._terms[chain], record)
            self._lost.popleft()

    def _days(self) -> Iterator[date]:
        """The days of the record; also those that begin meanwhile."""
        last: date | None = None
        while days := [day for day in self._table.days() if last is None or day > last]:
            yield from days
            last = days[-1]

    def _of(self, day: date, chains: Collection[Chain]) -> list[tuple[Chain, pl.DataFrame]]:
        """What was decided on that day for these chains."""
        rows = self._table.read_day(day, {chain.symbol for chain in chains}, _COLUMNS)
        return [(chain, mine) for chain, mine in by_chain(rows) if chain in chains]
