"""Live on a lake in S3: the same rows as in a folder, one process at a time, and nothing torn by a kill."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.live.live_market import archive_alone, decided, market
from tests.live.test_law import Killed, die_at
from tests.s3_server import S3Server

from hermes.errors import DatasetLocked
from hermes.live.status import heartbeats
from hermes.record.verification import find_faults, find_gaps


@pytest.fixture
def flags(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    monkeypatch.setattr("hermes.lake.backends.lease.RENEW_S", 0.2)
    monkeypatch.setattr("hermes.lake.backends.lease.LEASE_S", 0.5)  # of one that was killed
    return {"lake.url": f"s3://live-{{layer}}/{uuid.uuid4().hex}", **s3_server.flags()}


def test_live_on_s3_is_the_archive_alone(tmp_path: Path, flags: Mapping[str, str]):
    with market(tmp_path, 200, 40, symbols=2, flags=flags) as live:
        with live.loop() as loop:
            with pytest.raises(DatasetLocked, match="the record of SIM000USDT"):
                live.run(1)
            loop.run(until=loop.engine.server_now() + 185_000_000)
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, 7)  # between the decisions and the bars of a close
            with pytest.raises(Killed):
                live.run(300)
        live.run(185)
        record = live.record()
        assert find_faults(record) == [] and find_gaps(record) == []
        (symbol, bars), *_ = live.bars.items()
        mine = decided(record.filter(record["symbol"] == symbol))
        alone = archive_alone(tmp_path, live.tasks[0], [bar for bar in bars if bar.end <= live.server.now()])
        made = live.finish()
        for name, table in made.items():
            assert table.equals(alone[name]), name
        names = ["datetime", "open", "high", "low", "close", "volume", "buy_signal", "sell_signal", "position"]
        assert mine.select(names).equals(alone["signals"].tail(mine.height).select(names))
        name = live.dataset.signals_table("donchian_breakout")
        told = json.loads(live.lake.gold.read(f"status/{name}.json") or b"")
        assert told["record_head"] == mine["hash"][-1] and name in heartbeats(live.lake)
