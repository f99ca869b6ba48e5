"""Texts for people: what they say, what they hide, and that a real receiver gets them."""

import json

import pytest
from tests.monitoring.receiver import Receiver, listening

from hermes.errors import NoticeRefused
from hermes.monitoring.receivers import receiver_name, send
from hermes.settings.templates import FIELDS, check_template, fill

SIGNAL = {
    "event": "signal",
    "id": "a1",
    "dataset": {"provider": "binance", "market": "spot", "symbol": "BTCUSDT", "interval": "4h"},
    "simulated": False,
    "kind": "buy",
    "open_time": "2026-11-25T08:00:00Z",
    "close_time": "2026-11-25T12:00:00Z",
    "price": 91311.5,
    "position": 1,
    "strategy": "smart_momentum",
    "why": ["ema_cross", "rsi_neutral"],
    "execution": "s3://gold/x",
}


@pytest.fixture
def receiver():
    with listening() as receiver:
        yield receiver


def json_address(receiver: Receiver, secret: str = "") -> str:
    return receiver.url.replace("http://", f"json://{secret}")


def test_template_is_filled_and_lines_without_a_value_are_left_out():
    text = "{kind} {symbol} at {price:,.2f}\nwhy: {why}\nrecord {record_head}\nHermes places no orders"
    assert fill(text, SIGNAL) == "buy BTCUSDT at 91,311.50\nwhy: ema_cross, rsi_neutral\nHermes places no orders"
    assert fill("{record_head:>8}|", SIGNAL | {"record_head": "ab"}) == "ab|"
    assert fill("{late} {simulated}", SIGNAL | {"late": True, "simulated": True}) == "late SIMULATED"
    assert fill("{position}", SIGNAL | {"position": 0}) == "0"


@pytest.mark.parametrize(
    "text", ["{nonsense}", "{price.real}", "{0}", "{", "{symbol!r:x} {}", "{price:zz}", "{why:.2f}"]
)
def test_template_that_cannot_be_filled_is_refused(text):
    with pytest.raises(ValueError):
        check_template(text)


def test_template_may_name_every_field():
    assert check_template(" ".join(f"{{{name}}}" for name in FIELDS))


def test_receiver_gets_title_and_text(receiver):
    send(json_address(receiver), 0, "BTCUSDT buy", "at 91311.5\nnow long")
    (got,) = receiver.received
    assert json.loads(got.body)["title"] == "BTCUSDT buy"
    assert json.loads(got.body)["message"] == "at 91311.5\nnow long"


def test_address_is_never_told(receiver, caplog):
    receiver.answers = [500]
    with pytest.raises(NoticeRefused) as refused:
        send(json_address(receiver, "user:S3CRET@"), 2, "a", "b")
    assert str(refused.value).startswith("notify.urls[2] (json) did not take a notice")
    assert "S3CRET" not in str(refused.value) + caplog.text
    assert "T0KEN" not in str(refused.value) + caplog.text


@pytest.mark.parametrize("address", ["nonsense://S3CRET", "S3CRET", "tgram://"])
def test_address_that_nobody_knows_is_refused_without_showing_it(address, caplog):
    with pytest.raises(NoticeRefused, match=r"notify.urls\[0\].* is not an address that Apprise knows") as refused:
        send(address, 0, "a", "b")
    assert "S3CRET" not in str(refused.value) + caplog.text


def test_receivers_are_called_by_service():
    assert receiver_name("mailtos://me:pw@host", 1) == "notify.urls[1] (mailtos)"
    assert receiver_name("123:S3CRET", 1) == "notify.urls[1]"
