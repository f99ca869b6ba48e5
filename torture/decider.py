"""A live process of the suite `record`, which is killed: `python -m torture.decider '{"url": …}'`."""

import json
import sys
import time
from contextlib import ExitStack
from typing import Any

from hermes.lake.store import Lake
from hermes.live.engine import Engine
from hermes.live.exchange import Exchange
from hermes.live.loop import Loop
from hermes.settings import Settings
from hermes.testing.clock import FastClock
from torture import mutants


def settings_of(given: dict[str, Any]) -> Settings:
    """What the process runs with; bars of an hour count as late after one."""
    return Settings.load(
        lake={"url": given["lake"]},
        dataset={"symbol": given["symbol"], "interval": "1h"},
        strategy={"smart_momentum": given["parameters"]},
        live={"url": given["url"], "settle_seconds": 60.0, "poll_seconds": 600.0, "consolidate": "never"},
        record={"late_seconds": 3600.0},
        archive={"url": given["archive"]},
        environ={},
    )


def decide(given: dict[str, Any], *, once: bool = False) -> None:
    """Decide on bars as they close, until the end; `once` only on what is closed by now."""
    now = given["origin"] + (time.time() - given["began"]) * given["speed"]
    clock, settings = FastClock(now, given["speed"]), settings_of(given)
    exchange = Exchange("spot", settings.live, clock)
    try:
        with ExitStack() as stack:
            loop = Loop(Engine.start([settings], Lake.open(settings), exchange, stack))
            loop.once() if once else loop.run(until=round(given["end"] * 1e6))
    finally:
        exchange.close()


if __name__ == "__main__":
    mutants.apply()
    decide(json.loads(sys.argv[1]))
