"""A live process from close to close: on time, once, and with what the archive will say."""

import errno
import json
import os
from datetime import datetime, timedelta

import polars as pl
import pytest
from tests.live.live_market import MINUTE, START, STRATEGY, Heard, archive_alone, decided, market

from hermes.errors import Banned, DatasetLocked, NotServed, SymbolUnknown
from hermes.live.finality import Bar
from hermes.live.loop import growing
from hermes.live.status import SERVICES, records, status
from hermes.live.times import instant
from hermes.record.paper import PaperAccount
from hermes.record.table import DecisionsTable
from hermes.record.verification import find_faults, find_gaps
from hermes.steps.account import account_of
from hermes.testing.exchange import Plan


def test_each_close_is_decided_on_once_and_in_time(tmp_path):
    with market(tmp_path, 200, 30) as live:
        heard = Heard()
        live.run(10 * 60 + 5, heard)
        record = live.record()
        assert record.height == 11  # the newest bar at the start, and ten more
        assert not record["late"].any()
        assert record["sequence"].to_list() == list(range(11))
        assert find_faults(record) == [] and find_gaps(record) == []
        behind = record["server_time"] - record["datetime"] - timedelta(minutes=1)
        assert max(behind[1:]) <= timedelta(seconds=2.5)
        assert live.finish()["silver"].height == 210
        assert not heard.troubles


def test_decisions_are_those_of_the_archive_alone(tmp_path):
    with market(tmp_path, 300, 40) as live:
        live.run(20 * 60 + 5)
        made = live.finish()
        alone = archive_alone(tmp_path, live.tasks[0], live.bars[live.dataset.symbol][:320])
        for name, table in made.items():
            assert table.equals(alone[name]), name
        names = ["datetime", "open", "high", "low", "close", "volume", "buy_signal", "sell_signal", "position"]
        names += [name for name in alone["signals"].columns if name.startswith("donchian_")]
        record = decided(live.record()).select(names)
        assert record.height == 21
        assert record.equals(alone["signals"].tail(21).select(names))


def test_it_goes_on_where_it_was_and_what_was_missed_is_late(tmp_path):
    with market(tmp_path, 200, 60) as live:
        live.run(5 * 60 + 5)
        live.clock.move(10 * 60)
        live.run(5 * 60)
        record = live.record()
        assert find_faults(record) == [] and find_gaps(record) == []
        late = record.filter("late")
        assert 8 <= late.height <= 10
        assert record.height == record["datetime"].n_unique() == 1 + 20


def test_many_symbols_share_one_file_at_a_close(tmp_path):
    with market(tmp_path, 120, 10, symbols=5) as live:
        live.run(3 * 60 + 5)
        files = live.lake.gold.files("decisions_donchian_breakout_spot_1m")
        assert len(files) == 4
        assert live.record().group_by("symbol").len()["len"].to_list() == [4] * 5


def test_a_bar_without_a_successor_is_taken_after_the_settle_delay(tmp_path):
    with market(tmp_path, 100, 3) as live:
        (name,) = live.bars
        live.server.add(live.dataset, live.bars[name][:101])
        live.run(2 * 60)
        record = live.record()
        assert record.height == 2
        behind = record["server_time"][-1] - record["datetime"][-1] - timedelta(minutes=1)
        assert timedelta(seconds=2) <= behind <= timedelta(seconds=6)


def test_a_late_bar_is_awaited_and_a_later_one_does_not_hide_it(tmp_path):
    at = START * 1_000_000 + 102 * MINUTE
    with market(tmp_path, 100, 10, plans={at: Plan(late_s=150)}) as live:
        live.run(6 * 60 + 5)
        record = live.record()
        missed = record.filter(pl.col("datetime") == datetime(1970, 1, 1) + timedelta(microseconds=at))
        assert missed.height == 1 and missed["kind"].item() == "decision" and missed["late"].item()
        made = live.finish()
        alone = archive_alone(tmp_path, live.tasks[0], live.bars[live.dataset.symbol][:106])
        assert made["silver"].equals(alone["silver"])
        assert made["signals"].equals(alone["signals"])
        assert find_faults(record) == [] and find_gaps(record) == []


def test_a_bar_that_changes_after_its_close_becomes_a_revision(tmp_path):
    at = START * 1_000_000 + 101 * MINUTE
    with market(tmp_path, 100, 10, plans={at: Plan(changes_s=70)}) as live:
        live.run(5 * 60 + 5)
        record = live.record()
        of_bar = record.filter(pl.col("datetime") == datetime(1970, 1, 1) + timedelta(microseconds=at))
        assert of_bar["kind"].to_list() == ["decision", "revision"]
        assert of_bar["volume"][0] != of_bar["volume"][1]
        assert find_faults(record) == []
        made = live.finish()
        alone = archive_alone(tmp_path, live.tasks[0], live.bars[live.dataset.symbol][:105])
        assert made["silver"].equals(alone["silver"])


def test_the_local_clock_decides_nothing(tmp_path):
    for skew in (-3600, 3600):
        root = tmp_path / str(skew)
        root.mkdir()
        with market(root, 100, 200, skew_s=skew) as live:
            (name,) = live.bars
            live.run(2 * 60 + 5)
            over = [bar for bar in live.bars[name] if bar.end <= live.server.now()]
            record = live.record()
            assert record["datetime"].max() == datetime(1970, 1, 1) + timedelta(microseconds=over[-1].open_time)
            assert not record["late"].any()


def test_a_clock_that_is_set_loses_nothing(tmp_path):
    with market(tmp_path, 100, 40) as live, live.loop() as loop:
        for step in (-7200, 86_400):
            loop.run(until=loop.engine.server_now() + 3 * MINUTE + 5_000_000)
            live.clock.step(step)
            live.server.skew_s -= step
        loop.run(until=loop.engine.server_now() + 3 * MINUTE + 5_000_000)
        assert abs(loop.engine.reader.skew_s - 79_200) < 1
        record = live.record()
        assert record.height == 10 and not record["late"].any()
        assert find_gaps(record) == []


def test_an_outage_is_survived_and_said_once(tmp_path):
    class Ends(Heard):
        def trouble(self, error):
            super().trouble(error)
            if live.clock.elapsed() > since + 200:
                live.server.down = False

    with market(tmp_path, 100, 60) as live, live.loop(Ends()) as loop:
        loop.run(until=loop.engine.server_now() + 2 * MINUTE)
        since = live.clock.elapsed()
        live.server.down = True

        real_wait = live.clock.wait

        def wait(wake, seconds):
            if live.clock.elapsed() > since + 200:
                live.server.down = False
            return real_wait(wake, seconds)

        live.clock.wait = wait  # type: ignore[method-assign]
        loop.run(until=loop.engine.server_now() + 10 * MINUTE)
        assert len(loop.listener.troubles) == 1
        record = live.record()
        assert find_gaps(record) == [] and find_faults(record) == []
        assert record["late"].any() and not record["late"][-1]


def test_a_full_disk_is_survived_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    with market(tmp_path, 100, 60) as live, live.loop(Heard()) as loop:
        loop.run(until=loop.engine.server_now() + MINUTE)
        before = live.record()

        def no_space(source, target):
            if "decisions_" in str(target):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
            return link(source, target)

        link = os.link
        with monkeypatch.context() as full:
            full.setattr(os, "link", no_space)
            loop.run(until=loop.engine.server_now() + 2 * MINUTE)
        trouble = loop.listener.troubles[0]
        assert "No space left on device" in trouble.message and trouble.cure == "free some space"
        assert live.record().equals(before)
        loop.run(until=loop.engine.server_now() + MINUTE)
        record = live.record()
        assert find_gaps(record) == [] and find_faults(record) == []
        assert record.height == before.height + 3
        assert record["late"].to_list()[before.height :] == [True, False, False]


def test_a_ban_is_waited_for_without_a_request(tmp_path):
    with market(tmp_path, 100, 60) as live, live.loop(Heard()) as loop:
        loop.run(until=loop.engine.server_now() + MINUTE)
        live.server.retry_after_s = 300
        live.server.faults.append("418")
        asked = None

        real_wait = live.clock.wait

        def wait(wake, seconds):
            nonlocal asked
            if any(isinstance(error, Banned) for error in loop.listener.troubles) and asked is None:
                asked = (sum(live.server.requests.values()), live.clock.elapsed())
            if asked and live.clock.elapsed() < asked[1] + 290:
                assert sum(live.server.requests.values()) == asked[0]
            return real_wait(wake, seconds)

        live.clock.wait = wait  # type: ignore[method-assign]
        loop.run(until=loop.engine.server_now() + 10 * MINUTE)
        assert asked
        assert find_gaps(live.record()) == []


def test_a_place_that_is_not_served_ends_it(tmp_path):
    with market(tmp_path, 100, 10) as live, live.loop() as loop:
        live.server.faults.append("451")
        with pytest.raises(NotServed):
            loop.run(until=loop.engine.server_now() + 5 * MINUTE)


def test_two_services_never_decide_on_one_dataset(tmp_path):
    with market(tmp_path, 60, 5) as live, live.loop(), pytest.raises(DatasetLocked, match="record"):
        live.run(1)


def test_an_unknown_symbol_is_left_out_and_the_others_go_on(tmp_path):
    with market(tmp_path, 60, 5, symbols=2) as live:
        unknown = live.tasks[0].model_copy(update={"dataset": live.dataset.with_symbol("NOPEUSDT")})
        live.tasks.append(unknown)
        with live.loop() as loop:
            assert [series.dataset.symbol for series in loop.engine.series] == ["SIM000USDT", "SIM001USDT"]
            assert isinstance(loop.engine.refused["NOPEUSDT"], SymbolUnknown)
        live.tasks[:] = [unknown]
        with pytest.raises(SymbolUnknown), live.loop():
            pass


def test_once_brings_everything_up_to_date(tmp_path):
    with market(tmp_path, 200, 5) as live:
        live.clock.move(61)
        with live.loop() as loop:
            loop.once()
        assert live.record().height == 1
        (execution,) = [file for file in live.lake.gold.files("") if file.key.endswith("signals.parquet")]
        assert live.lake.gold.scan([execution]).collect().height == 201


def test_a_start_removes_heartbeats_of_processes_that_ended_long_ago(tmp_path):
    with market(tmp_path, 200, 20) as live, live.loop() as loop:
        gold, old, recent = live.lake.gold, f"{SERVICES}/old.json", f"{SERVICES}/recent.json"
        for key, days in ((old, 8), (recent, 6)):
            at = instant(loop.engine.server_now()) - timedelta(days=days)
            gold.write_bytes(key, json.dumps({"at": f"{at.isoformat()}Z"}).encode())
        loop.heartbeat.write(loop.engine)
        assert {file.key for file in gold.files(SERVICES, ".json")} == {recent, loop.heartbeat.key}


def test_status_files_say_what_holds(tmp_path):
    with market(tmp_path, 200, 10) as live:
        live.run(3 * 60 + 5)
        key = f"status/{live.dataset.signals_table('donchian_breakout')}.json"
        told = json.loads(live.lake.gold.read(key))
        record = live.record()
        assert told["position"] == record["position"][-1]
        assert told["record_head"] == record["hash"][-1]
        assert told["account_position"] == PaperAccount(account_of(live.tasks[0]), record).position
        assert told["stale"] is False
        assert datetime.fromisoformat(told["newest_bar"]).replace(tzinfo=None) == record["datetime"][-1]
        signalled = live.finish()["signals"].filter(pl.col("buy_signal") | pl.col("sell_signal"))
        assert told["last_signal"]["price"] == signalled["close"][-1]


def test_the_paper_account_of_a_long_record_is_known_once_it_was_read(tmp_path, monkeypatch):
    monkeypatch.setattr("hermes.live.service.MOST_BYTES", 0)
    with market(tmp_path, 200, 10) as live, live.loop() as loop:
        key = f"status/{live.dataset.signals_table('donchian_breakout')}.json"
        loop._publish()
        assert json.loads(live.lake.gold.read(key))["account_position"] is None
        loop.run(until=loop.engine.server_now() + 2 * MINUTE)
        told, record = json.loads(live.lake.gold.read(key)), live.record()
        assert told["account_position"] == PaperAccount(account_of(live.tasks[0]), record).position
        assert told["record_head"] == record["hash"][-1]
        monkeypatch.setattr("hermes.live.status.MOST_BYTES", 0)
        assert records(live.tasks[0], live.lake, [live.dataset.symbol]) == {}
        assert status(live.tasks[0], live.lake)["account_position"] == told["account_position"]


def test_the_archive_outranks_what_was_seen_live_and_says_so_on_record(tmp_path):
    from tests.live.live_market import write_archive

    with market(tmp_path, 100, 20) as live:
        bars = live.bars[live.dataset.symbol]
        live.run(5 * 60 + 5)
        other = [
            Bar((*bar.cells[:5], "123.5", *bar.cells[6:])) if at == 103 else bar for at, bar in enumerate(bars[:106])
        ]
        day = live.dataset.with_frequency("daily")
        write_archive(tmp_path / "archive", day, other)
        with live.loop() as loop:
            from hermes import pipeline

            pipeline.ingest(live.tasks[0], live.lake, frequencies=["daily"])
            loop._tables.consolidate(loop.engine.series[0])
            loop.run(until=loop.engine.server_now() + 2 * MINUTE)
        record = live.record()
        revised = record.filter(pl.col("kind") == "revision")
        assert revised["volume"].to_list() == [123.5]
        assert find_faults(record) == []
        from hermes.steps.refine import read_quality

        assert read_quality(live.dataset, live.lake).tally.conflicts == 1


def test_days_that_are_over_become_one_file(tmp_path):
    with market(tmp_path, 30, 4 * 24, interval="1h", flags={"live.consolidate": "never"}) as made:
        for _ in range(3):
            made.run(24 * 3600)
        made.run(3 * 3600)
        with made.loop() as loop:
            loop.once()
        table = DecisionsTable(made.lake, STRATEGY, made.dataset.market, made.dataset.interval)
        days: dict[str, list[str]] = {}
        for file in table.files():
            folder, _, name = file.key.rpartition("/")
            days.setdefault(folder, []).append(name)
        *over, _ = (days[folder] for folder in sorted(days))
        assert len(over) >= 3
        assert all(len(names) == 1 and names[0].startswith("day_") for names in over)
        assert find_faults(table.read(with_files=True), whole=True) == []


def test_a_bar_that_changed_while_nothing_ran_becomes_a_revision(tmp_path):
    at = START * 1_000_000 + 102 * MINUTE
    with market(tmp_path, 100, 20, plans={at: Plan(changes_s=70)}) as live:
        live.run(3 * 60 + 5)
        live.clock.move(120)
        live.run(70)
        record = live.record()
        of_bar = record.filter(pl.col("datetime") == datetime(1970, 1, 1) + timedelta(microseconds=at))
        assert of_bar["kind"].to_list() == ["decision", "revision"]
        assert find_faults(record) == [] and find_gaps(record) == []


def test_pauses_grow_up_to_a_limit_however_long_nothing_answers():
    pauses = [growing(0.02, times, 30.0) for times in (0, 1, 2, 5_000)]
    assert pauses == pytest.approx([0.02, 0.028, 0.0392, 30.0])
