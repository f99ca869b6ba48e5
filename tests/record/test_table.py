"""The record on every store: nothing lost, doubled or forked, whatever is killed and whoever writes."""

import errno
import os
import uuid
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import tests.record.simulated_record as market
from torture.faults import Faulty

from hermes.errors import AlreadyPublished, DatasetLocked, LockLost, StoreError
from hermes.lake.store import Lake, Layer
from hermes.record import ledger, verification
from hermes.record.ledger import Chain, Head
from hermes.record.table import DecisionsTable
from hermes.record.verification import FILE, find_faults, misplaced
from hermes.settings import Settings

CHAIN = ledger.chain_of(market.DATASET, "smart_momentum")
OTHER = CHAIN._replace(symbol="SIM2USDT")
BARS = market.decided(market.judged(60))


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "folder":
        return Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={}))
    server = request.getfixturevalue("s3_server")
    url = f"s3://record-{{layer}}/{uuid.uuid4().hex}"
    return Lake.open(Settings.load({"lake.url": url, **server.flags()}, environ={}))


@pytest.fixture
def table(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecisionsTable]:
    monkeypatch.setattr("hermes.lake.backends.lease.RENEW_S", 0.2)
    with DecisionsTable.of(lake, CHAIN).held([CHAIN, OTHER], "live") as held:
        yield held


def keep(table: DecisionsTable, rows: pl.DataFrame, pieces: int = 2) -> pl.DataFrame:
    """Append each day's rows in several files, as a service that is restarted each time; returns the record."""
    for _, day in rows.group_by(pl.col("server_time").dt.date(), maintain_order=True):
        size = -(-day.height // pieces)
        for begin in range(0, day.height, size):
            table.append(day.slice(begin, size), table.heads([CHAIN, OTHER]))
    return table.read()


def test_record_is_what_was_appended(table: DecisionsTable):
    assert table.read().is_empty()
    assert table.heads([CHAIN]) == {}
    record = keep(table, BARS)
    assert record.equals(ledger.seal(BARS, {}).rows)
    assert table.heads([CHAIN, OTHER]) == {CHAIN: ledger.heads(record)[CHAIN]}
    assert table.read([OTHER.symbol]).is_empty()


def test_heads_that_were_returned_are_those_that_are_read(table: DecisionsTable):
    heads: Mapping[Chain, Head] = {CHAIN: Head.before_first(market.judged(9, seed=5))}
    for number in range(3):
        heads = table.append(BARS.slice(number, 1), heads).heads
    revision = BARS.slice(0, 1).with_columns(kind=pl.lit("revision"))
    heads = table.append(revision, heads).heads
    assert heads == table.heads([CHAIN])
    assert heads[CHAIN].datetime == BARS["datetime"][2]


def test_second_writer_with_the_same_head_is_refused(table: DecisionsTable):
    heads = table.heads([CHAIN])
    table.append(BARS.head(1), heads)
    with pytest.raises(AlreadyPublished):
        table.append(BARS.head(1).with_columns(pl.col("decided_at") + timedelta(seconds=1)), heads)
    assert table.read().height == 1


def test_chain_that_is_held_is_refused_to_others(table: DecisionsTable):
    with pytest.raises(DatasetLocked, match="the record of SIMUSDT 1h"), table.held([CHAIN], "live"):
        pass
    with table.held([CHAIN._replace(symbol="SIM3USDT")], "live"):
        pass  # another symbol is free


def test_nothing_is_published_once_a_lease_was_lost(table: DecisionsTable, monkeypatch):
    def lost() -> None:
        raise LockLost("the lease was lost", "")

    monkeypatch.setattr(table._gold, "_check", lost)
    with pytest.raises(LockLost):
        table.append(BARS.head(1), {})
    assert table.files() == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_disk_that_fails_in_an_append_leaves_all_of_it_or_nothing(tmp_path: Path, number: int):
    lake = Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={}))
    with DecisionsTable.of(lake, CHAIN).held([CHAIN], "live") as table:
        table.append(BARS.head(1), {})
        faulty, at, refused = None, 0, 0
        while faulty is None or faulty.hit:  # the first call fails, then the second, and so on
            at += 1
            before = table.read()
            faulty = Faulty(tmp_path / "lake", number, at, for_good=False)
            heads = table.heads([CHAIN])
            try:
                with faulty.planted():
                    table.append(BARS.slice(before.height, 1), heads)
            except StoreError as error:
                refused += 1
                assert os.strerror(number) in error.message and error.cure
                assert table.read().equals(before)
            assert find_faults(table.read(with_files=True), whole=True) == []
        assert refused > 2
        assert not table.lost()
    assert table.read().height == 1 + at - refused


def test_merged_day_keeps_every_row_and_hash(table: DecisionsTable):
    record = keep(table, BARS, 4)
    days = record["server_time"].dt.date().unique()
    (written, *_) = table.merge(max(days))
    assert "/day=01/day_" in written
    assert table.read().equals(record)
    filed = table.read(with_files=True)
    assert find_faults(filed) + misplaced(filed) == []
    assert len(table.files()) < 12
    assert table.merge(max(days)) == [], "there is nothing left to do"
    assert table.merge(max(days) + timedelta(days=1)) != []
    assert len(table.files()) == len(days)
    assert table.heads([CHAIN])[CHAIN].sequence == 59


def test_a_forged_copy_of_a_row_is_not_merged_away_nor_in_its_place(table: DecisionsTable):
    record = keep(table, BARS, 4)
    folder = table.files()[0].key.rpartition("/")[0]
    table._create(f"{folder}/00000000T000000.parquet", record.head(1).with_columns(close=pl.col("close") + 1))
    table.merge(date(2025, 3, 9))
    assert [fault.cause for fault in find_faults(table.read(with_files=True))] == ["edited", "fork"]
    assert table.read(with_files=True).filter(pl.col("close") == record["close"][0]).height


@pytest.mark.parametrize("removed", [0, 1, 3])
def test_merge_that_was_killed_loses_and_doubles_nothing(table: DecisionsTable, monkeypatch, removed: int):
    record = keep(table, BARS, 4)
    with monkeypatch.context() as killed:
        remove = Layer.remove
        count: list[str] = []

        def remove_some(layer: Layer, key: str) -> None:
            if len(count) == removed:
                raise KeyboardInterrupt
            count.append(key)
            remove(layer, key)

        killed.setattr(Layer, "remove", remove_some)
        with pytest.raises(KeyboardInterrupt):
            table.merge(date(2025, 3, 9))
    assert table.read().equals(record)
    assert find_faults(table.read(with_files=True)) == []
    table.merge(date(2025, 3, 9))
    assert table.read().equals(record)
    assert len(table.files()) == 3


def test_reader_never_sees_a_day_between_its_files(table: DecisionsTable, monkeypatch):
    record = keep(table, BARS, 4)
    scan = Layer.scan
    merged: list[Any] = []

    def merge_first(layer: Layer, *given: object, **options: object):
        if not merged:
            merged.append(True)
            table.merge(date(2025, 3, 9))
        return scan(layer, *given, **options)

    monkeypatch.setattr(Layer, "scan", merge_first)
    assert table.read().equals(record)


def test_parameters_that_change_leave_the_chain_whole(table: DecisionsTable):
    table.append(BARS.head(20), {})
    renamed = BARS.slice(24, 20).rename({"ema_12": "ema_10"}).with_columns(parameters=pl.lit('{"ema_fast":10}'))
    table.append(renamed, table.heads([CHAIN]))
    record = table.read()
    assert record["ema_12"].null_count() >= 20
    assert find_faults(record) == []
    table.merge(date(2025, 3, 9))
    assert find_faults(table.read()) == []


def test_restart_after_a_long_outage_finds_the_head(table: DecisionsTable):
    both = pl.concat([BARS.head(1), BARS.head(1).with_columns(symbol=pl.lit(OTHER.symbol))])
    table.append(both, {})
    for number in range(1, 60, 20):
        table.append(BARS.slice(number, 1), table.heads([CHAIN]))
    assert {chain.symbol: head.sequence for chain, head in table.heads([CHAIN, OTHER]).items()} == {
        CHAIN.symbol: 3, OTHER.symbol: 0
    }  # fmt: skip


def test_rows_name_their_files(table: DecisionsTable):
    record = keep(table, BARS, 4)
    filed = table.read(with_files=True)
    assert filed.height == record.height
    assert filed[FILE].n_unique() == 12


def test_table_names_can_be_read_back():
    from hermes.dataset import decisions_folder, decisions_table, parse_decisions_folder, parse_decisions_table

    for market_name in ("spot", "um", "cm"):
        name = decisions_table("ma_cross", market_name, "1mo")
        assert parse_decisions_table(name) == ("ma_cross", market_name, "1mo")
        assert parse_decisions_folder(decisions_folder(name, date(2025, 3, 1))) == date(2025, 3, 1)
    assert parse_decisions_table("gold_features_spot_monthly_klines_BTCUSDT_4h") is None
    assert parse_decisions_folder("decisions_ma_cross_spot_1h/year=2025/month=13/day=01") is None


def test_chains_are_told_apart_by_every_name():
    assert len({CHAIN, OTHER, Chain(*CHAIN)}) == 2


# --- files that are none ---------------------------------------------------------------------------------------------


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[tuple[DecisionsTable, Path]]:
    """A record in a folder, and one of its files."""
    lake = Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={}))
    with DecisionsTable.of(lake, CHAIN).held([CHAIN, OTHER], "live") as table:
        keep(table, BARS)
        yield table, Path(table.files()[2].location)


def refused(table: DecisionsTable, path: Path, said: str = "") -> None:
    whole = (table.read, lambda: table.read([CHAIN.symbol], with_files=True, each=verification.links))
    for read in whole:
        with pytest.raises(StoreError) as error:
            read()
        assert str(path) in error.value.message, error.value
        assert said in error.value.message, error.value


def test_garbage_among_the_files_is_named(filed: tuple[DecisionsTable, Path]):
    table, path = filed
    content = path.read_bytes()
    pages = bytearray(content)
    pages[4:400] = b"\xff" * 396  # the footer is whole
    for garbage in (b"", b"x", b"PAR1 no Parquet at all PAR1", content[: len(content) // 2], pages):
        path.write_bytes(garbage)
        refused(table, path)


def test_a_row_without_a_value_is_none_of_the_record(filed: tuple[DecisionsTable, Path]):
    table, path = filed
    rows = pl.read_parquet(path)
    last = pl.int_range(pl.len()) == rows.height - 1
    for column in sorted(ledger.ALWAYS):
        rows.with_columns(pl.when(~last).then(pl.col(column)).alias(column)).write_parquet(path)
        refused(table, path, f"a row of it has no {column}")
    with pytest.raises(StoreError, match="is not a file of the record"):
        table.merge(date(2025, 3, 9))  # what is damaged is not merged away
    assert path.exists()


def test_rows_of_another_table_are_none_of_this_one(filed: tuple[DecisionsTable, Path]):
    table, path = filed
    rows = pl.read_parquet(path)
    for column, value in (("strategy", "mine"), ("market", "um"), ("interval", "4h")):
        rows.with_columns(pl.lit(value).alias(column)).write_parquet(path)
        refused(table, path, f"a row of it is of another {column}")
