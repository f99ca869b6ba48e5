"""A strategy that reads a longer interval decides live what a replay and the archive decide."""

from pathlib import Path

import polars as pl
import pytest
from tests.live import live_market
from tests.live.live_market import archive_alone, decided, market
from tests.steps.test_longer_intervals import STRATEGY

BARS = ["datetime", "ema_5@1d", "is_above", "was_below", "buy_signal", "sell_signal", "position"]


def test_live_is_replay_is_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "daily.py").write_text(STRATEGY)
    monkeypatch.setattr(live_market, "STRATEGY", f"{tmp_path}/daily.py")
    with market(tmp_path, 60, 20, interval="4h") as live:
        patient = live.tasks[0].live.model_copy(update={"poll_seconds": 3_600.0})
        live.tasks[0] = live.tasks[0].model_copy(update={"live": patient})
        live.run(8 * 14_400 + 60)  # longer than a day: longer bars end on the way
        live.clock.move(5 * 14_400)  # and one that a process which was not there finds out later
        live.run(2 * 14_400 + 60)
        over = [bar for bar in live.bars[live.dataset.symbol] if bar.end <= live.server.now()]
        monkeypatch.setattr(live_market, "STRATEGY", "daily")
        record, made = decided(live.record()), live.finish()
        alone = archive_alone(tmp_path, live.tasks[0], over)
    assert record.height == 16
    assert record["ema_5@1d"].n_unique() >= 3, "days ended while it was live"
    assert made["signals"].equals(alone["signals"])
    expected = alone["signals"].filter(pl.col("datetime") >= record["datetime"][0])
    assert record.select(BARS).equals(expected.select(BARS))
