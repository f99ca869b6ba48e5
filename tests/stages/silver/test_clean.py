"""Every row is kept, collapsed or quarantined with the first rule it broke; monthly and daily files make one series."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.dataset import Dataset
from hermes.schemas import BRONZE, REJECTS, SILVER
from hermes.stages.bronze.klines import read_zip
from hermes.stages.silver.clean import CONFLICTS, Cleaned, SourceFile, clean
from hermes.stages.silver.quality import Tally

HOURLY = Dataset(interval="1h")
JANUARY = SourceFile("BTCUSDT-1h-2024-01", "monthly", date(2024, 1, 1))
NAN, INF = float("nan"), float("inf")


def month(source: SourceFile = JANUARY, unit: int = 1000, **columns: Any) -> pl.DataFrame:
    """The bronze rows of one sound file of hourly bars; `unit` is ticks per second."""
    start = int(datetime(source.period.year, source.period.month, source.period.day, tzinfo=UTC).timestamp())
    row = pl.int_range((source.end - source.period).days * 24, eager=True)
    opened = (start + row * 3600) * unit
    sound = {
        "line": row + 1,
        "open_time": opened,
        "open": 100.0 + row % 7,
        "high": 110.0 + row % 7,
        "low": 90.0 + row % 7,
        "close": 101.0 + row % 7,
        "volume": 5.0 + row % 3,
        "close_time": opened + 3600 * unit - 1,
        "quote_volume": 500.0 + row % 3,
        "count": 9 + row % 3,
        "taker_buy_volume": 2.0 + row % 3,
        "taker_buy_quote_volume": 200.0 + row % 3,
        "ignore": pl.repeat("0", len(row), eager=True),
    }
    return pl.DataFrame(sound | columns).cast(dict(BRONZE))


def change(frame: pl.DataFrame, line: int, **values: Any) -> pl.DataFrame:
    """`frame` with other values on one line."""
    there = pl.col("line") == line
    return frame.with_columns(
        pl.when(there).then(pl.lit(value, BRONZE[name])).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def again(frame: pl.DataFrame, line: int, **values: Any) -> pl.DataFrame:
    """`frame` with `line` repeated at the end, with other values."""
    repeated = change(frame.filter(pl.col("line") == line), line, **values)
    return pl.concat([frame, repeated.with_columns(line=pl.lit(frame.height + 1, pl.UInt32))])


def one(frame: pl.DataFrame, source: SourceFile = JANUARY) -> Cleaned:
    return clean([(source, frame)], HOURLY)


def test_a_sound_month_passes_unchanged() -> None:
    cleaned = one(month())
    assert dict(cleaned.rows.schema) == dict(SILVER)
    assert dict(cleaned.rejects.schema) == dict(REJECTS)
    assert dict(cleaned.conflicts.schema) == dict(CONFLICTS)
    assert cleaned.rejects.is_empty()
    assert cleaned.conflicts.is_empty()
    assert cleaned.tally == Tally()
    assert cleaned.rows["datetime"].to_list() == [datetime(2024, 1, 1) + timedelta(hours=n) for n in range(744)]
    values = [name for name in SILVER if name in BRONZE]
    assert cleaned.rows.select(values).equals(month().select(values))
    labels = cleaned.rows.select("symbol", "timeframe", "source", "zero_volume").unique()
    assert labels.rows() == [("BTCUSDT", "1h", JANUARY.stem, False)]


def test_nothing_gives_nothing() -> None:
    for files in ([], [(JANUARY, month().clear())]):
        cleaned = clean(files, HOURLY)
        assert dict(cleaned.rows.schema) == dict(SILVER)
        assert cleaned.rows.is_empty()
        assert cleaned.tally == Tally()


def test_an_empty_file_lends_its_name_to_nobody() -> None:
    february = SourceFile("BTCUSDT-1h-2024-02", "monthly", date(2024, 2, 1))
    cleaned = clean([(JANUARY, month().clear()), (february, month(february))], HOURLY)
    assert cleaned.rows["source"].unique().to_list() == [february.stem]
    assert cleaned.rows.height == 29 * 24


def test_units_are_told_per_file() -> None:
    february = SourceFile("BTCUSDT-1h-2024-02", "monthly", date(2024, 2, 1))
    cleaned = clean([(JANUARY, month()), (february, month(february, unit=1_000_000))], HOURLY)
    assert cleaned.rows["datetime"].to_list() == [datetime(2024, 1, 1) + timedelta(hours=n) for n in range(744 + 696)]
    assert cleaned.tally == Tally()


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        *(({name: None}, "missing value") for name in BRONZE if name not in ("line", "ignore")),
        *(
            ({name: bad}, "not finite")
            for name in ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume")
            for bad in (NAN, INF, -INF, 1e100)
        ),
        *(({name: bad}, "price not above zero") for name in ("open", "high", "low", "close") for bad in (0.0, -1.0)),
        ({"low": -0.0}, "price not above zero"),
        ({"volume": -0.001}, "negative volume"),
        ({"quote_volume": -1.0}, "negative volume"),
        ({"count": -1}, "negative volume"),
        ({"taker_buy_volume": -1.0}, "negative volume"),
        ({"taker_buy_quote_volume": -1.0}, "negative volume"),
        ({"high": 102.9}, "high below the body"),
        ({"high": 101.9, "open": 101.0}, "high below the body"),
        ({"high": 50.0, "low": 60.0}, "high below the body"),
        ({"low": 102.5}, "low above the body"),
        ({"open_time": 1704067200000 - 1}, "outside the file's period"),
        ({"open_time": 1706745600000}, "outside the file's period"),
        ({"open_time": -(2**63)}, "outside the file's period"),
        ({"open_time": 17040672000}, "outside the file's period"),
        # The first rule that is broken is the one on record.
        ({"open": None, "close": NAN}, "missing value"),
        ({"open": NAN, "close": -1.0}, "not finite"),
        ({"low": -1.0, "volume": -1.0}, "price not above zero"),
        ({"volume": -1.0, "high": 1.0}, "negative volume"),
        ({"high": 102.5, "low": 102.8}, "high below the body"),
    ],
    ids=str,
)
def test_a_broken_row_is_quarantined_with_the_first_rule_it_broke(values: dict[str, Any], rule: str) -> None:
    bad = change(month(), 10, **values)
    cleaned = one(bad)
    assert cleaned.tally == Tally(rejected={rule: 1})
    assert cleaned.rows.height == 743
    assert cleaned.rows.filter(pl.col("datetime") == datetime(2024, 1, 1, 9)).is_empty()
    assert cleaned.rejects.select("source", "line", "rule").rows() == [(JANUARY.stem, 10, rule)]
    raw = [name for name in BRONZE if name not in ("line", "ignore")]
    assert cleaned.rejects.select(raw).equals(bad.filter(pl.col("line") == 10).select(raw), null_equal=True)


def test_bounds_themselves_are_sound() -> None:
    flat = change(month(), 10, open=1e-9, high=1e-9, low=1e-9, close=1e-9, volume=0.0, quote_volume=0.0, count=0)
    cleaned = one(change(flat, 10, taker_buy_volume=0.0, taker_buy_quote_volume=0.0))
    assert cleaned.tally == Tally()
    assert cleaned.rows.filter("zero_volume")["datetime"].to_list() == [datetime(2024, 1, 1, 9)]


def test_identical_rows_collapse_and_are_counted() -> None:
    cleaned = one(again(again(again(month(), 10), 10), 20))
    assert cleaned.tally == Tally(identical_duplicates=3)
    assert cleaned.rows.equals(one(month()).rows)


def test_rows_that_contradict_each_other_are_all_quarantined() -> None:
    frame = again(again(again(month(), 10, close=104.0), 10), 20)
    cleaned = one(frame)
    assert cleaned.tally == Tally(rejected={"conflicting duplicate": 3}, identical_duplicates=1)
    assert cleaned.rejects["line"].to_list() == [10, 745, 746]
    assert cleaned.rows.equals(one(month()).rows.filter(pl.col("datetime") != datetime(2024, 1, 1, 9)))


def test_a_broken_row_does_not_contradict_a_sound_one() -> None:
    cleaned = one(again(month(), 10, close=NAN))
    assert cleaned.tally == Tally(rejected={"not finite": 1})
    assert cleaned.rows.equals(one(month()).rows)


def test_disorder_is_sorted() -> None:
    shuffled = month().sample(fraction=1, shuffle=True, seed=3)
    assert one(shuffled).rows.equals(one(month()).rows)


@pytest.mark.parametrize("bad", [{"close": NAN}, {"open_time": None}, {"low": 0.0}])
def test_more_than_one_bad_bar_and_a_thousandth_fail_the_file(bad: dict[str, Any]) -> None:
    made = one(change(change(month(), 10, **bad), 12, **bad))
    (why,) = made.tally.refused.values()
    assert made.tally.refused.keys() == {JANUARY.stem}
    assert "2 of 744 rows" in why
    assert "first line 10: " in why
    assert "\n" not in why
    assert made.rows.is_empty()
    assert made.rejects["line"].to_list() == [10, 12]  # what is wrong with it is kept
    assert made.rejects.height == sum(made.tally.rejected.values())


def test_contradicting_rows_are_one_bad_bar_each() -> None:
    frame = again(month(), 10, close=104.0)
    assert one(frame).tally.rejected == {"conflicting duplicate": 2}
    assert "4 of 746 rows" in one(again(frame, 20, close=104.0)).tally.refused[JANUARY.stem]


def test_a_thousandth_of_a_long_file_is_tolerated() -> None:
    dataset, minutes = Dataset(interval="1m"), 31 * 1440
    row = pl.int_range(minutes, eager=True)
    frame = (
        month()
        .sample(minutes, with_replacement=True, seed=1)
        .with_columns(
            line=(row + 1).cast(pl.UInt32),
            open_time=1704067200000 + row * 60_000,
            close_time=1704067259999 + row * 60_000,
        )
    )
    allowed = frame.with_columns(close=pl.when(pl.col("line") <= 44).then(NAN).otherwise("close"))
    assert clean([(JANUARY, allowed)], dataset).tally.rejected == {"not finite": 44}
    refused = clean([(JANUARY, change(allowed, 60, close=NAN))], dataset).tally.refused
    assert "45 of 44,640 rows" in refused[JANUARY.stem]


def test_a_bad_file_is_left_out_and_the_others_stay() -> None:
    february = SourceFile("BTCUSDT-1h-2024-02", "monthly", date(2024, 2, 1))
    bad = month(february).with_columns(volume=-1.0)
    made = clean([(JANUARY, month()), (february, bad)], HOURLY)
    assert made.rows.equals(one(month()).rows)
    assert made.tally.refused.keys() == {february.stem}
    assert "696 of 696" in made.tally.refused[february.stem]
    assert "line 1: negative volume" in made.tally.refused[february.stem]


def test_a_day_file_stands_in_for_a_bad_month() -> None:
    bad = month().with_columns(volume=-1.0)
    days = pl.concat([month().filter(pl.col("open_time") < 1704153600000)])
    made = clean([(JANUARY, bad), (day(1), days)], HOURLY)
    assert made.rows.drop("source").equals(one(days).rows.drop("source"))
    assert made.tally.refused.keys() == {JANUARY.stem}


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def test_a_bar_that_was_open_when_its_file_was_made_is_left_out() -> None:
    made = clean([(replace(JANUARY, made=at(2024, 1, 31, 23, 30)), month())], HOURLY)
    assert made.rows.equals(one(month()).rows.head(743))
    assert made.tally.open_bars == 1
    assert clean([(replace(JANUARY, made=at(2024, 2, 1)), month())], HOURLY).tally.open_bars == 0


def test_a_bar_that_another_file_brings_whole_is_not_counted_as_open() -> None:
    early = replace(day(1), made=at(2024, 1, 1, 20, 30))
    mornings = month().filter(pl.col("open_time") <= 1704139200000)  # until the bar of 20:00
    half = change(mornings, 21, volume=1.0)
    made = clean([(JANUARY, month()), (early, half)], HOURLY)
    assert made.rows.drop("source").equals(one(month()).rows.drop("source"))  # a half bar of a day's file does not win
    assert (made.tally.open_bars, made.tally.conflicts) == (0, 0)


def test_a_month_is_as_long_as_its_calendar_says() -> None:
    dataset, october = Dataset(interval="1mo"), SourceFile("BTCUSDT-1mo-2024-10", "monthly", date(2024, 10, 1))
    bar = month().head(1).with_columns(open_time=1727740800000, close_time=1730419199999)
    for made, kept in ((at(2024, 10, 31, 12), 0), (at(2024, 10, 31, 23, 59, 59), 0), (at(2024, 11, 1), 1)):
        assert clean([(replace(october, made=made), bar)], dataset).rows.height == kept


def day(number: int) -> SourceFile:
    return SourceFile(f"BTCUSDT-1h-2024-01-{number:02}", "daily", date(2024, 1, number))


def days(*numbers: int) -> list[tuple[SourceFile, pl.DataFrame]]:
    """Daily files with the very bars of the month."""
    return [
        (
            day(number),
            month().slice((number - 1) * 24, 24).with_columns(line=pl.int_range(1, 25).cast(pl.UInt32)),
        )
        for number in numbers
    ]


def test_daily_files_fill_what_the_month_lacks() -> None:
    begun = month().head(48)
    cleaned = clean([(JANUARY, begun), *days(2, 3, 4)], HOURLY)
    assert cleaned.tally == Tally()
    assert cleaned.rows.drop("source").equals(one(month().head(96)).rows.drop("source"))
    by_source = cleaned.rows.group_by("source").len().sort("source").rows()
    assert by_source == [(JANUARY.stem, 24), (day(2).stem, 24), (day(3).stem, 24), (day(4).stem, 24)]


def test_recent_bars_are_believed_last_and_every_disagreement_is_kept() -> None:
    (_, frame), *_ = days(2)
    at, later = datetime(2024, 1, 2, 4), datetime(2024, 1, 2, 6)
    before = {row["datetime"]: row for row in one(month()).rows.iter_rows(named=True)}
    recent = (SourceFile("recent/SIMUSDT-1h-2024-01-02", "recent", date(2024, 1, 2)), change(frame, 5, close=101.5))
    daily = (day(2), change(change(frame, 5, close=104.25), 7, volume=0.5))

    alone = clean([recent], HOURLY)
    assert (alone.rows.height, alone.conflicts.height) == (24, 0)
    assert alone.rows.filter(pl.col("datetime") == at)["close"].item() == 101.5

    with_month = clean([recent, (JANUARY, month())], HOURLY)
    assert with_month.conflicts.rows() == [(at, "close", before[at]["close"], None, 101.5)]
    assert with_month.rows.drop("source").equals(one(month()).rows.drop("source"))

    for files in ([recent, daily, (JANUARY, month())], [(JANUARY, month()), daily, recent]):
        cleaned = clean(files, HOURLY)
        assert cleaned.conflicts.rows() == [
            (at, "close", before[at]["close"], 104.25, 101.5),
            (later, "volume", before[later]["volume"], 0.5, before[later]["volume"]),
        ]
        assert cleaned.tally.conflicts == 2
        assert cleaned.rows.filter(pl.col("datetime") == at)["close"].item() == 104.25
        assert cleaned.rows.height == 744


def test_daily_wins_and_the_conflict_is_reported() -> None:
    (_, frame), *_ = days(2)
    daily = change(change(frame, 5, close=104.25, count=77), 7, volume=0.5)
    for files in ([(JANUARY, month()), (day(2), daily)], [(day(2), daily), (JANUARY, month())]):
        cleaned = clean(files, HOURLY)
        at, later = datetime(2024, 1, 2, 4), datetime(2024, 1, 2, 6)
        before = {row["datetime"]: row for row in one(month()).rows.iter_rows(named=True)}
        assert cleaned.conflicts.rows() == [
            (at, "close", before[at]["close"], 104.25, None),
            (at, "count", float(before[at]["count"]), 77.0, None),
            (later, "volume", before[later]["volume"], 0.5, None),
        ]
        assert cleaned.tally.conflicts == 2
        assert [each.column for each in cleaned.tally.conflict_examples] == ["close", "count", "volume"]
        assert cleaned.tally.rejected == {}
        assert cleaned.rows.height == 744
        kept = cleaned.rows.row(by_predicate=pl.col("datetime") == at, named=True)
        assert (kept["close"], kept["count"], kept["source"]) == (104.25, 77, day(2).stem)


def test_where_one_frequency_is_broken_the_other_stands_in() -> None:
    (_, frame), *_ = days(2)
    cleaned = clean([(JANUARY, month()), (day(2), change(frame, 5, close=NAN))], HOURLY)
    assert cleaned.rows.drop("source").equals(one(month()).rows.drop("source"))
    assert cleaned.tally == Tally(rejected={"not finite": 1})
    cleaned = clean([(JANUARY, again(month(), 29, close=104.0)), (day(2), frame)], HOURLY)
    assert cleaned.rows.drop("source").equals(one(month()).rows.drop("source"))
    assert cleaned.tally == Tally(rejected={"conflicting duplicate": 2})


@pytest.mark.parametrize(
    ("interval", "line", "short"), [("1h", 10, 3600), ("1h", 744, 3600), ("4h", 1, 14400), ("1w", 1, 604800)]
)
def test_short_bars_are_counted_and_kept(interval: str, line: int, short: int) -> None:
    opened = month()["open_time"][line - 1]
    whole = change(month().filter(pl.col("line") == line), line, close_time=opened + short * 1000 - 1)
    dataset = Dataset(interval=interval)
    assert clean([(JANUARY, whole)], dataset).tally == Tally()
    cut = change(whole, line, close_time=opened + short * 1000 - 2)
    assert clean([(JANUARY, cut)], dataset).tally == Tally(short_bars=1)
    assert clean([(JANUARY, cut)], dataset).rows.height == 1


@pytest.mark.parametrize("unit", [1_000, 1_000_000])
def test_a_monthly_bar_is_as_long_as_its_month(unit: int) -> None:
    february = SourceFile("BTCUSDT-1mo-2024-02", "monthly", date(2024, 2, 1))
    last = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()) * unit - 1
    for close_time, short in ((last, 0), (last - 1, 1)):
        bar = change(month(february, unit=unit).head(1), 1, close_time=close_time)
        assert clean([(february, bar)], Dataset(interval="1mo")).tally.short_bars == short


HARMS: dict[str, Callable[[pl.DataFrame, int], pl.DataFrame]] = {
    "none": lambda frame, line: frame,
    "nan": lambda frame, line: change(frame, line, high=NAN),
    "twice": again,
    "contradict": lambda frame, line: again(frame, line, volume=77.0),
    "late": lambda frame, line: change(frame, line, open_time=frame["open_time"].to_numpy().max() * 2),
    "drop": lambda frame, line: frame.filter(pl.col("line") != line),
}


def sabotage(draw: Callable[..., Any]) -> list[tuple[SourceFile, pl.DataFrame]]:
    """Three monthly files and some daily ones, each with at most one bad bar, in disorder."""
    files = []
    for number in (1, 2, 3):
        source = SourceFile(f"BTCUSDT-1h-2024-{number:02}", "monthly", date(2024, number, 1))
        files.append((source, month(source, unit=draw(st.sampled_from([1_000, 1_000_000])))))
    files += days(*draw(st.sets(st.integers(1, 31), max_size=4)))
    spoiled = []
    for source, frame in files:
        harmed = HARMS[draw(st.sampled_from(sorted(HARMS)))](frame, draw(st.integers(1, 24)))
        spoiled.append((source, harmed.sample(fraction=1, shuffle=True, seed=draw(st.integers(0, 9)))))
    return spoiled


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_laws(data: st.DataObject) -> None:
    files = sabotage(data.draw)
    whole = clean(files, HOURLY)
    assert whole.rows["datetime"].is_sorted()
    assert whole.rows["datetime"].is_unique().all()
    assert whole.rows.null_count().sum_horizontal().item() == 0
    # Every row is somewhere: kept, quarantined, collapsed, or given way to the same bar of a daily file.
    monthly = [(source, frame) for source, frame in files if source.frequency == "monthly"]
    daily = [(source, frame) for source, frame in files if source.frequency == "daily"]
    alone = clean(monthly, HOURLY), clean(daily, HOURLY)
    both = len(set(alone[0].rows["datetime"]) & set(alone[1].rows["datetime"]))
    total = sum(frame.height for _, frame in files)
    assert whole.rows.height + both + whole.rejects.height + whole.tally.identical_duplicates == total
    # Any order of the files and any cut at a month's end give the same.
    shuffled = clean(data.draw(st.permutations(files)), HOURLY)
    assert shuffled.rows.equals(whole.rows)
    assert shuffled.tally == whole.tally
    by_month = [
        clean([(source, frame) for source, frame in files if source.period.month == number], HOURLY)
        for number in (1, 2, 3)
    ]
    assert pl.concat([part.rows for part in by_month]).equals(whole.rows)
    assert by_month[0].tally + by_month[1].tally + by_month[2].tally == whole.tally


@pytest.mark.parametrize(("symbol", "rows"), [("BTCUSDT", 17604), ("ETHUSDT", 17605)])
def test_the_real_archive_is_clean(archive: Path, symbol: str, rows: int) -> None:
    monthly, files = Dataset(symbol=symbol), []
    for dataset in (monthly, monthly.with_frequency("daily")):
        for path in (archive / dataset.archive_folder).glob("*.zip"):
            period = dataset.parse_stem(path.stem)
            assert period
            source = SourceFile(path.stem, dataset.data_frequency, period)
            files.append((source, read_zip(path.read_bytes(), dataset, period)))
    cleaned = clean(files, monthly)
    assert cleaned.rows.height == sum(frame.height for _, frame in files)
    assert cleaned.rows.filter(pl.col("datetime") < datetime(2025, 9, 1)).height == rows
    assert cleaned.tally == Tally()
    # No trade took place then, and nothing is invented.
    assert (datetime(2017, 9, 6, 16) in cleaned.rows["datetime"].to_list()) == (symbol == "ETHUSDT")


def test_columns_of_coin_margined_contracts_are_called_what_they_hold() -> None:
    found = clean([(JANUARY, month())], Dataset(market="cm", symbol="BTCUSD_PERP", interval="1h")).rows
    assert "quote_volume" not in found.columns and "taker_buy_quote_volume" not in found.columns
    assert found["base_volume"].to_list() == month()["quote_volume"].to_list()
    assert found["taker_buy_base_volume"].to_list() == month()["taker_buy_quote_volume"].to_list()
    assert found.drop("base_volume", "taker_buy_base_volume").columns == [
        name for name in SILVER if "quote" not in name
    ]
    usual = clean([(JANUARY, month())], Dataset(market="um", interval="1h")).rows
    assert usual.columns == list(SILVER)


@pytest.mark.parametrize(("made", "whole"), [(datetime(2026, 10, 31, 23, 59), False), (datetime(2026, 11, 1), True)])
def test_a_months_bar_is_open_until_the_month_is_over(made: datetime, whole: bool) -> None:
    """October is not over after its 30th day, by which a month used to be counted."""
    source = SourceFile("BTCUSDT-1mo-2026-10", "monthly", date(2026, 10, 1), made.replace(tzinfo=UTC))
    opened = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp() * 1_000)
    bar = month(SourceFile("BTCUSDT-1mo-2026-10", "monthly", date(2026, 10, 1))).head(1)
    bar = bar.with_columns(open_time=pl.lit(opened), close_time=pl.lit(opened + 31 * 86_400_000 - 1))
    found = clean([(source, bar)], Dataset(interval="1mo"))
    assert (found.rows.height, found.tally.open_bars) == ((1, 0) if whole else (0, 1))
