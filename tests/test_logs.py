"""What is logged, as it stands on stderr."""

import json
import logging
from collections.abc import Iterator

import pytest

from hermes import logs
from hermes.redaction import remember


@pytest.fixture(autouse=True)
def text_again() -> Iterator[None]:
    yield
    logs.to_stderr("text")


def test_people_see_warnings_only(capsys: pytest.CaptureFixture):
    logs.to_stderr("text")
    logs.event("step", rows=5)
    logs.event("error", level=logging.ERROR, message="has a line of its own")
    logs.event("upkeep", level=logging.WARNING, message="nobody took it")
    assert capsys.readouterr() == ("", "warning: nobody took it\n")


def test_schedulers_see_everything_one_object_a_line(capsys: pytest.CaptureFixture):
    logs.to_stderr("json")
    logs.event("step", dataset="币安人生USDT 4h", rows=5)
    logging.getLogger("hermes.lock").warning("%s: two\nlines", "BTCUSDT 4h")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["dataset"], first["rows"]) == ("step", "info", "币安人生USDT 4h", 5)
    assert (second["event"], second["level"], second["message"]) == (
        "hermes.lock",
        "warning",
        "BTCUSDT 4h: two\nlines",
    )


@pytest.mark.parametrize("format", ["text", "json"])
def test_known_secrets_are_masked(capsys: pytest.CaptureFixture, format: str):
    remember("hunter2-hunter2")
    logs.to_stderr(format)
    logs.event("upkeep", level=logging.WARNING, message="it is hunter2-hunter2", error="hunter2-hunter2")
    err = capsys.readouterr().err
    assert "********" in err
    assert "hunter2" not in err


def test_asked_for_twice_it_is_written_once(capsys: pytest.CaptureFixture):
    logs.to_stderr("json")
    logs.to_stderr("json")
    logs.event("step")
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "environ", "format"),
    [
        ("run", {}, "text"),
        ("run --log-format json", {}, "json"),
        ("run --log-format=json --json", {}, "json"),
        ("run --log-format json --log-format text", {}, "text"),
        ("run --log-format", {"HERMES_LOG__FORMAT": "json"}, "json"),
        ("run --log-format text", {"HERMES_LOG__FORMAT": "json"}, "text"),
    ],
)
def test_the_format_is_known_before_anything_is_checked(line: str, environ: dict[str, str], format: str):
    assert logs.wanted(line.split(), environ) == format
