"""The faults that ruin people, planted one by one: each must be found, with the column that carries it named."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl
import pytest

from hermes.dataset import Dataset
from hermes.stages.audit.continuity import continuity
from hermes.stages.audit.difference import first_difference
from hermes.stages.audit.lookahead import look_ahead
from hermes.stages.audit.warm_up import warm_up
from hermes.stages.bronze.klines import read_zip
from hermes.stages.bronze.simulate import write_archive
from hermes.stages.gold.features import features
from hermes.stages.signals.generate import signal_chunks
from hermes.stages.signals.plan import signals
from hermes.strategies.smart_momentum import SmartMomentum

CLOSE, TIME = pl.col("close"), pl.col("datetime")


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Half a year of simulated 4h bars."""
    root = tmp_path_factory.mktemp("archive")
    dataset = Dataset(symbol="SIMUSDT")
    write_archive(root, dataset, date(2023, 1, 1), 6)
    frames = [
        read_zip(
            Path(root, dataset.archive_folder, f"{dataset.archive_stem(period)}.zip").read_bytes(), dataset, period
        )
        for period in (date(2023, month, 1) for month in range(1, 7))
    ]
    return (
        pl.concat(frames)
        .select(
            datetime=(pl.col("open_time") * 1000).cast(pl.Datetime("us")),
            symbol=pl.lit("SIMUSDT"),
            timeframe=pl.lit("4h"),
            open="open",
            high="high",
            low="low",
            close="close",
            volume="volume",
        )
        .sort("datetime")
    )


def cuts(bars: pl.DataFrame, count: int = 20) -> list[int]:
    random = Random(1)
    return [random.randrange(1, bars.height + 1) for _ in range(count)]


def honest(bars: pl.DataFrame) -> pl.DataFrame:
    return signals(features(bars.lazy()).collect(), SmartMomentum(), context=0, position=0)


def joined_by_day(bars: pl.DataFrame) -> pl.DataFrame:
    daily = bars.group_by(day=TIME.dt.date()).agg(planted=CLOSE.last())
    return bars.join(daily, left_on=TIME.dt.date(), right_on="day", how="left", maintain_order="left").drop(
        "literal", strict=False
    )


def slipped(bars: pl.DataFrame) -> pl.DataFrame:
    """Another table's times are local ones: eight hours of the future are taken for the present."""
    other = bars.select(TIME - timedelta(hours=8), planted="close")
    return bars.join(other, on="datetime", how="left", maintain_order="left")


PEEKING = {
    "shift(-1)": lambda bars: bars.with_columns(planted=CLOSE.shift(-1)),
    "centred rolling mean": lambda bars: bars.with_columns(planted=CLOSE.rolling_mean(5, center=True)),
    "whole-frame min and max": lambda bars: bars.with_columns(
        planted=(CLOSE - CLOSE.min()) / (CLOSE.max() - CLOSE.min())
    ),
    "backward fill": lambda bars: bars.with_columns(
        planted=pl.when(pl.int_range(pl.len()) % 3 == 0).then(CLOSE).backward_fill()
    ),
    "resample that peeks": joined_by_day,
    "future-sorted join": lambda bars: bars.join_asof(
        bars.select("datetime", planted="close").gather_every(7), on="datetime", strategy="forward"
    ),
    "time-zone slip": slipped,
    "normalised by its last value": lambda bars: bars.with_columns(planted=CLOSE / CLOSE.last()),
}


@pytest.mark.parametrize("fault", PEEKING)
def test_a_column_that_peeks_is_named(fault: str, bars: pl.DataFrame) -> None:
    def compute(given: pl.DataFrame) -> pl.DataFrame:
        planted = PEEKING[fault](given)["planted"]
        return honest(given).with_columns(planted)

    found = look_ahead(bars, compute, cuts(bars))
    assert found is not None
    assert found.column == "planted"


class RestartedEma(SmartMomentum):
    """Keeps its own EMA inside the rules, where it starts again with every chunk."""

    def conditions(self) -> dict[str, pl.Expr]:
        return {**super().conditions(), "own_ema": CLOSE.ewm_mean(span=200) > CLOSE}


def test_an_ema_restarted_per_chunk_is_named(bars: pl.DataFrame) -> None:
    strategy = RestartedEma()
    table = features(bars.lazy()).collect()
    whole = signals(table, strategy, context=0, position=0)

    def in_chunks(rows: pl.LazyFrame, size: int) -> Iterator[pl.DataFrame]:
        return signal_chunks(rows, strategy, chunk_rows=size, context_rows=50)

    found = continuity(table, whole, in_chunks, [100], [[]])
    assert found is not None
    assert found.column == "own_ema"


def test_a_position_reset_at_a_boundary_is_named(bars: pl.DataFrame) -> None:
    strategy = SmartMomentum()
    table = features(bars.lazy()).collect()
    whole = signals(table, strategy, context=0, position=0)
    entry = int(whole["position"].arg_max() or 0)
    assert whole["position"][entry] == whole["position"][entry + 1] == 1

    def in_chunks(rows: pl.LazyFrame, size: int) -> Iterator[pl.DataFrame]:
        frame = rows.collect()
        for offset in range(0, frame.height, size):
            context = min(offset, 50)
            yield signals(frame.slice(offset - context, size + context), strategy, context, position=0)

    found = continuity(table, whole, in_chunks, [entry + 1], [[]])
    assert found is not None
    assert found.column == "position"


def test_rows_lost_between_chunks_are_found(bars: pl.DataFrame) -> None:
    table = features(bars.lazy()).collect()
    whole = signals(table, SmartMomentum(), context=0, position=0)
    found = continuity(table, whole, lambda rows, size: [whole.head(size)], [100], [[]])
    assert found is not None
    assert found.found == "100 rows"


def test_no_false_alarm(bars: pl.DataFrame) -> None:
    assert look_ahead(bars, honest, cuts(bars)) is None
    strategy = SmartMomentum()
    table = features(bars.lazy()).collect()

    def in_chunks(rows: pl.LazyFrame, size: int) -> Iterator[pl.DataFrame]:
        return signal_chunks(rows, strategy, chunk_rows=size, context_rows=50)

    whole = signals(table, strategy, context=0, position=0)
    assert continuity(table, whole, in_chunks, [1, 7, 10_000], [[5, 5], [], [bars.height]]) is None


def test_warm_up_of_known_columns(bars: pl.DataFrame) -> None:
    def compute(given: pl.DataFrame) -> pl.DataFrame:
        return given.with_columns(
            mean=CLOSE.rolling_mean(10), decay=CLOSE.ewm_mean(span=10, adjust=False), all_of_it=CLOSE.cum_sum()
        )

    needed = dict(warm_up(bars, compute, [100, 333]).iter_rows())
    assert needed["mean"] == 9
    assert 80 < needed["decay"] < 200  # (9 / 11) ** n falls below 1e-9 after 103 bars
    assert needed["all_of_it"] is None


def test_first_difference_is_the_earliest_bar_then_the_first_column() -> None:
    times = [datetime(2024, 1, day) for day in (1, 2, 3)]
    one = pl.DataFrame({"datetime": times, "a": [1, 2, None], "b": [1.0, 2.0, 3.0]})
    assert first_difference(one, one.clone()) is None
    other = one.with_columns(a=pl.Series([1, 2, 3]), b=pl.Series([1.0, 0.0, 0.0]))
    found = first_difference(one, other)
    assert found is not None
    assert (found.column, found.bar, found.expected, found.found) == ("b", times[1], 2.0, 0.0)
    assert str(found) == "b at 2024-01-02 00:00:00: 0.0 instead of 2.0"
