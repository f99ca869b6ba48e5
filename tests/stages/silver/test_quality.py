"""What is missing is counted exactly, on every kind of grid; the table survives its JSON."""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.dataset import INTERVAL_SECONDS, Dataset
from hermes.errors import TableRefused
from hermes.schemas import DATETIME
from hermes.stages.bronze.klines import read_zip
from hermes.stages.silver.clean import SourceFile, clean
from hermes.stages.silver.quality import GAPS_LISTED, Conflict, Gap, Quality, Tally, measure


def rows(*times: datetime, zero: tuple[datetime, ...] = ()) -> pl.LazyFrame:
    times_ = pl.Series("datetime", times, dtype=DATETIME)
    return pl.LazyFrame({"datetime": times_, "zero_volume": [each in zero for each in times]}).with_columns(
        open=pl.lit(1.0), close=pl.lit(1.0)
    )


def of(interval: str, *times: datetime) -> Quality:
    return measure(rows(*times), Dataset(interval=interval), Tally())


def test_the_real_series(archive: Path, published: dict) -> None:
    dataset, files = Dataset(), []
    for path in (archive / dataset.archive_folder).glob("*.zip"):
        period = dataset.parse_stem(path.stem)
        assert period
        files.append((SourceFile(path.stem, "monthly", period), read_zip(path.read_bytes(), dataset, period)))
    cleaned = clean(files, dataset)
    found = measure(cleaned.rows.lazy(), dataset, cleaned.tally)
    assert found.max_gap_hours == published["silver"]["max_gap_hours"]
    assert (found.rows, found.expected_bars, found.missing_bars, found.gap_count) == (17604, 17621, 17, 9)
    assert found.first.isoformat() == published["bronze"]["first"]
    assert found.last.isoformat() == published["bronze"]["last"]
    assert found.gaps[0] == Gap(
        after=datetime(2017, 9, 6, 12), before=datetime(2017, 9, 6, 20), missing_bars=1, hours=8.0
    )
    assert (found.zero_volume_bars, found.off_grid_bars) == (0, 0)
    assert Quality.from_json(found.to_json()) == found


@given(
    interval=st.sampled_from(sorted(INTERVAL_SECONDS)),
    present=st.sets(st.integers(0, 60), min_size=1),
    start=st.integers(0, 40),
)
@settings(max_examples=40, deadline=None)
def test_on_every_grid_missing_bars_are_those_left_out(interval: str, present: set[int], start: int) -> None:
    def at(number: int) -> datetime:
        if interval == "1mo":
            return datetime(2017 + (start + number) // 12, 1 + (start + number) % 12, 1)
        monday = datetime(2017, 8, 14)
        return monday + timedelta(seconds=INTERVAL_SECONDS[interval]) * (start + number)

    found = of(interval, *(at(number) for number in sorted(present)))
    last, first = max(present), min(present)
    assert found.rows == len(present)
    assert found.expected_bars == last - first + 1
    assert found.missing_bars == found.expected_bars - found.rows
    assert found.missing_bars == sum(gap.missing_bars for gap in found.gaps)
    assert found.coverage_pct == pytest.approx(100 * found.rows / found.expected_bars)
    assert found.off_grid_bars == 0
    ordered = sorted(present)
    holes = [(at(a), at(b), b - a - 1) for a, b in pairwise(ordered) if b - a > 1]
    assert [(gap.after, gap.before, gap.missing_bars) for gap in found.gaps] == holes
    assert all(gap.hours == (gap.before - gap.after).total_seconds() / 3600 for gap in found.gaps)
    assert Quality.from_json(found.to_json()) == found


def test_a_single_bar_has_no_gap() -> None:
    found = of("4h", datetime(2024, 1, 1))
    assert (found.rows, found.expected_bars, found.coverage_pct, found.max_gap_hours) == (1, 1, 100, None)


@pytest.mark.parametrize(
    ("interval", "time"),
    [
        ("1s", datetime(2024, 1, 1, 0, 0, 0, 1)),
        ("4h", datetime(2024, 1, 1, 2)),
        ("1d", datetime(2024, 1, 1, 0, 1)),
        ("1w", datetime(2024, 1, 2)),
        ("1mo", datetime(2024, 1, 2)),
    ],
)
def test_bars_off_the_grid_are_counted(interval: str, time: datetime) -> None:
    assert of(interval, time).off_grid_bars == 1


def test_three_day_bars_follow_their_first() -> None:
    start = datetime(2024, 1, 5)
    found = of("3d", start, start + timedelta(3), start + timedelta(7), start + timedelta(9))
    assert (found.off_grid_bars, found.missing_bars) == (1, 0)


def test_a_late_bar_still_fills_its_slot() -> None:
    day = datetime(2024, 1, 1)
    found = of("4h", day, day + timedelta(hours=4.5), day + timedelta(hours=8), day + timedelta(hours=9))
    assert (found.expected_bars, found.missing_bars, found.off_grid_bars, found.coverage_pct) == (3, 0, 2, 100)
    assert found.max_gap_hours == 4.5


def test_zero_volume_bars_and_checksums_are_passed_on() -> None:
    day = datetime(2024, 1, 1)
    tally = Tally(rejected={"not finite": 2}, short_bars=1)
    found = measure(rows(day, day + timedelta(hours=1), zero=(day,)), Dataset(interval="1h"), tally, ("b", "a"))
    assert (found.zero_volume_bars, found.tally, found.missing_checksums) == (1, tally, ("a", "b"))


def test_only_the_longest_gaps_are_listed_in_order_of_time() -> None:
    lengths = [2 + number % 7 for number in range(300)]
    times = [datetime(2020, 1, 1)]
    for length in lengths:
        times.append(times[-1] + timedelta(hours=length))
    found = of("1h", *times)
    assert found.gap_count == 300
    assert found.missing_bars == sum(lengths) - 300
    assert len(found.gaps) == GAPS_LISTED
    assert [gap.after for gap in found.gaps] == sorted(gap.after for gap in found.gaps)
    assert sorted(gap.missing_bars for gap in found.gaps) == sorted(length - 1 for length in lengths)[-GAPS_LISTED:]


def test_no_rows_are_refused() -> None:
    with pytest.raises(TableRefused, match="BTCUSDT 4h has no rows"):
        of("4h")


def test_files_are_measured_where_they_lie(tmp_path: Path) -> None:
    hours = [datetime(2024, 1, 1) + timedelta(hours=number) for number in range(100) if number % 9]
    frame = rows(*hours).collect()
    for number, start in enumerate(range(0, frame.height, 20)):
        frame.slice(start, 20).write_parquet(tmp_path / f"{number}.parquet")
    paths = [tmp_path / f"{number}.parquet" for number in range(5)]
    assert measure(pl.scan_parquet(paths), Dataset(interval="1h"), Tally()) == of("1h", *hours)


def conflict(hour: int) -> Conflict:
    return Conflict(datetime=datetime(2024, 1, 1, hour), column="close", monthly=1.5, daily=2.5)


def test_tallies_add_up() -> None:
    one = Tally(rejected={"b": 1, "c": 2}, identical_duplicates=1, conflicts=4, short_bars=3)
    one = one.model_copy(update={"conflict_examples": tuple(conflict(hour) for hour in (1, 2, 3, 8))})
    two = Tally(rejected={"a": 5, "c": 1}, conflicts=2, conflict_examples=(conflict(4), conflict(5)))
    both = one + two
    assert both == two + one
    assert list(both.rejected.items()) == [("a", 5), ("b", 1), ("c", 3)]
    assert (both.identical_duplicates, both.conflicts, both.short_bars) == (1, 6, 3)
    assert [each.datetime.hour for each in both.conflict_examples] == [1, 2, 3, 4, 5]
    assert one + Tally() == one
    assert Tally.model_validate_json(both.model_dump_json()) == both


def test_opens_that_are_far_from_the_close_before_are_listed() -> None:
    """A redenomination across a gap (as LUNA's, or BTT's a thousand to one), a fault of one bar, and a mere fall."""
    day = datetime(2022, 1, 1)
    times = [day + timedelta(days=number) for number in (0, 1, 2, 20, 21, 22, 23)]
    opens = [10.0, 10.0, 10.0, 10_000.0, 10_000.0, 2_001.0, 2_000.0]
    closes = [10.0, 10.0, 10.0, 10_000.0, 10_000.0, 2_000.0, 100.0]
    frame = pl.LazyFrame({"datetime": times, "open": opens, "close": closes, "zero_volume": [False] * 7})
    frame = frame.with_columns(pl.col("datetime").cast(DATETIME))
    found = measure(frame, Dataset(interval="1d"), Tally())
    assert found.price_jump_count == 1  # 2,001 is a little more than a fifth; a fall within a bar is no jump
    (jump,) = found.price_jumps
    assert (jump.bar, jump.close, jump.open, jump.factor) == (day + timedelta(days=20), 10.0, 10_000.0, 1000.0)
    assert jump.hours == 18 * 24
    assert Quality.from_json(found.to_json()) == found
    exact = measure(frame.with_columns(open=pl.col("open").replace(2_001.0, 2_000.0)), Dataset(interval="1d"), Tally())
    assert exact.price_jump_count == 2
