"""The thread that tells receivers: whatever goes wrong there, it goes on and tries again."""

from pathlib import Path
from threading import Event
from types import SimpleNamespace

import polars as pl
import pytest

from hermes.errors import StoreError
from hermes.lake.store import Lake
from hermes.live import watcher
from hermes.live.watcher import Watcher
from hermes.settings import Settings


@pytest.mark.parametrize("fault", [pl.exceptions.PanicException, OSError, StoreError])
def test_a_delivery_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException]
):
    settings = Settings.load({"lake.url": str(tmp_path / "{layer}")}, environ={})
    delivered, tries = Event(), []

    class Outbox:
        def __init__(self, lake: Lake, table: str) -> None:
            assert table.startswith("trading_signals_")

        def deliver(self, receivers: object, seconds: float) -> object:
            tries.append(receivers)
            if len(tries) < 3:
                raise fault("no")
            delivered.set()
            return SimpleNamespace(waiting=0, problems=[])

    monkeypatch.setattr(watcher, "Outbox", Outbox)
    monkeypatch.setattr(watcher, "RETRY_S", 0.001)
    monkeypatch.setattr(watcher, "find_receivers", lambda notify: ["somebody"])
    watching = Watcher({"BTCUSDT": settings}, Lake.open(settings), "smart_momentum")
    watching._waiting.add("BTCUSDT")  # as after a receiver that took nothing
    assert delivered.wait(10)
    watching.close(10)
    assert len(tries) == 3
    assert not watching._waiting
