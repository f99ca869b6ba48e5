"""The law: whatever happens on the way, what live work leaves is what the archive alone gives.

Any arrival order, any faults that end, any kills, any split of time between processes, and any split of history between
monthly, daily and recent: bronze values, silver, features and signals are those of the archive alone; the record is
whole, in one chain, each closed bar once.
"""

from collections import deque
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.live.live_market import MINUTE, START, Market, archive_alone, decided, market, write_archive

from hermes import pipeline
from hermes.errors import ExchangeError, HermesError
from hermes.live import days as days_module
from hermes.live import engine as engine_module
from hermes.live import exchange as exchange_module
from hermes.live import reader as reader_module
from hermes.live import recent as recent_module
from hermes.live import series as series_module
from hermes.live.exchange import Exchange
from hermes.live.finality import Judged
from hermes.record.verification import find_faults, find_gaps
from hermes.stages.silver import clean as clean_module
from hermes.testing.exchange import Plan

HISTORY, FUTURE = 120, 90
FIRST = START * 1_000_000
FAULTS = [
    "429",
    "500",
    "503",
    "cut",
    "cut gzip",
    "not json",
    "wrong rows",
    "contradiction",
    "duplicated",
    "reordered",
    "gzip",
]


@st.composite
def courses(draw):
    """What happens while a market is followed: bars that are late or change, faults, outages, kills and pauses."""
    bars = st.integers(HISTORY + 1, HISTORY + FUTURE - 25)
    plans = {}
    for at in draw(st.lists(bars, max_size=4, unique=True)):
        late = draw(st.booleans())
        plans[FIRST + at * MINUTE] = (
            Plan(late_s=draw(st.integers(61, 200))) if late else Plan(changes_s=draw(st.integers(1, 100)))
        )
    return {
        "plans": plans,
        "missing": draw(st.lists(bars, max_size=2, unique=True)),
        "faults": draw(st.lists(st.sampled_from([None, None, *FAULTS]), max_size=25)),
        "runs": draw(st.lists(st.tuples(st.integers(20, 840), st.integers(0, 540)), min_size=1, max_size=4)),
        "kills": draw(st.lists(st.integers(0, 25), max_size=2)),
        "skew": draw(st.sampled_from([0, -3600, 3600])),
        "monthly": draw(st.integers(0, HISTORY)),
        "daily": tuple(sorted((draw(st.integers(0, HISTORY)), draw(st.integers(0, HISTORY))))),
    }


def follow(live: Market, course) -> None:
    """Live processes one after the other, some of which are killed, with pauses between them."""
    live.server.faults = deque(course["faults"])
    kills = deque(course["kills"])
    for seconds, pause in course["runs"]:
        with pytest.MonkeyPatch.context() as patch:
            if kills:
                die_at(patch, kills.popleft())
            with suppress(Killed, ExchangeError):  # six faults in a row end it, too: it has to be started again
                live.run(seconds)
        live.clock.move(pause)
    live.server.faults.clear()
    live.clock.move(400)  # every plan is over
    live.run(70)


class Killed(BaseException):
    """The process is gone: nothing of it tidies up but the kernel."""


def die_at(patch: pytest.MonkeyPatch, publish: int) -> None:
    """The process dies right before or right after one of its publishes."""
    from hermes.lake.store import Layer

    left = [publish]

    def dying(original):
        def method(self, *args, **kwargs):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            made = original(self, *args, **kwargs)
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return made

        return method

    patch.setattr(Layer, "create", dying(Layer.create))
    patch.setattr(Layer, "replace_all", dying(Layer.replace_all))


def check(root: Path, course) -> None:
    with market(root, HISTORY, FUTURE, plans=course["plans"], skew_s=course["skew"]) as live:
        name = live.dataset.symbol
        bars = [bar for at, bar in enumerate(live.bars[name]) if at not in course["missing"]]
        live.server.add(live.dataset, bars, course["plans"])
        for frequency, begin, end in (("monthly", 0, course["monthly"]), ("daily", *course["daily"])):
            held = [bar for bar in bars[begin:end] if bar.end <= live.server.now()]  # no archive has what is to come
            if held:
                write_archive(root / "archive", live.dataset.with_frequency(frequency), held)
                pipeline.ingest(live.tasks[0], live.lake, frequencies=[frequency])
        follow(live, course)
        over = [bar for bar in bars if bar.end <= live.server.now()]
        record, made = live.record(), live.finish()
        alone = archive_alone(root, live.tasks[0], over)
        for table, rows in alone.items():
            assert made[table].equals(rows), table
        assert find_faults(record) == []
        final = decided(record).sort("sequence").group_by("datetime", maintain_order=True).last().sort("datetime")
        first = final["datetime"][0]
        assert decided(record)["datetime"].is_unique().all(), "a bar was decided on twice"
        expected = alone["signals"].filter(pl.col("datetime") >= first)
        assert final["datetime"].to_list() == expected["datetime"].to_list()
        holes = {at for gap in find_gaps(record) for at in spread(gap.first, gap.last)}
        assert holes <= {datetime(1970, 1, 1) + timedelta(microseconds=FIRST + at * MINUTE) for at in course["missing"]}
        newest = record.sort("sequence").group_by("datetime", maintain_order=True).last().sort("datetime")
        names = ["datetime", "open", "high", "low", "close", "volume", "buy_signal", "sell_signal", "position"]
        assert newest.select(names).equals(expected.select(names)), "what the record says last is not what holds"


def spread(first: datetime, last: datetime) -> list[datetime]:
    return [first + timedelta(minutes=at) for at in range(round((last - first) / timedelta(minutes=1)) + 1)]


@settings(
    max_examples=5, phases=(Phase.explicit, Phase.generate), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(course=courses())
def test_live_is_replay_is_archive(course):
    with TemporaryDirectory() as folder:
        check(Path(folder), course)


CALM = {"plans": {}, "missing": [], "faults": [], "runs": [(367, 0)], "kills": [], "skew": 0, "monthly": 0,
        "daily": (0, 0)}  # fmt: skip
AT = FIRST + (HISTORY + 2) * MINUTE


# --- mutants: each breaks the law in one way, and a course catches it -----------------------------------------------


def local_clock_trusted(patch):
    """The machine's own clock says what is over."""
    original = exchange_module.Exchange.server_time

    def server_time(self):
        original(self)
        return round(self.clock.time() * 1_000_000)

    patch.setattr(Exchange, "server_time", server_time)


def last_bar_taken_open(patch):
    """Every bar of a reading counts as closed."""
    patch.setattr(engine_module, "judge", lambda reading, waiting=None, *, settle: Judged(list(reading.bars), None))


def successor_not_awaited(patch):
    """A bar whose time is over is closed, whether anything followed it or not."""

    def judge(reading, waiting=None, *, settle):
        return Judged([bar for bar in reading.bars if bar.end <= reading.server_time], None)

    patch.setattr(engine_module, "judge", judge)


def page_overlap_dropped(patch):
    """The next page begins after the last bar of the one before, which then never has a successor beside it."""
    original = Exchange.read

    def read(self, dataset, start, limit, end=None):
        bars = original(self, dataset, start, limit, end)
        return bars[1:] if start in pages else bars

    pages: set[int] = set()
    original_readings = Exchange.readings

    def readings(self, dataset, start, limit=None):
        for reading in original_readings(self, dataset, start, 20):
            pages.add(reading.bars[-1].open_time if reading.bars else 0)
            yield reading

    patch.setattr(Exchange, "read", read)
    patch.setattr(Exchange, "readings", readings)


def reconnect_without_refill(patch):
    """After an outage only the newest bars are read."""
    patch.setattr(
        reader_module.Reader,
        "_reading_of",
        lambda self, series, server_time: reader_module.Reading(
            server_time, self.exchange.read(series.dataset, server_time - 2 * MINUTE, 10)
        ),
    )


def recent_outranks_daily(patch):
    """Silver believes what was seen live, and not the archive."""
    patch.setattr(clean_module, "RANKED", ("recent", "daily", "monthly"))


def late_bar_never_looked_for(patch):
    """What was not there when its successor was is given up."""
    patch.setattr(series_module, "RECHECKED", 1)
    patch.setattr(recent_module, "RECHECKED", 1)
    patch.setattr(series_module, "OVERLAP", 1)


def revision_ignored(patch):
    """A bar that was taken once stays as it was."""
    patch.setattr(days_module.Day, "merge", lambda self, rows, server_time: [])


MUTANTS = [
    (local_clock_trusted, {**CALM, "skew": -3600}),
    (local_clock_trusted, {**CALM, "skew": 3600}),
    (last_bar_taken_open, CALM),
    (successor_not_awaited, {**CALM, "plans": {AT: Plan(changes_s=1)}, "watch": "revisions"}),
    (page_overlap_dropped, CALM),
    (reconnect_without_refill, {**CALM, "outage": True}),
    (late_bar_never_looked_for, {**CALM, "plans": {AT: Plan(late_s=200)}, "runs": [(727, 0)]}),
    (revision_ignored, {**CALM, "plans": {AT: Plan(changes_s=65)}}),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Check a course with the code as it is, once for all mutants that are caught on it."""
    checked = []

    def sound(course) -> None:
        if course not in checked:
            check_course(tmp_path_factory.mktemp("sound"), course)
            checked.append(course)

    return sound


def test_the_calm_course_holds(sound):
    sound(CALM)


@pytest.mark.parametrize(
    ("mutant", "course"), MUTANTS, ids=[f"{each.__name__}-{at}" for at, (each, _) in enumerate(MUTANTS)]
)
def test_every_mutant_is_caught(tmp_path, monkeypatch, sound, mutant, course):
    sound(course)
    mutant(monkeypatch)
    with pytest.raises((AssertionError, HermesError, IndexError)):
        check_course(tmp_path, course)


def check_course(root: Path, course) -> None:
    if course.get("outage"):
        check_outage(root)
    elif course.get("watch") == "revisions":
        check_unchanged(root, course)
    else:
        check(root, course)


def check_outage(root: Path) -> None:
    """Ten minutes without the exchange, and then on, in one process."""
    with market(root, HISTORY, FUTURE) as live, live.loop() as loop:
        loop.run(until=loop.engine.server_now() + MINUTE)
        live.clock.move(600)
        loop.run(until=loop.engine.server_now() + 2 * MINUTE)
        assert find_gaps(live.record()) == []


def check_unchanged(root: Path, course) -> None:
    """A bar that changes for a moment after its close, before its successor is listed, is not decided on too early."""
    with market(root, HISTORY, FUTURE, plans=course["plans"], listing_s=3.5) as live:
        live.run(6 * 60)
        assert live.record().filter(pl.col("kind") == "revision").is_empty()


def test_silver_believes_the_archive_first(tmp_path, monkeypatch):
    def conflict(root: Path) -> float:
        from hermes.live.finality import Bar
        from hermes.steps.refine import refine

        with market(root, 30, 5) as live:
            live.finish()
            bars = live.bars[live.dataset.symbol][:30]
            other = [Bar((*bar.cells[:5], "77.5", *bar.cells[6:])) if at == 20 else bar for at, bar in enumerate(bars)]
            write_archive(root / "archive", live.dataset.with_frequency("daily"), other)
            pipeline.ingest(live.tasks[0], live.lake, frequencies=["daily"])
            refine(live.tasks[0], live.lake)
            silver = live.lake.silver.scan(live.lake.silver.files(live.dataset.silver_folder)).collect()
            return silver["volume"][20]

    for name in ("sound", "broken"):
        (tmp_path / name).mkdir()
    assert conflict(tmp_path / "sound") == 77.5
    recent_outranks_daily(monkeypatch)
    assert conflict(tmp_path / "broken") != 77.5
