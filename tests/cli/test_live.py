"""`hermes live` and `hermes status` as processes: they keep running, end within a second, and report the status."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hermes.cli.views.live import _short
from hermes.dataset import Dataset
from hermes.lake.store import Lake
from hermes.record.table import DecisionsTable
from hermes.record.verification import find_faults
from hermes.settings import Settings
from hermes.testing.exchange import SimulatedExchange, random_bars

HERMES = Path(sys.executable).with_name("hermes")
SECONDS = Dataset(symbol="SIMUSDT", interval="1s")


@pytest.fixture(scope="module")
def exchange():
    """Bars of one second each, from a few minutes ago until long after the tests."""
    with SimulatedExchange() as server:
        begin = int(time.time()) - 300
        for symbol in ("SIMUSDT", "SIM2USDT"):
            dataset = SECONDS.with_symbol(symbol)
            server.add(dataset, random_bars(dataset, begin * 1_000_000, 2_000))
        yield server


def hermes(folder: Path, exchange: SimulatedExchange, *words: str) -> "subprocess.Popen[str]":
    environ = {
        **os.environ,
        "HERMES_LIVE__URL": exchange.url,
        "HERMES_DATASET__INTERVAL": "1s",
        "HERMES_LAKE__URL": str(folder / "{layer}"),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [HERMES, *words],
        cwd=folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_it_stays_decides_and_ends_within_a_second_of_sigterm(tmp_path, exchange):
    process = hermes(tmp_path, exchange, "live", "SIMUSDT", "SIM2USDT", "--json")
    lines = [json.loads(process.stdout.readline()) for _ in range(9)]
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    took = time.monotonic() - asked
    assert process.returncode == 0, err
    assert took < 3, "a second, and what a busy machine takes"
    assert "stopped: no partial output; rerun to resume" in err
    lines += [json.loads(line) for line in out.splitlines()]
    decisions = [line for line in lines if line["event"] == "decision"]
    assert {line["symbol"] for line in decisions} == {"SIMUSDT", "SIM2USDT"}
    for symbol in ("SIMUSDT", "SIM2USDT"):
        assert [line["sequence"] for line in decisions if line["symbol"] == symbol] == list(
            range(sum(line["symbol"] == symbol for line in decisions))
        )

    status = hermes(tmp_path, exchange, "status", "--json")
    out, err = status.communicate(timeout=60)
    told = json.loads(out)["datasets"]
    assert [each["symbol"] for each in told] == ["SIM2USDT", "SIMUSDT"]
    keys = {
        "symbol", "market", "interval", "strategy", "parameters", "newest_bar", "age_seconds", "expected_bar", "stale",
        "position", "account_position", "since", "last_signal", "next_close", "heartbeat", "record_head",
    }  # fmt: skip
    assert set(told[0]) == keys
    lake = Lake.open(Settings.load(lake={"url": str(tmp_path / "{layer}")}))
    record = DecisionsTable(lake, "smart_momentum", "spot", "1s").read(["SIMUSDT"])
    assert told[1]["record_head"] == record["hash"][-1]
    assert find_faults(record) == []
    printed = [line["hash"] for line in decisions if line["symbol"] == "SIMUSDT"]
    assert printed == record["hash"].to_list()[: len(printed)], "what was printed is on record"
    assert status.returncode == (3 if told[0]["stale"] or told[1]["stale"] else 0)


def test_once_ends_by_itself_and_people_get_a_table(tmp_path, exchange):
    process = hermes(tmp_path, exchange, "live", "SIMUSDT", "--once")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? SIMUSDT closed at [\d,.]+: (flat|long)", out)
    status = hermes(tmp_path, exchange, "status")
    out, _ = status.communicate(timeout=60)
    assert ("STALE" in out) == (status.returncode == 3) and "SIMUSDT" in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("live", "NOPEUSDT"), 1, "knows no symbol NOPEUSDT"),
        (("live", "SIMUSDT", "--once", "--until", "2030-01-01"), 2, "--once cannot be combined with --until"),
        (("live", "SIMUSDT", "--until", "tomorrow"), 2, "is not a time"),
        (("status", "NEVERUSDT"), 1, "has no bar of NEVERUSDT"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, exchange, words, code, said):
    process = hermes(tmp_path, exchange, *words)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, said in err) == (code, True), err
    assert "Traceback" not in err


@pytest.mark.parametrize(("at", "shown"), [("2026-11-27T03:00:00Z", "03:00"), ("2026-11-27T03:00:41Z", "03:00:41")])
def test_bars_of_seconds_are_told_apart(at: str, shown: str):
    assert _short(at) == f"2026-11-27 {shown}"
