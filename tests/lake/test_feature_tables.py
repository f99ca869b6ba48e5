"""Feature tables that other tools wrote: whatever is honest is read as one table, anything else is refused by name."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hermes.errors import StoreError, TableRefused
from hermes.lake import tables as lake_tables
from hermes.lake.store import Lake, Layer
from hermes.lake.tables import Table, in_order, open_table, with_prices
from hermes.schemas import DATETIME
from hermes.settings import Settings

COLUMNS = {
    "datetime": DATETIME,
    "symbol": pl.String(),
    "close": pl.Float64(),
    "rsi_14": pl.Float64(),
    "supertrend_dir_10_3.0": pl.Int8(),
}
DIRECTION = "supertrend_dir_10_3.0"
START = datetime(2024, 1, 1)


@pytest.fixture
def gold(tmp_path: Path) -> Layer:
    return Lake.open(Settings.load({"lake.url": f"{tmp_path}/{{layer}}"}, environ={})).gold


def bars(first: int, count: int, symbol: str = "BTCUSDT") -> pl.DataFrame:
    """Four-hour bars numbered from `first`; the value of each is its number."""
    numbers = range(first, first + count)
    return pl.DataFrame(
        {
            "datetime": [START + timedelta(hours=4 * n) for n in numbers],
            "symbol": symbol,
            "close": [float(n) for n in numbers],
            "rsi_14": [None if n < 3 else n / 2 for n in numbers],
            "supertrend_dir_10_3.0": [None if n < 3 else (-1) ** n for n in numbers],
        },
        schema={**COLUMNS},
    )


def put(gold: Layer, **frames: pl.DataFrame) -> None:
    """Write files of a table, named by their position in time or not."""
    for name, frame in frames.items():
        path = Path(gold.address) / "t" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path)


def opened(gold: Layer, columns=COLUMNS) -> Table:
    return open_table(gold, gold.files("t"), columns, "BTCUSDT")


def whole(gold: Layer) -> pl.DataFrame:
    table = opened(gold)
    frames = list(in_order(iter([table.plan.collect()]), table))
    return pl.concat(frames)


def refused(gold: Layer, *said: str) -> None:
    with pytest.raises(TableRefused) as error:
        whole(gold)
    text = str(error.value)
    assert len(text.splitlines()) == 1
    assert "→" in text
    for part in said:
        assert part in text


# --- honest tables ---------------------------------------------------------------------------------------------------


def test_files_are_ordered_by_time_not_by_name(gold: Layer):
    put(gold, **{"year=2024/month=10/x": bars(20, 10), "year=2024/month=2/x": bars(10, 10), "a": bars(0, 10)})
    table = opened(gold)
    assert [part.file.key for part in table.parts] == [
        "t/a.parquet", "t/year=2024/month=2/x.parquet", "t/year=2024/month=10/x.parquet",
    ]  # fmt: skip
    assert whole(gold).equals(bars(0, 30))
    assert table.rows == 30


@pytest.mark.parametrize("month", ["month=2", "month=02", "02", "part 1"])
def test_month_folders_are_only_names(gold: Layer, month: str):
    put(gold, **{f"{month}/data_0": bars(0, 5).with_columns(year=pl.lit(2024), month=pl.lit("2"))})
    assert whole(gold).equals(bars(0, 5))


DIALECTS = {
    "ms": lambda frame: frame.with_columns(pl.col("datetime").cast(pl.Datetime("ms"))),
    "ns": lambda frame: frame.with_columns(pl.col("datetime").cast(pl.Datetime("ns"))),
    "UTC": lambda frame: frame.with_columns(pl.col("datetime").dt.replace_time_zone("UTC")),
    "ms UTC": lambda frame: frame.with_columns(pl.col("datetime").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")),
    "NaN warm-up": lambda frame: frame.with_columns(pl.col("rsi_14").fill_null(float("nan"))),
    "NaN direction": lambda frame: frame.with_columns(pl.col(DIRECTION).cast(pl.Float64).fill_null(float("nan"))),
    "float direction": lambda frame: frame.with_columns(pl.col(DIRECTION).cast(pl.Float64)),
    "Int64 direction": lambda frame: frame.with_columns(pl.col(DIRECTION).cast(pl.Int64)),
    "Int32 direction": lambda frame: frame.with_columns(pl.col(DIRECTION).cast(pl.Int32)),
    "Float32": lambda frame: frame.with_columns(pl.col("close").cast(pl.Float32)),
    "integer prices": lambda frame: frame.with_columns(pl.col("close").cast(pl.Int64)),
    "categorical": lambda frame: frame.with_columns(pl.col("symbol").cast(pl.Categorical)),
    "enum": lambda frame: frame.with_columns(pl.col("symbol").cast(pl.Enum(["BTCUSDT"]))),
    "extra columns": lambda frame: frame.with_columns(year=2024, month=1, sma_7=pl.lit("x")),
    "other order": lambda frame: frame.select(reversed(frame.columns)),
    "as it should be": lambda frame: frame,
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_brought_to_the_contract(gold: Layer, dialect: str):
    put(gold, one=DIALECTS[dialect](bars(0, 9)))
    found = whole(gold)
    assert dict(found.schema) == COLUMNS
    assert found.equals(bars(0, 9))


def test_a_column_that_is_all_null_has_no_type_of_its_own(gold: Layer):
    frame = bars(0, 3).with_columns(pl.lit(None).alias("rsi_14"))
    assert frame.schema["rsi_14"] == pl.Null
    put(gold, one=frame, two=bars(3, 6))
    assert whole(gold).equals(bars(0, 9))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, 23), unique=True, max_size=5).map(sorted),
    dialects=st.lists(st.sampled_from(sorted(DIALECTS)), min_size=6, max_size=6),
    names=st.permutations("abcdef"),
)
def test_any_split_into_files_of_mixed_dialects_is_one_table(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], dialects: list[str], names: Sequence[str]
):
    gold = Lake.open(Settings.load({"lake.url": f"{tmp_path_factory.mktemp('t')}/{{layer}}"}, environ={})).gold
    edges = [0, *cuts, 24]
    for name, dialect, first, after in zip(names, dialects, edges, edges[1:], strict=False):
        put(gold, **{name: DIALECTS[dialect](bars(first, after - first))})
    table = opened(gold)
    found = pl.concat(list(in_order(table.plan.collect_batches(chunk_size=5, maintain_order=True), table)))
    assert found.equals(bars(0, 24))
    assert [part.rows for part in table.parts] == [after - first for first, after in pairwise(edges)]


def test_empty_files_are_passed_over_but_stay_in_the_snapshot(gold: Layer):
    put(gold, a=bars(0, 0), b=bars(0, 5), c=bars(5, 0))
    table = opened(gold)
    assert [part.file.key for part in table.parts] == ["t/b.parquet"]
    assert gold.unchanged("t", table.files)
    assert whole(gold).equals(bars(0, 5))


def test_types_are_told_apart_where_footers_do_not_speak_arrow(gold: Layer):
    """Files without Arrow's description of their columns, and with one."""
    put(gold, a=bars(0, 5), d=DIALECTS["float direction"](bars(15, 5)))
    for name, frame in {"b": bars(5, 5), "c": DIALECTS["integer prices"](DIALECTS["ms"](bars(10, 5)))}.items():
        pq.write_table(frame.to_arrow(), Path(gold.address) / "t" / f"{name}.parquet", store_schema=False)
    assert whole(gold).equals(bars(0, 20))


# --- refusals --------------------------------------------------------------------------------------------------------


def test_an_empty_table_is_refused(gold: Layer):
    put(gold, a=bars(0, 0))
    refused(gold, "BTCUSDT has no rows")


def test_all_missing_columns_are_named_with_the_nearest(gold: Layer):
    put(gold, ok=bars(0, 5), x=bars(5, 5).rename({"rsi_14": "rsi14", "supertrend_dir_10_3.0": "supertrend_dir"}))
    refused(gold, "t/x.parquet", "rsi_14, supertrend_dir_10_3.0", "rsi14", "supertrend_dir")


@pytest.mark.parametrize("column", ["symbol", "datetime"])
def test_time_and_symbol_are_checked_also_where_nobody_asked_for_them(gold: Layer, column: str):
    put(gold, x=bars(0, 5).drop(column))
    with pytest.raises(TableRefused, match=f"t/x.parquet lacks 1 column: {column}"):
        opened(gold, {"close": pl.Float64()})


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("close", pl.lit("x")),
        ("rsi_14", pl.lit(value=True)),
        ("datetime", pl.col("datetime").dt.date()),
        ("datetime", pl.col("datetime").cast(pl.String)),
        ("datetime", pl.col("datetime").cast(pl.Int64)),
        ("datetime", pl.col("datetime").dt.replace_time_zone("Europe/Paris")),
        ("symbol", pl.lit(1)),
        ("supertrend_dir_10_3.0", pl.lit("up")),
    ],
)
def test_a_wrong_type_names_file_and_column(gold: Layer, column: str, values: pl.Expr):
    put(gold, ok=bars(0, 5), x=bars(5, 5).with_columns(values.alias(column)))
    refused(gold, "t/x.parquet", f"column {column} is")


@pytest.mark.parametrize("row", [1, 3, 5])
def test_a_null_time_names_file_and_row(gold: Layer, row: int):
    time = pl.when(pl.int_range(pl.len()) == row - 1).then(None).otherwise("datetime").alias("datetime")
    put(gold, ok=bars(0, 5), x=bars(5, 5).with_columns(time))
    refused(gold, "t/x.parquet", f"datetime of row {row} is null")


@pytest.mark.parametrize("other", ["ETHUSDT", "btcusdt", "BTCUSDT ", None])
def test_a_foreign_symbol_names_file_and_row(gold: Layer, other: str | None):
    symbol = pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(other)).otherwise("symbol").alias("symbol")
    put(gold, ok=bars(0, 5), x=bars(5, 5).with_columns(symbol))
    refused(gold, "t/x.parquet", f"symbol of row 4 is {other!r}", "BTCUSDT")


@pytest.mark.parametrize("first", [4, 2, 0])
def test_overlapping_files_are_both_named(gold: Layer, first: int):
    put(gold, z=bars(0, 5), a=bars(first, 5))
    refused(gold, "t/z.parquet", "t/a.parquet")


def test_a_table_saved_twice_is_refused(gold: Layer):
    put(gold, **{"month=1/data_0": bars(0, 5), "month=01/data_0": bars(0, 5)})
    refused(gold, "month=1", "month=01")


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("row", [2, 5, 9])
@pytest.mark.parametrize("kind", ["repeats", "is earlier than"])
def test_disorder_names_file_and_row_whatever_the_chunks(gold: Layer, chunk: int, row: int, kind: str):
    bad = bars(10, 9)
    order = list(range(9))
    if kind == "repeats":
        order[row - 1] = row - 2
    else:
        order[row - 2], order[row - 1] = order[row - 1], order[row - 2]
    put(gold, b=bars(0, 10), a=bad[order], c=bars(19, 5))
    table = opened(gold)
    frames = table.plan.collect().iter_slices(chunk)
    with pytest.raises(TableRefused, match=rf"^t/a.parquet: datetime of row {row} .*{kind} the row before"):
        list(in_order(frames, table))


@pytest.mark.parametrize("skipped", [0, 3, 10, 12])
def test_rows_are_counted_from_the_start_of_the_file_also_after_a_cut(gold: Layer, skipped: int):
    order = [0, 1, 2, 3, 4, 5, 5, 7, 8]
    put(gold, b=bars(0, 10), a=bars(10, 9)[order])
    table = opened(gold)
    with pytest.raises(TableRefused, match=r"^t/a.parquet: datetime of row 7 .* repeats"):
        list(in_order(table.plan.collect()[skipped:].iter_slices(4), table, skipped))


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("row", [1, 2, 9])
@pytest.mark.parametrize("name", ["open", "close"])
@pytest.mark.parametrize("price", [None, float("nan"), float("inf"), float("-inf"), 0.0, -0.0, -1.0])
def test_a_price_that_nobody_could_trade_at_names_file_and_row(
    gold: Layer, price: float | None, name: str, row: int, chunk: int
):
    columns = {"datetime": DATETIME, "open": pl.Float64(), "close": pl.Float64()}
    bad = pl.when(pl.int_range(1, pl.len() + 1) == row).then(pl.lit(price)).otherwise(name).alias(name)
    sound, faulty = (bars(first, 9).with_columns(open=1.0, close=2.0) for first in (0, 9))
    put(gold, b=sound, a=faulty.with_columns(bad))
    table = opened(gold, columns)
    with pytest.raises(TableRefused, match=rf"^t/a.parquet: {name} of row {row} is "):
        list(with_prices(table.plan.collect().iter_slices(chunk), table))
    with pytest.raises(TableRefused, match=rf"^t/a.parquet: {name} of row {row} is "):
        list(with_prices(table.plan.collect()[9:].iter_slices(chunk), table, skipped=9))


def test_times_that_are_the_same_microsecond_are_a_repetition(gold: Layer):
    frame = bars(0, 2).with_columns(
        pl.Series("datetime", [0, 5], pl.Int64).cast(pl.Datetime("ns"))
    )  # fmt: skip
    put(gold, x=frame)
    refused(gold, "t/x.parquet: datetime of row 2", "repeats")


@pytest.mark.parametrize("row", [1, 5, 10])
@pytest.mark.parametrize(
    ("value", "dtype"),
    [(1.5, pl.Float64), (-0.25, pl.Float32), (float("inf"), pl.Float64), (float("-inf"), pl.Float32),
     (300, pl.Int64), (-129.0, pl.Float64), (1e300, pl.Float64), (200, pl.UInt8)],
)  # fmt: skip
def test_a_direction_that_is_no_small_whole_number_names_file_and_row(gold: Layer, row: int, value: float, dtype):
    frame = bars(5, 10).with_columns(
        pl.when(pl.int_range(1, pl.len() + 1) == row)
        .then(pl.lit(value))
        .otherwise(pl.lit(1))
        .cast(dtype)
        .alias(DIRECTION)
    )
    put(gold, a=bars(0, 5), b=frame)
    refused(gold, f"t/b.parquet: {DIRECTION} of row {row} is ", "whole numbers")


def test_a_direction_in_any_number_type_with_gaps_is_taken(gold: Layer):
    values = [None, float("nan"), 1.0, -1.0, 0.0]
    frame = bars(0, 5).with_columns(pl.Series(DIRECTION, values, pl.Float64))
    put(gold, a=frame)
    assert whole(gold)[DIRECTION].to_list() == [None, None, 1, -1, 0]


def test_a_corrupt_file_is_one_line(gold: Layer):
    put(gold, ok=bars(0, 5))
    (Path(gold.address) / "t" / "x.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(StoreError) as error:
        opened(gold)
    assert len(str(error.value).splitlines()) == 1


def test_a_frame_that_crosses_files_counts_for_each_of_them():
    times = [datetime(2024, 1, day) for day in (1, 2, 3)]
    frame = pl.DataFrame({"__file": ["a", "a", "b"], "datetime": times})
    assert [(name, part.to_list()) for name, part in lake_tables._by_file(frame)] == [
        ("a", times[:2]),
        ("b", times[2:]),
    ]
    assert [name for name, _ in lake_tables._by_file(frame.tail(1))] == ["b"]
    assert list(lake_tables._by_file(frame.clear())) == []
