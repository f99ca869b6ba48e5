"""Secrets are masked in every text, and only they."""

import pytest

from hermes import redaction
from hermes.redaction import open_cause, redact, remember


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())


def test_what_is_remembered_is_masked_everywhere():
    remember("canary-1234")
    remember("canary-1234-longer")
    assert redact("a canary-1234-longer b canary-1234 c") == "a ******** b ******** c"
    assert redact("nothing here") == "nothing here"


def test_a_word_is_no_secret():
    remember("hermes")
    remember("")
    assert redact("run hermes again") == "run hermes again"


def test_a_cause_keeps_its_type_unless_it_holds_a_secret():
    remember("canary-1234")
    harmless = ValueError("x")
    assert open_cause(harmless) is harmless
    masked = open_cause(ValueError("key canary-1234"))
    assert str(masked) == "ValueError: key ********"
