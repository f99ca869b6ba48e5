"""Fixtures of notices."""

from collections.abc import Iterator

import pytest
from tests.monitoring.receiver import Receiver, listening

from hermes.monitoring import webhook


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between attempts, which are noted and not made."""
    made: list[float] = []
    monkeypatch.setattr(webhook, "sleep", made.append)
    return made
