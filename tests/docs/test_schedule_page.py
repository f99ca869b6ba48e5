"""The receiver's check in docs/schedule.md takes what Hermes signs, and nothing else."""

from tests.docs.pages import blocks

from hermes.monitoring.webhook import signature

SECRET = "whsec_c2l4dGVlbiBieXRlcyBvciBtb3Jl"


def test_the_check_of_a_notice():
    (check,) = (block.text for block in blocks("docs/schedule.md") if "def genuine" in block.text)
    made: dict = {}
    exec(check, made)
    body = b'{"event": "signal"}'
    headers = {
        "webhook-id": "one",
        "webhook-timestamp": "1700000000",
        "webhook-signature": signature(SECRET, "one", 1700000000, body),
    }
    assert made["genuine"](headers, body, SECRET)
    assert not made["genuine"](headers, body + b" ", SECRET)
    assert not made["genuine"](headers | {"webhook-id": "two"}, body, SECRET)
    assert not made["genuine"](headers, body, "whsec_YW5vdGhlciBzZWNyZXQ=")
