"""Series longer than what stays in memory: decisions from a tail are those of the whole history."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.live.live_market import MINUTE, archive_alone, decided, market

from hermes.live import history, series
from hermes.live.history import Computed, position_before
from hermes.live.series import Series
from hermes.stages.gold import blocks
from hermes.stages.signals.plan import signals
from hermes.strategies import find_strategy

LEAD, WHOLE = 300, 900
SEED_BARS = 4_000


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The constants a hundredth of what they are, and a tolerance that so short a lead can reach."""
    monkeypatch.setattr(history, "WHOLE_BARS", WHOLE)
    monkeypatch.setattr(blocks, "LEAD", LEAD)
    monkeypatch.setattr(blocks, "TOLERANCE", 1e-6)


def test_what_is_decided_from_the_tail_is_what_the_archive_gives(tmp_path: Path, short_memory: None):
    with market(tmp_path, SEED_BARS, 400) as live:
        heights = []
        with live.loop() as loop:
            (held,) = loop.engine.series
            assert held.lead > 0 and held.bars.height < SEED_BARS
            for _ in range(7):
                live.clock.move(49 * 60)  # as a machine that slept: all its bars are decided on together
                loop.run(until=loop.engine.server_now() + MINUTE)
                heights.append(held.bars.height)
        assert max(heights) <= 2 * held.lead + LEAD + 50, "memory grows with history"
        assert min(heights) < heights[0], "nothing was dropped"
        record = decided(live.record())
        alone = archive_alone(tmp_path, live.tasks[0], live.bars[live.dataset.symbol][: SEED_BARS + 350])
        names = ["datetime", "close", "buy_signal", "sell_signal", "position"]
        assert record.height > 345
        expected = alone["signals"].filter(pl.col("datetime") >= record["datetime"][0]).head(record.height)
        assert record.select(names).equals(expected.select(names))
        assert record["buy_signal"].any() and record["sell_signal"].any()


def test_the_position_at_any_bar_is_that_of_the_whole_history(
    tmp_path: Path, short_memory: None, monkeypatch: pytest.MonkeyPatch
):
    with market(tmp_path, SEED_BARS, 5, flags={"signals.strategy": "smart_momentum"}) as live:
        live.finish()
        settings, lake = live.tasks[0], live.lake
        read, rows = history.silver_reader(settings, lake)
        strategy = find_strategy("smart_momentum").make({})  # its turns are rare: what was held before matters for long
        compute = Computed(settings, strategy)
        table = compute(read(0, rows))
        whole = signals(table, strategy, 0, 0)
        for end in range(WHOLE + 1, rows, 397):
            assert position_before(read, end, compute, strategy, None) == whole["position"][end - 1], end
        start = whole["datetime"][rows // 2]
        later = signals(table.slice(rows // 2 - 1), strategy, 1, 0)
        for end in range(rows // 2 - 50, rows, 397):
            expected = later["position"][end - 1 - rows // 2] if end > rows // 2 else 0
            assert position_before(read, end, compute, strategy, start) == expected, end
        turned = 0
        for end in range(WHOLE + 100, rows, 197):
            monkeypatch.setattr(series, "silver_reader", lambda *_, end=end: (read, end))
            held = Series.load(settings, strategy, lake, None)
            known = held.judged(held.bars["datetime"][held.lead])
            assert known["position"].equals(whole["position"][end - known.height : end]), end
            turned += whole["position"][end - known.height - 1] != whole["position"][max(0, end - 2 * held.lead - 1)]
        assert turned, "nothing turned within a lead"


def test_a_start_within_the_lead_begins_flat(tmp_path: Path, short_memory: None):
    with market(tmp_path, 2_000, 30) as live:
        begin = live.bars[live.dataset.symbol][0].open_time
        for bars_before_the_end in (1_990, 700, 10):
            at = series.instant(begin) + timedelta(minutes=2_000 - bars_before_the_end)
            own = live.tasks[0].signals.model_copy(update={"start": at})
            live.tasks[0] = live.tasks[0].model_copy(update={"signals": own})
            with live.loop() as loop:
                (held,) = loop.engine.series
                judged = held.judged(held.newest)
            whole = archive_alone(tmp_path / str(bars_before_the_end), live.tasks[0],
                                  live.bars[live.dataset.symbol][:2_000])["signals"]  # fmt: skip
            assert judged["position"].to_list() == whole["position"][-1:].to_list()


HOURLY = """
import polars as pl
from hermes.strategies.base import Strategy

class Hourly(Strategy):
    name = "hourly"
    columns = ("sma_30@1h",)
    look_back = 0

    def conditions(self):
        return {"is_above": pl.col("close") > pl.col("sma_30@1h")}

    def buy(self):
        return pl.col("is_above")

    def sell(self):
        return ~pl.col("is_above")
"""


def test_a_tail_is_long_enough_for_a_column_of_a_longer_interval(tmp_path: Path, short_memory: None):
    (tmp_path / "hourly.py").write_text(HOURLY)
    with (
        market(tmp_path, SEED_BARS, 5, flags={"signals.strategy": f"{tmp_path}/hourly.py"}) as live,
        live.loop() as loop,
    ):
        (held,) = loop.engine.series
        judged = held.judged(held.bars["datetime"][-5])
        bars = live.bars[live.dataset.symbol][:SEED_BARS]
        whole = archive_alone(tmp_path, live.tasks[0], bars)["signals"].tail(5)
    assert judged["sma_30@1h"].null_count() == 0, "30 hours of minutes are more than the first lead that is tried"
    assert judged.select("datetime", "is_above", "position").equals(whole.select("datetime", "is_above", "position"))
