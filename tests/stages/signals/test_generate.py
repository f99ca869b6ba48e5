"""What the law does not say: what is refused, what a failure leaves behind, and real sizes."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.stages.signals.law import Case, File, Way, make
from tests.stages.signals.plain_signals import FIRST, HOUR, MOMENTUM_COLUMNS, Echo, momentum, plain_signals

from hermes.errors import UsageError
from hermes.stages.signals import generate
from hermes.stages.signals.generate import ROW_GROUP_ROWS, Decisions, signal_chunks, write_signals
from hermes.strategies.columns import input_schema

NUMBERS = {"number": pl.Int64()}
MADE = pl.LazyFrame(schema=NUMBERS)


class Broken(Exception):
    """Not one of ours."""


def test_a_context_shorter_than_the_look_back_is_refused():
    rows = pl.LazyFrame(schema=input_schema(Echo()))
    with pytest.raises(UsageError, match=r"context_rows = 2 .* 3 bars .*signals\.context_rows to 3"):
        list(signal_chunks(rows, Echo(bars=3), chunk_rows=10, context_rows=2))
    assert list(signal_chunks(rows, Echo(bars=3), chunk_rows=10, context_rows=3)) == []


def test_frames_become_one_file_with_row_groups_of_one_size(tmp_path):
    path, total = tmp_path / "made.parquet", 0

    def frames():
        nonlocal total
        for size in (1, 70_000, 3, 150_000, 30_001):
            yield pl.DataFrame({"number": range(total, total + size)}, NUMBERS)
            total += size

    given = pl.LazyFrame({"given": range(250_005)})
    schema = {"given": pl.Int64(), **NUMBERS}
    write_signals(given, frames(), schema, path, lambda: {"asked for": f"after {total} rows"})
    numbers = pl.int_range(total, eager=True)
    assert pl.read_parquet(path).equals(pl.DataFrame({"given": numbers, "number": numbers}))
    assert pl.read_parquet_metadata(path)["asked for"] == f"after {total} rows"
    import pyarrow.parquet as pq

    groups = pq.ParquetFile(path).metadata
    sizes = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
    assert set(sizes[:-1]) == {ROW_GROUP_ROWS}
    assert groups.row_group(0).column(0).compression == "SNAPPY"


@pytest.mark.parametrize("error", [Broken("here"), KeyboardInterrupt(), UsageError("no", "cure")], ids=repr)
def test_an_error_in_the_frames_is_raised_as_it_was(error, tmp_path):
    def frames():
        yield pl.DataFrame({"number": [1]}, NUMBERS)
        raise error

    with pytest.raises(type(error)) as raised:
        write_signals(pl.LazyFrame({"given": [1]}), frames(), NUMBERS, tmp_path / "made.parquet", dict)
    assert raised.value is error


def test_ctrl_c_is_raised_not_that_frames_were_wanted_no_more(tmp_path, monkeypatch):
    """Where Polars is interrupted while it writes, it closes the source of the frames first."""
    sources: list[Any] = []

    def interrupted(*_, **options):
        frames = sources[0]()
        next(frames)
        frames.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "register_io_source", lambda source, schema: sources.append(source) or MADE)
    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", interrupted)
    frames = iter([pl.DataFrame({"number": [1]}, NUMBERS)] * 2)
    with pytest.raises(KeyboardInterrupt):
        write_signals(pl.LazyFrame({"given": [1, 2]}), frames, NUMBERS, tmp_path / "made.parquet", dict)


@pytest.mark.parametrize("rows", [1, 3])
def test_more_or_fewer_decisions_than_rows_are_an_error(rows, tmp_path):
    frames = iter([pl.DataFrame({"number": [1]}, NUMBERS)] * 2)
    schema = {"given": pl.Int64(), **NUMBERS}
    with pytest.raises(pl.exceptions.ShapeError):
        write_signals(pl.LazyFrame({"given": range(rows)}), frames, schema, tmp_path / "made.parquet", dict)


def random_rows(n: int, seed: int) -> list[dict]:
    """Random rows of the feature table, every hour."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.choice(np.array(values, object), n) for name, values in MOMENTUM_COLUMNS.items()}
    times = ({"datetime": FIRST + i * HOUR, "symbol": "BTCUSDT"} for i in range(n))
    return [
        {**time, **dict(zip(columns, row, strict=True))}
        for time, row in zip(times, zip(*columns.values(), strict=True), strict=True)
    ]


def one_file(n: int, chunk_rows: int, batch_rows: int) -> Way:
    file = File("a.parquet", n, pl.Datetime("us"), pl.Float64(), 50_000, extra=False, unknown_as_nan=True)
    return Way((file,), chunk_rows, 50, batch_rows)


@pytest.mark.parametrize("error", [Broken("here"), KeyboardInterrupt()], ids=repr)
def test_a_failure_between_two_chunks_leaves_nothing(error, tmp_path, monkeypatch):
    frames_made = 0

    def stamped(*arguments):
        nonlocal frames_made
        for frame in STAMPED(*arguments):
            frames_made += 1
            if frames_made == 3:
                raise error
            yield frame

    monkeypatch.setattr(Decisions, "stamped", stamped)
    with pytest.raises(type(error)) as raised:
        make(Case(random_rows(20, 1), None, None, ()), one_file(20, 4, 5), tmp_path)
    assert raised.value is error
    assert frames_made == 3
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert left == ["gold/gold_features_spot_monthly_klines_BTCUSDT_1h/a.parquet"]


def test_real_sizes_cross_every_boundary_of_the_code(tmp_path):
    """More rows than one row group, one block of the backtest, and one batch of the first pass (made smaller here)."""
    rows = random_rows(160_000, 2)
    wanted = pl.DataFrame(plain_signals(rows, momentum, rows[7]["datetime"]), infer_schema_length=None)
    metrics = []
    for chunk_rows, batch_rows in ((1_000, 100_000), (70_001, 30_000), (1_000_000, 1_000_000)):
        case = Case(rows, rows[7]["datetime"], None, ())
        found, _, made = make(case, one_file(len(rows), chunk_rows, batch_rows), tmp_path / str(chunk_rows))
        assert found.select(wanted.columns).cast(dict(wanted.schema)).equals(wanted)
        assert made.chunks == -(-found.height // chunk_rows)
        metrics.append(made.metrics)
    assert metrics[0] == metrics[1] == metrics[2]
    assert wanted["buy_signal"].sum() > 100


STAMPED = Decisions.stamped
