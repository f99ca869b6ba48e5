"""Paper accounts that go on with every close hold what an account that reads the whole record holds."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from tests.record.decisions import BARS_900 as BARS
from tests.record.decisions import Service, with_parameters
from tests.record.lakes import put_record, settings_at

from hermes.errors import StoreError
from hermes.record import ledger
from hermes.record.accounts import PaperAccounts
from hermes.record.paper import PaperAccount
from hermes.record.table import DecisionsTable
from hermes.stages.backtest.account import Account

TERMS = Account(side="both", trailing_stop=0.03)
CHAIN = ledger.chain_of(settings_at(Path()).dataset, "smart_momentum")
SERVICE = Service(BARS).run(400, 460).run(460, 466, delay=9000)
RECORD = with_parameters(SERVICE, ema_fast=5, rsi_low=20.0, rsi_high=90.0).run(466, 640).record
#: One bar was decided on after newer ones.
SKIPPED = Service(BARS).run(400, 500).run(501, 560).run(500, 501, delay=250_000).run(560, 600).record


def caught_up(accounts: PaperAccounts, most: int = 50) -> PaperAccounts:
    for _ in range(most):
        if not accounts.behind:
            return accounts
        accounts.catch_up()
    raise AssertionError(f"still behind after {most} days")


@pytest.mark.parametrize("record", [RECORD, SKIPPED], ids=["in order", "skipped"])
def test_they_go_on_from_what_is_on_record(tmp_path: Path, record: pl.DataFrame):
    known, later = record.head(120), record.slice(120)
    table = put_record(settings_at(tmp_path), known)
    accounts = PaperAccounts(table, {CHAIN: TERMS})
    assert accounts.behind and accounts.position(CHAIN) is None, "nobody looked yet"
    caught_up(accounts)
    assert accounts.position(CHAIN) == PaperAccount(TERMS, known).position
    held = set()
    for number in range(later.height):
        put_record(settings_at(tmp_path), later.slice(number, 1))
        accounts.add(later.slice(number, 1))
        if accounts.behind:
            caught_up(accounts)
        held.add(accounts.position(CHAIN))
        if number % 9 == 0:
            assert accounts.position(CHAIN) == PaperAccount(TERMS, record.head(121 + number)).position
    assert len(held) > 1


def test_what_is_appended_while_the_record_is_read_counts_once(tmp_path: Path):
    settings = settings_at(tmp_path)
    table = put_record(settings, RECORD.head(100))
    accounts, begin = PaperAccounts(table, {CHAIN: TERMS}), 100
    while accounts.behind:
        put_record(settings, RECORD.slice(begin, 3))
        accounts.add(RECORD.slice(begin, 3))
        begin += 3
        if begin % 2:
            table.merge(date(2025, 2, 1))
        accounts.catch_up()
    accounts.add(RECORD.slice(begin))
    assert accounts.position(CHAIN) == PaperAccount(TERMS, RECORD).position
    assert not accounts.behind, "no row was counted twice or left out"


def test_days_that_cannot_be_read_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    accounts = PaperAccounts(put_record(settings_at(tmp_path), RECORD), {CHAIN: TERMS})
    accounts.catch_up()
    with monkeypatch.context() as broken:

        def fail(*_: object) -> None:
            raise StoreError("no answer", "try again")

        broken.setattr(DecisionsTable, "read_day", fail)
        with pytest.raises(StoreError):
            accounts.catch_up()
        assert accounts.position(CHAIN) is None
    assert caught_up(accounts).position(CHAIN) == PaperAccount(TERMS, RECORD).position


def test_one_that_begins_anew_leaves_the_others_as_they_are(tmp_path: Path):
    other = CHAIN._replace(symbol="SIM2USDT")
    with_other = pl.concat([SKIPPED, RECORD.with_columns(symbol=pl.lit("SIM2USDT"))], how="diagonal")
    accounts = PaperAccounts(put_record(settings_at(tmp_path), with_other), {CHAIN: TERMS, other: TERMS})
    caught_up(accounts)
    assert accounts.position(CHAIN) == PaperAccount(TERMS, SKIPPED).position
    assert accounts.position(other) == PaperAccount(TERMS, RECORD).position
