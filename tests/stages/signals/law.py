"""The law, as two checks that a test or a mutant can run: over frames, and from files to files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import polars as pl
from hypothesis import strategies as st
from tests.stages.signals.plain_signals import (
    DIRECTION,
    FIRST,
    HOUR,
    MOMENTUM_COLUMNS,
    NAN,
    Judge,
    Row,
    known,
    momentum,
    plain_signals,
    tables,
)

from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.stages.signals import generate
from hermes.stages.signals.generate import signal_chunks
from hermes.steps import measure
from hermes.steps import signals as step
from hermes.strategies.base import Strategy
from hermes.strategies.columns import input_schema, output_schema
from hermes.strategies.smart_momentum import SmartMomentum

# --- over frames ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """One way through a table: where its frames end, rows per chunk, rows of context, rows before the start."""

    ends: tuple[int, ...]
    chunk_rows: int
    context_rows: int
    before: int


@st.composite
def cuts(draw, rows: int, look_back: int) -> Cut:
    """Any way of cutting `rows` rows; contexts no longer than needed are likely."""
    return Cut(
        ends=tuple(sorted(draw(st.sets(st.integers(1, rows), max_size=4)))),
        chunk_rows=draw(st.integers(1, rows + 1)),
        context_rows=draw(st.sampled_from([look_back, look_back, look_back + 1, 50])),
        before=draw(st.integers(0, rows - 1)),
    )


def check_frames(rows: list[Row], strategy: Strategy, judge: Judge, cut: Cut) -> None:
    """Signals of frames equal the plain ones, in chunks of exactly the size asked for."""
    schema = input_schema(strategy)
    clean = [{name: value if known(value) else None for name, value in row.items()} for row in rows]
    pieces = [pl.LazyFrame(clean[a:b], schema) for a, b in pairwise([0, *cut.ends, len(rows)]) if a < b]
    seen = min(cut.before, cut.context_rows)
    plan = pl.concat(pieces).slice(cut.before - seen)
    chunks = list(signal_chunks(plan, strategy, chunk_rows=cut.chunk_rows, context_rows=cut.context_rows, seen=seen))
    assert chunks
    found = pl.concat(chunks)
    wanted = plain_signals(rows, judge, start=rows[cut.before]["datetime"])
    assert found.to_dicts() == [{name: value for name, value in row.items() if name != "symbol"} for row in wanted]
    assert found.schema.items() <= output_schema(strategy).items()
    assert {chunk.height for chunk in chunks[:-1]} <= {cut.chunk_rows}
    assert chunks[-1].height <= cut.chunk_rows


# --- from files to files ----------------------------------------------------------------------------------------------

#: Names that sort in no order of time, that a glob would read as a pattern, that a hive reader would read as columns.
NAMES = (
    "year=2024/month=10/data_0.parquet",
    "year=2024/month=2/data_0.parquet",
    "year=2024/month=02/part.parquet",
    "1000/[ab]*.parquet",
    "z é ?.parquet",
    "symbol=OTHER/ema_12=7/x.parquet",
    "0.parquet",
)
TIMES = (pl.Datetime("us"), pl.Datetime("ms"), pl.Datetime("ns"), pl.Datetime("us", "UTC"), pl.Datetime("ms", "UTC"))
COUNTED = ("rows", "first", "last", "unique_days", "buy_signals", "sell_signals", "total_signals")


@dataclass(frozen=True)
class File:
    """One file of a table: its name, where it ends, and how its writer chose to write."""

    name: str
    end: int
    time: pl.DataType
    direction: pl.DataType
    row_group: int
    extra: bool  # columns that Hermes did not ask for, among them those of a hive path
    unknown_as_nan: bool


@dataclass(frozen=True)
class Way:
    """One way of making the signals: how the table lies on disk, rows per chunk, and the code's own batch sizes."""

    files: tuple[File, ...]
    chunk_rows: int
    context_rows: int
    batch_rows: int


@dataclass(frozen=True)
class Case:
    """A table, the span asked for, and two ways that must agree."""

    rows: list[Row]
    start: datetime | None
    end: datetime | None
    ways: tuple[Way, Way]


@st.composite
def ways(draw, rows: int) -> Way:
    ends = sorted(draw(st.sets(st.integers(1, rows), max_size=5)) | {rows})
    names = draw(st.permutations(NAMES))
    files = tuple(
        File(
            name=name,
            end=end,
            time=draw(st.sampled_from(TIMES)),
            direction=draw(st.sampled_from([pl.Int8(), pl.Int64(), pl.Float64(), pl.Float32()])),
            row_group=draw(st.integers(1, rows)),
            extra=draw(st.booleans()),
            unknown_as_nan=draw(st.booleans()),
        )
        for name, end in zip(names, ends, strict=False)
    )
    sizes = st.integers(1, rows + 1)
    return Way(files, draw(sizes), draw(st.sampled_from([1, 1, 2, 50])), draw(sizes))


@st.composite
def cases(draw, max_rows: int = 40) -> Case:
    """Any table; it starts and ends on a bar, between two bars, or is taken whole."""
    rows = draw(tables(MOMENTUM_COLUMNS, max_rows))
    first = draw(st.integers(0, len(rows) - 1))
    last = draw(st.integers(first, len(rows) - 1))
    early, late = (draw(st.sampled_from([0 * HOUR, HOUR / 2])) for _ in range(2))
    return Case(
        rows,
        draw(st.sampled_from([None, rows[first]["datetime"] - early])),
        draw(st.sampled_from([None, rows[last]["datetime"] + late])),
        (draw(ways(len(rows))), draw(ways(len(rows)))),
    )


def eventful() -> Case:
    """One table in which everything happens, at a start, an end, or the boundary of a file and a chunk."""
    indicators = [
        (1.0, 2.0, 1),
        (2.0, 2.0, 1),
        (3.0, 2.0, 1),  # the start: a cross that only the bar before it can show
        (3.0, 2.0, -1),  # sold
        (1.0, 2.0, 1),
        (NAN, 2.0, 1),  # no cross, though NaN is greater than 2 in Polars
        (3.0, 2.0, 1),  # no cross: the bar before is unknown
        (1.0, 2.0, 1),
        (3.0, 2.0, 1),  # bought, and held over two boundaries
        (3.0, 2.0, 1),
        (3.0, 2.0, 1),
        (3.0, 2.0, -1),  # the end: sold
        (1.0, 2.0, 1),
        (3.0, 2.0, 1),  # after the end
    ]
    rows = [
        {
            "datetime": FIRST + i * HOUR,
            "symbol": "BTCUSDT",
            **dict.fromkeys(("open", "high", "low", "close"), 100.0 + i),
            "volume": 1.0,
            "ema_12": fast,
            "ema_26": slow,
            "rsi_14": 50.0,
            DIRECTION: direction,
        }
        for i, (fast, slow, direction) in enumerate(indicators)
    ]
    files = [
        File(name, end, time, pl.Float64(), 2, extra=True, unknown_as_nan=True)
        for name, end, time in zip(("b.parquet", "c.parquet", "a.parquet"), (3, 8, len(rows)), TIMES, strict=False)
    ]
    ways = Way(tuple(files), 1, 1, 3), Way((replace(files[0], end=len(rows)),), 4, 50, 100)
    return Case(rows, rows[2]["datetime"], rows[11]["datetime"], ways)


def write_table(rows: Sequence[Row], files: Sequence[File], folder: Path) -> None:
    """The rows as the given files, each in its writer's own types."""
    start = 0
    for file in files:
        unknown = NAN if file.unknown_as_nan else None
        part = pl.DataFrame(
            [
                {name: value if known(value) else unknown for name, value in row.items()}
                for row in rows[start : file.end]
            ],
            {**dict.fromkeys(rows[0], pl.Float64()), "datetime": pl.Datetime(), "symbol": pl.String()},
        )
        direction = pl.col(DIRECTION) if file.direction.is_float() else pl.col(DIRECTION).replace(NAN, None)
        time = pl.col("datetime").cast(pl.Datetime(file.time.time_unit)).dt.replace_time_zone(file.time.time_zone)
        part = part.with_columns(direction.cast(file.direction), time)
        if file.extra:
            part = part.select(*reversed(part.columns), year=pl.lit("1999"), month=pl.lit(13), timeframe=pl.lit("1h"))
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_parquet(path, row_group_size=file.row_group)
        start = file.end


def make(case: Case, way: Way, root: Path) -> tuple[pl.DataFrame, dict, step.Signalled]:
    """Write the table, make its signals; returns rows, footer and summary."""
    flags = {
        "lake.url": f"{root}/{{layer}}",
        "dataset.interval": "1h",
        "signals.chunk_rows": way.chunk_rows,
        "signals.context_rows": way.context_rows,
        "signals.start": case.start,
        "signals.end": case.end,
    }
    settings = Settings.load(flags, environ={})
    write_table(case.rows, way.files, root / "gold" / settings.dataset.features_table)
    with (
        patch.object(generate, "ROW_GROUP_ROWS", way.batch_rows),
        patch.object(measure, "ROW_GROUP_ROWS", way.batch_rows),
    ):
        made = step.signals(settings, Lake.open(settings))
    footer = json.loads(pl.read_parquet_metadata(made.path)["hermes"])
    return pl.read_parquet(made.path, hive_partitioning=False), footer, made


def check_files(case: Case) -> None:
    """Published rows equal the plain ones, both ways; footers count them; metrics are the same to the last bit."""
    wanted = plain_signals(case.rows, momentum, case.start, case.end)
    results = []
    for way in case.ways:
        with TemporaryDirectory() as folder:
            found, footer, made = make(case, way, Path(folder))
        assert found.schema == output_schema(SmartMomentum())
        assert found.select(wanted[0].keys()).to_dicts() == wanted
        times = [row["datetime"] for row in wanted]
        assert [(row["year"], row["month"]) for row in found.to_dicts()] == [(t.year, t.month) for t in times]
        buys, sells = (sum(row[name] for row in wanted) for name in ("buy_signal", "sell_signal"))
        counts = {
            "rows": len(wanted),
            "first": times[0].isoformat(),
            "last": times[-1].isoformat(),
            "unique_days": len({time.date() for time in times}),
            "buy_signals": buys,
            "sell_signals": sells,
            "total_signals": buys + sells,
        }
        assert {name: footer[name] for name in COUNTED} == counts
        assert {name: made.as_json()[name] for name in COUNTED} == counts
        assert sum(source["rows"] for source in footer["sources"]) == len(case.rows)
        assert footer["metrics"] == made.metrics
        stamps = found.select(pl.selectors.starts_with("validated_")).unique().rows()
        assert stamps == [tuple(made.metrics[name] for name in ("total_return_pct", "sharpe", "max_drawdown_pct"))]
        results.append((found.drop("generated_at").rows(), made.metrics))
    assert results[0] == results[1]
