"""Notices are kept until each receiver took them, in order, whatever happens in between."""

from pathlib import Path
from typing import Any

import pytest

from hermes.errors import NoticeRefused, StoreError
from hermes.lake.store import Lake
from hermes.monitoring.outbox import Outbox, Receiver, put_or_send
from hermes.settings import Settings

TABLE = "trading_signals_smart_momentum_spot_BTCUSDT_4h"


class Somebody:
    """A receiver that refuses while it is away."""

    def __init__(self, name: str) -> None:
        self.name, self.away = name, False
        self.got: list[Any] = []

    def receiver(self) -> Receiver:
        return Receiver(self.name, self.name, self.take)

    def take(self, notice) -> None:
        if self.away:
            raise NoticeRefused(f"{self.name} is away", "")
        self.got.append(notice["id"])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={}))


@pytest.fixture
def outbox(lake: Lake) -> Outbox:
    return Outbox(lake, TABLE)


def test_each_receiver_gets_each_notice_once_and_in_order(outbox):
    one, two = Somebody("one"), Somebody("two")
    receivers = [one.receiver(), two.receiver()]
    two.away = True
    for number in range(3):
        outbox.put({"id": f"n{number}"}, receivers)
        outbox.put({"id": f"n{number}"}, receivers)
    assert outbox.waiting() == 3
    first = outbox.deliver(receivers)
    assert (one.got, two.got) == (["n0", "n1", "n2"], [])
    assert (first.sent, first.waiting, [str(each) for each in first.problems]) == (3, 3, ["two is away"])
    two.away = False
    again = outbox.deliver(receivers)
    assert (one.got, two.got) == (["n0", "n1", "n2"], ["n0", "n1", "n2"])
    assert (again.sent, again.waiting, again.problems) == (3, 0, [])
    assert outbox.deliver(receivers).sent == 0


def test_later_notice_does_not_overtake(outbox):
    one = Somebody("one")
    sent = []

    def take(notice) -> None:
        if notice["id"] == "n1" and "n1" not in sent:
            sent.append("n1")
            raise NoticeRefused("busy", "")
        one.got.append(notice["id"])

    receivers = [Receiver("one", "one", take)]
    for number in range(3):
        outbox.put({"id": f"n{number}"}, receivers)
    outbox.deliver(receivers)
    assert one.got == ["n0"]
    outbox.deliver(receivers)
    assert one.got == ["n0", "n1", "n2"]


def test_receiver_that_was_removed_from_the_settings_is_waited_for_no_more(outbox):
    one, two = Somebody("one"), Somebody("two")
    outbox.put({"id": "n"}, [one.receiver(), two.receiver()])
    assert outbox.deliver([one.receiver()]).waiting == 0
    assert two.got == []


def test_only_one_process_delivers_at_a_time(lake, outbox):
    one = Somebody("one")
    outbox.put({"id": "n"}, [one.receiver()])
    with lake.gold.locked(f"_locks/notices/{TABLE}.lock", "notices", "notices"):
        left = outbox.deliver([one.receiver()])
    assert (left.sent, left.waiting, one.got) == (0, 1, [])


def test_nothing_is_begun_after_the_deadline(outbox):
    one = Somebody("one")
    outbox.put({"id": "n"}, [one.receiver()])
    assert outbox.deliver([one.receiver()], seconds=-1).waiting == 1


def test_notice_about_a_lake_that_fails_is_sent_at_once(outbox, monkeypatch):
    def full(*_: object) -> None:
        raise StoreError("no space", "")

    monkeypatch.setattr(outbox._gold, "write_bytes", full)
    one, two = Somebody("one"), Somebody("two")
    put_or_send(outbox, {"id": "n"}, [one.receiver()])
    assert one.got == ["n"]
    two.away = True
    with pytest.raises(NoticeRefused, match="two did not take"):
        put_or_send(outbox, {"id": "m"}, [two.receiver(), one.receiver()])
    assert one.got == ["n", "m"]
