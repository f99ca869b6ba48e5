"""A start waits for what passes by itself, so that no dataset is left out for the life of a process."""

import pytest
from tests.live.live_market import market

from hermes.errors import DatasetLocked, ExchangeError


def test_a_start_waits_for_a_run_that_holds_a_dataset(tmp_path, monkeypatch):
    with market(tmp_path, 60, 10, symbols=2) as live:
        held = live.lake.locked(live.dataset, "run")
        held.__enter__()
        wait = live.clock.wait

        def until_the_run_ends(wake, seconds):
            if live.clock.elapsed() > 20:
                held.__exit__(None, None, None)
                monkeypatch.setattr(live.clock, "wait", wait)
            return wait(wake, seconds)

        monkeypatch.setattr(live.clock, "wait", until_the_run_ends)
        with live.loop() as loop:
            assert not loop.engine.refused and len(loop.engine.series) == 2


def test_a_dataset_that_stays_locked_is_left_out_after_a_while_or_refused(tmp_path):
    with market(tmp_path, 60, 10, symbols=2) as live, live.lake.locked(live.dataset, "run"):
        with live.loop() as loop:
            assert isinstance(loop.engine.refused[live.dataset.symbol], DatasetLocked)
        del live.tasks[1]
        with pytest.raises(DatasetLocked, match="`hermes run`"), live.loop():
            pass


def test_a_network_that_is_lost_while_many_catch_up_is_waited_for(tmp_path):
    with market(tmp_path, 60, 10, symbols=3) as live:
        live.server.faults.extend(["503"] * 40)  # more than the attempts of one request
        with live.loop() as loop:
            assert not loop.engine.refused and len(loop.engine.series) == 3
    (tmp_path / "alone").mkdir()
    with market(tmp_path / "alone", 60, 10) as live:
        live.server.faults.extend(["503"] * 40)
        with pytest.raises(ExchangeError, match="HTTP 503"), live.loop():
            pass
