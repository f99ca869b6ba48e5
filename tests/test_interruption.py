"""Polars hears of a signal only when what it prints is hidden, and then stops, whichever signal it was."""

import json
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from polars.exceptions import ComputeError, PanicException

from hermes import interruption

CHILD = """
import json, os, signal, sys, time
from hermes import interruption

made, seen = 0, {}

def silence():
    seen["before"], begun = made, time.monotonic()
    while made == seen["before"] and time.monotonic() < begun + 10:
        time.sleep(0.01)
    seen["meanwhile"] = made

interruption.listen(silence)

import polars as pl
from polars.io.plugins import register_io_source
import hermes.lake.store

def endless(*_):
    global made
    while True:
        made += 1
        if made == 20:
            os.kill(os.getpid(), int(sys.argv[1]))
        yield pl.DataFrame({"a": [made]})

try:
    register_io_source(endless, schema={"a": pl.Int64}).select(pl.len()).collect(engine="streaming")
except KeyboardInterrupt:
    for _ in range(100_000):  # whatever is still to be raised is raised here
        pass
    print(json.dumps({**seen, "code": interruption.exit_code()}), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_polars_is_told_after_its_output_is_hidden(number: signal.Signals, code: int):
    words = [sys.executable, "-c", CHILD, str(int(number))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    seen = json.loads(done.stdout)
    assert seen["meanwhile"] > seen["before"] >= 20
    assert seen["code"] == code


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), True),
        (PanicException('JoinError::Panic(Id(1), "__POLARS_ABORT_KEYBOARD_INTERRUPT", ...)'), True),
        (ComputeError("__POLARS_ABORT_KEYBOARD_INTERRUPT"), True),
        (PanicException("index out of bounds"), False),
        (None, False),
    ],
)
def test_an_interruption_is_known_in_any_form(error: BaseException | None, expected: bool):
    assert interruption.is_interruption(error) is expected


def test_it_is_raised_once_and_never_while_it_is_handled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(interruption, "told", None)
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        interruption._end(signal.SIGINT, None)  # of Polars: cleaning up goes on
    assert interruption.told == signal.SIGINT
    interruption._end(signal.SIGTERM, None)
    assert interruption.exit_code() == 130
    monkeypatch.setattr(interruption, "told", None)
    with pytest.raises(interruption.Ended):
        interruption._end(signal.SIGTERM, None)
    assert interruption.exit_code() == 143


def test_it_is_raised_again_where_nothing_could_catch_it(monkeypatch: pytest.MonkeyPatch):
    called = threading.Event()
    numbers: list[int] = []
    monkeypatch.setattr(interruption, "told", signal.SIGTERM)
    monkeypatch.setattr("_thread.interrupt_main", lambda number: (numbers.append(number), called.set()))
    interruption._lost(SimpleNamespace(exc_value=interruption.Ended()))  # type: ignore[arg-type]
    assert called.wait(10)
    assert numbers == [signal.SIGTERM]
    assert interruption.told is None
