"""One notice on its way: signature, retries, and what is never said."""

import base64
import contextlib
import hashlib
import hmac
import socket
import threading
from collections.abc import Callable

import pytest
from tests.monitoring.receiver import Receiver

from hermes.errors import NoticeRefused
from hermes.monitoring import webhook
from hermes.monitoring.webhook import send, signature
from hermes.settings.sections import NotifySettings

SECRET = "correct horse battery staple"


def settings(receiver: Receiver, secret: str | None = SECRET) -> NotifySettings:
    return NotifySettings(url=receiver.url, secret=secret)


def test_a_receiver_can_verify_it_from_the_bytes(receiver: Receiver):
    send(settings(receiver), "the-id", {"symbol": "币安人生USDT"})
    (got,) = receiver.received
    assert got.path == "/hooks/T0KEN"
    assert got.json() == {"symbol": "币安人生USDT"}
    assert got.headers["content-type"] == "application/json"
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"
    assert got.headers["webhook-id"] == "the-id"


def test_the_example_of_standard_webhooks():
    # From the specification's own test vector.
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_whsec_secret_that_is_not_base64(receiver: Receiver):
    with pytest.raises(NoticeRefused, match="not base64"):
        send(settings(receiver, "whsec_#"), "id", {})
    assert not receiver.received


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_there_is_no_signature(receiver: Receiver, secret: str | None):
    send(settings(receiver, secret), "id", {})
    assert "webhook-signature" not in receiver.received[0].headers


@pytest.mark.parametrize("answers", [[500], [503, 500], [429], [408, 425]])
def test_what_may_pass_is_tried_again(receiver: Receiver, pauses: list[float], answers: list[int]):
    receiver.answers = list(answers)
    send(settings(receiver), "id", {"n": 1})
    assert len(receiver.received) == len(answers) + 1
    assert {each.headers["webhook-id"] for each in receiver.received} == {"id"}
    assert pauses == list(webhook.PAUSES_S[: len(answers)])


def test_after_three_attempts_it_gives_up(receiver: Receiver):
    receiver.answers = [500, 502, 503]
    with pytest.raises(NoticeRefused, match=r"127\.0\.0\.1 did not take a notice: HTTP 503"):
        send(settings(receiver), "id", {})
    assert len(receiver.received) == 3


@pytest.mark.parametrize("answer", [400, 401, 404, 410, 422])
def test_a_refusal_is_not_tried_again(receiver: Receiver, pauses: list[float], answer: int):
    receiver.answers = [answer]
    with pytest.raises(NoticeRefused, match=f"HTTP {answer}"):
        send(settings(receiver), "id", {})
    assert len(receiver.received) == 1
    assert pauses == []


@pytest.mark.parametrize("answer", [301, 302, 307])
def test_redirects_are_not_followed(receiver: Receiver, answer: int):
    receiver.answers = [answer]
    with pytest.raises(NoticeRefused, match=f"HTTP {answer}"):
        send(settings(receiver), "id", {})
    assert [each.path for each in receiver.received] == ["/hooks/T0KEN"]


def test_a_receiver_that_never_answers(receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.05)
    receiver.answers = [None, None, None]
    with pytest.raises(NoticeRefused, match="timed out"):
        send(settings(receiver), "id", {})
    assert len(receiver.received) == 3


def test_nobody_listens(pauses: list[float]):
    with pytest.raises(NoticeRefused, match="refused"):
        send(NotifySettings(url="http://127.0.0.1:9/T0KEN"), "id", {})
    assert pauses == list(webhook.PAUSES_S)


def test_neither_secret_nor_address_is_told(receiver: Receiver, load: Callable, caplog: pytest.LogCaptureFixture):
    receiver.answers = [400]
    with pytest.raises(NoticeRefused) as refused:
        send(settings(receiver), "id", {})
    notify = settings(receiver)
    for text in (str(refused.value), repr(refused.value), repr(notify), caplog.text):
        assert "T0KEN" not in text
        assert SECRET not in text


def test_a_receiver_that_drips_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch):
    """Every wait on the connection ends in time, and together they would never end."""
    over = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            while not over.is_set():
                connection.sendall(b"H")  # a status line that never ends
                over.wait(0.05)

    monkeypatch.setattr(webhook, "DEADLINE_S", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        notify = NotifySettings(url=f"http://127.0.0.1:{server.getsockname()[1]}/hook")
        with pytest.raises(NoticeRefused, match=r"did not take a notice: no answer within 0\.4 s"):
            send(notify, "id", {})
        over.set()
