"""Closed means closed: the table of what makes a bar final."""

import pytest

from hermes.errors import ExchangeError
from hermes.live.finality import Bar, Judged, Reading, Waiting, in_order, judge

MINUTE = 60_000_000
SETTLE = 2_000_000


def bar(number: int, close: str = "1.0", milliseconds: bool = False) -> Bar:
    unit = 1000 if milliseconds else 1
    start = 1_750_000_020_000_000 + number * MINUTE
    return Bar((str(start // unit), "1", "2", "0.5", close, "9", str((start + MINUTE) // unit - 1), *"12345"))


END = bar(0).end
FIRST, SECOND, REVISED = bar(0), bar(1), bar(0, close="1.5")


@pytest.mark.parametrize(
    ("what", "reading", "waiting", "expected"),
    [
        ("nothing read", Reading(END, []), None, Judged((), None)),
        ("nothing read keeps what waits", Reading(END, []), Waiting(FIRST, 1), Judged((), Waiting(FIRST, 1))),
        ("it forms", Reading(END - 1, [FIRST]), None, Judged([], None)),
        ("over to the tick, no successor", Reading(END, [FIRST]), None, Judged([], Waiting(FIRST, END))),
        ("over, successor seen", Reading(END, [FIRST, SECOND]), None, Judged([FIRST], None)),
        ("a successor, but by the server's clock not over", Reading(END - 1, [FIRST, SECOND]), None, Judged([], None)),
        (
            "same again before the delay is over",
            Reading(END + SETTLE - 1, [FIRST]),
            Waiting(FIRST, END),
            Judged([], Waiting(FIRST, END)),
        ),
        (
            "same again after the delay",
            Reading(END + SETTLE, [FIRST]),
            Waiting(FIRST, END),
            Judged([FIRST], None),
        ),
        (
            "changed since: the delay begins anew",
            Reading(END + SETTLE, [REVISED]),
            Waiting(FIRST, END),
            Judged([], Waiting(REVISED, END + SETTLE)),
        ),
        (
            "changed since, but with a successor",
            Reading(END + SETTLE, [REVISED, SECOND]),
            Waiting(FIRST, END),
            Judged([REVISED], None),
        ),
        (
            "another one waits now",
            Reading(END + MINUTE, [FIRST, SECOND]),
            Waiting(FIRST, END),
            Judged([FIRST], Waiting(SECOND, END + MINUTE)),
        ),
        (
            "the server's clock went back",
            Reading(END - 1, [FIRST]),
            Waiting(FIRST, END),
            Judged([], None),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_table(what, reading, waiting, expected):
    found = judge(reading, waiting, settle=SETTLE)
    assert list(found.closed) == list(expected.closed)
    assert found.waiting == expected.waiting


def test_a_bar_of_milliseconds_is_over_with_its_whole_last_millisecond():
    old = bar(0, milliseconds=True)
    assert (old.open_time, old.end) == (FIRST.open_time, FIRST.end)
    assert not judge(Reading(END - 500, [old, bar(1, milliseconds=True)]), settle=SETTLE).closed


def test_no_delay_still_takes_two_readings():
    first = judge(Reading(END, [FIRST]), settle=0)
    assert not first.closed
    assert judge(Reading(END, [FIRST]), first.waiting, settle=0).closed == [FIRST]


def test_an_answer_is_put_in_order_each_bar_once():
    assert in_order([SECOND, FIRST, SECOND]) == [FIRST, SECOND]


def test_an_answer_that_contradicts_itself_is_refused():
    with pytest.raises(ExchangeError, match="two different bars"):
        in_order([FIRST, REVISED])
