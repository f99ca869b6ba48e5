"""Columns of a longer interval: a plain loop says the same, a longer bar is unknown until its period is over."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.dataset import INTERVAL_SECONDS
from hermes.errors import UnknownIndicator
from hermes.stages.gold.features import with_indicators
from hermes.stages.gold.timeframes import check_longer, longer_bars

START = datetime(2023, 12, 27, 12)


def series(
    rows: int, interval: str = "4h", missing: frozenset[int] = frozenset(), start: datetime = START
) -> pl.DataFrame:
    """Bars with prices of their own, some of them missing."""
    step = timedelta(seconds=INTERVAL_SECONDS[interval])
    kept = [number for number in range(rows) if number not in missing]
    close = [100 + (number * 7919 % 101) / 10 for number in kept]
    return pl.DataFrame(
        {
            "datetime": [start + number * step for number in kept],
            "open": [price - 0.5 for price in close],
            "high": [price + 1 for price in close],
            "low": [price - 1 for price in close],
            "close": close,
            "volume": [float(number % 13 + 1) for number in kept],
        },
        schema_overrides={"datetime": pl.Datetime("us")},
    )


def period_end(at: datetime, longer: str) -> datetime:
    """When the longer bar around `at` is over."""
    day = datetime(at.year, at.month, at.day)
    match longer:
        case "1w":
            return day - timedelta(days=day.weekday()) + timedelta(days=7)
        case "1mo":
            return datetime(at.year + at.month // 12, at.month % 12 + 1, 1)
    length = timedelta(seconds=INTERVAL_SECONDS[longer])
    return datetime(1970, 1, 1) + ((at - datetime(1970, 1, 1)) // length + 1) * length


def plain_sma(bars: pl.DataFrame, interval: str, longer: str, n: int) -> list[float | None]:
    """`sma_n@longer` row by row, from nothing but rows whose longer bar was over at the row's close."""
    step, rows = timedelta(seconds=INTERVAL_SECONDS[interval]), list(bars.iter_rows(named=True))
    found: list[float | None] = []
    for row in rows:
        closes: dict[datetime, float] = {}
        for other in rows:
            end = period_end(other["datetime"], longer)
            if end <= row["datetime"] + step:
                closes[end] = other["close"]
        last = list(closes.values())[-n:]
        found.append(sum(last) / n if len(last) == n else None)
    return found


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 90),
    missing=st.frozensets(st.integers(1, 89), max_size=40),
    pair=st.sampled_from([("4h", "12h"), ("4h", "1d"), ("4h", "3d"), ("8h", "1w"), ("1d", "1mo"), ("1d", "1w")]),
    n=st.integers(1, 3),
)
def test_equals_a_plain_loop(rows: int, missing: frozenset[int], pair: tuple[str, str], n: int) -> None:
    interval, longer = pair
    start = START.replace(hour=0) if interval == "1d" else START.replace(hour=8)
    bars = series(rows, interval, missing, start)
    made = with_indicators(bars.lazy(), [f"sma_{n}@{longer}"], interval).collect()
    for ours, theirs in zip(made[f"sma_{n}@{longer}"], plain_sma(bars, interval, longer, n), strict=True):
        assert ours == (theirs if theirs is None else pytest.approx(theirs, rel=1e-12))


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(2, 60), known=st.integers(1, 59), missing=st.frozensets(st.integers(0, 59), max_size=20))
def test_later_bars_never_change_it(rows: int, known: int, missing: frozenset[int]) -> None:
    bars = series(rows, missing=missing)
    names = ["close", "sma_2@1d", "returns_1@12h", "donchian_high_2@1d"]
    whole = with_indicators(bars.lazy(), names[1:], "4h").collect()
    part = with_indicators(bars.head(known).lazy(), names[1:], "4h").collect()
    assert part.equals(whole.head(known))


def test_longer_bars_are_what_the_rows_hold() -> None:
    bars = series(9, start=datetime(2024, 1, 1))
    (first, second) = longer_bars(bars.lazy(), "1d").collect().rows(named=True)
    day = bars.head(6)
    assert first == {
        "datetime": datetime(2024, 1, 1),
        "open": day["open"][0],
        "high": day["high"].max(),
        "low": day["low"].min(),
        "close": day["close"][5],
        "volume": day["volume"].sum(),
    }
    assert second["datetime"] == datetime(2024, 1, 2)


def test_a_longer_bar_is_known_at_its_close_and_not_one_row_before() -> None:
    bars = series(12, start=datetime(2024, 1, 1))
    found = with_indicators(bars.lazy(), ["sma_1@1d"], "4h").collect()["sma_1@1d"].to_list()
    assert found[:5] == [None] * 5
    assert found[5:11] == [bars["close"][5]] * 6
    assert found[11] == bars["close"][11]


@pytest.mark.parametrize(
    ("interval", "longer"), [("4h", "4h"), ("4h", "1h"), ("8h", "12h"), ("3d", "1w"), ("4h", "5h"), ("1w", "1mo")]
)
def test_intervals_that_do_not_fit_are_refused(interval: str, longer: str) -> None:
    with pytest.raises(UnknownIndicator, match=f"bars of {interval} do not make whole bars of '{longer}'"):
        check_longer(f"ema_5@{longer}", interval, longer)
