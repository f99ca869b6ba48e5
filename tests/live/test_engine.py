"""A panic of Polars, which is no `Exception`, ends the service wherever it happens: nothing waits for it."""

import pytest
from polars.exceptions import PanicException
from tests.live.live_market import market

from hermes.live import engine as engine_module
from hermes.live.exchange import Exchange


def panic(*_: object, **__: object) -> None:
    raise PanicException("at src/lib.rs")


@pytest.mark.parametrize("symbols", [1, 3])
def test_a_panic_while_catching_up_ends_the_service(tmp_path, monkeypatch, symbols):
    with market(tmp_path, 100, 3, symbols=symbols) as live:
        monkeypatch.setattr(engine_module, "top_up", panic)
        with pytest.raises(PanicException):
            live.run(60)


def test_a_panic_while_reading_ends_the_service(tmp_path, monkeypatch):
    with market(tmp_path, 100, 3) as live, live.loop() as loop:
        monkeypatch.setattr(Exchange, "read", panic)
        with pytest.raises(PanicException):
            loop.run(until=loop.engine.server_now() + 120_000_000)
