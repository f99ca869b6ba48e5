"""gold features → gold signals on the real rows: the published counts, lineage, and nothing that depends on chunks."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.exceptions import ShapeError

from hermes.errors import MissingTable, SourceChanged, StoreError, TableRefused, UsageError
from hermes.lake import executions
from hermes.lake.store import Lake
from hermes.pipeline import signals
from hermes.schemas import FEATURES
from hermes.steps import signals as step
from hermes.steps.signals import read_signals

START = "2017-09-01"


def words(text: str) -> list[str]:
    return text.split()


ORDER = words(
    "datetime symbol open high low close volume buy_signal sell_signal ema_cross rsi_neutral st_bullish st_exit "
    "ema_12 ema_26 rsi_14 supertrend_dir_10_3.0 strategy generated_at year month layer data_type "
    "validated_return_pct validated_sharpe_ratio validated_max_drawdown_pct position"
)
CONTRACT = words(
    "symbol interval strategy rows chunks first last unique_days buy_signals sell_signals total_signals "
    "signal_rate_pct path seconds rows_per_second metrics fills freshness warnings"
)
METRICS = words(
    "total_return_pct benchmark_return_pct cagr_pct sharpe sortino calmar omega max_drawdown_pct "
    "max_drawdown_duration_s trades win_rate_pct profit_factor expectancy best_trade_pct worst_trade_pct fees_paid "
    "exposure_pct end_value initial_cash fees fill periods_per_year"
)
TABLE = "gold_features_spot_monthly_klines_BTCUSDT_4h"
SIGNALS = "trading_signals_smart_momentum_spot_BTCUSDT_4h"


@pytest.fixture
def root(real_lake: Path, tmp_path: Path) -> Path:
    """A lake with only the real features."""
    shutil.copytree(real_lake / "gold", tmp_path / "gold")
    return tmp_path


def made(load: Callable, root: Path, **flags):
    settings = load(root, **{"signals__start": START} | flags)
    return signals(settings, Lake.open(settings))


def footer(path: str) -> dict:
    return json.loads(pl.read_parquet_metadata(path)["hermes"])


def rows_of(path: str) -> pl.DataFrame:
    return pl.read_parquet(path).drop("generated_at")


def published_files(root: Path) -> list[Path]:
    return sorted(path for path in (root / "gold" / SIGNALS).rglob("*") if path.is_file())


# --- the published figures -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "rows", "first", "last", "days", "buys", "sells", "rate"),
    [
        ("2017-09-01", None, 17_515, "2017-09-01T00:00:00", "2025-08-31T20:00:00", 2_922, 27, 193, 1.26),
        ("2023-01-01", None, 5_844, "2023-01-01T00:00:00", "2025-08-31T20:00:00", 974, 10, 66, 1.3),
        ("2023-01-01", "2023-01-01", 6, "2023-01-01T00:00:00", "2023-01-01T20:00:00", 1, 0, 0, 0.0),
        ("2023-01-01T04:00", "2023-01-01T12:00", 3, "2023-01-01T04:00:00", "2023-01-01T12:00:00", 1, 0, 0, 0.0),
        ("2023-01-01T04:00:01", "2023-01-01T12:00", 2, "2023-01-01T08:00:00", "2023-01-01T12:00:00", 1, 0, 0, 0.0),
        (None, None, 17_604, "2017-08-17T04:00:00", "2025-08-31T20:00:00", 2_937, None, None, None),
    ],
)
def test_counts_and_spans(load: Callable, root: Path, start, end, rows, first, last, days, buys, sells, rate):
    found = made(load, root, signals__start=start, signals__end=end).as_json()
    assert set(found) == set(CONTRACT)
    assert set(found["metrics"]) >= set(METRICS)
    assert (found["rows"], found["first"], found["last"], found["unique_days"]) == (rows, first, last, days)
    if buys is not None:
        assert (found["buy_signals"], found["sell_signals"], found["signal_rate_pct"]) == (buys, sells, rate)
    assert found["total_signals"] == found["buy_signals"] + found["sell_signals"]
    frame = pl.read_parquet(found["path"])
    assert frame.height == rows
    assert frame["datetime"].dt.date().n_unique() == days
    assert frame["buy_signal"].sum() == found["buy_signals"]


def test_columns_types_and_stamps(load: Callable, root: Path):
    run = made(load, root)
    frame = pl.read_parquet(run.path)
    assert frame.columns == ORDER
    booleans = ORDER[7:13]
    assert [frame.schema[name] for name in booleans] == [pl.Boolean] * 6
    assert frame.select(booleans).null_count().row(0) == (0,) * 6
    assert frame.schema["datetime"] == pl.Datetime("us")
    assert set(frame["layer"]) == {"gold"}
    assert set(frame["data_type"]) == {"trading_signals"}
    assert set(frame["strategy"]) == {"smart_momentum"}
    for column, metric in {
        "validated_return_pct": "total_return_pct",
        "validated_sharpe_ratio": "sharpe",
        "validated_max_drawdown_pct": "max_drawdown_pct",
    }.items():
        assert set(frame[column]) == {run.metrics[metric]}
    assert frame.select((pl.col("datetime").dt.year() == pl.col("year")).all()).item()
    assert frame.select((pl.col("datetime").dt.month() == pl.col("month")).all()).item()
    long = pl.when("buy_signal").then(1).when("sell_signal").then(0).forward_fill().fill_null(0)
    assert frame.select((long == pl.col("position")).all()).item()
    assert pl.read_parquet_schema(run.path) == frame.schema
    metadata = duckdb.sql(f"select distinct compression from parquet_metadata('{run.path}')").fetchall()
    assert metadata == [("SNAPPY",)]


def test_the_lineage_is_complete_and_run_json_is_its_copy(load: Callable, root: Path):
    run = made(load, root, strategy__smart_momentum__ema_fast=12)
    said = footer(run.path)
    copy = json.loads(Path(run.path).with_name("run.json").read_text())
    assert copy.pop("path") == run.path
    assert copy.pop("sha256") in Lake.open(load(root)).gold._backend.recorded_hashes(
        str(Path(run.path).relative_to(root / "gold"))
    )
    assert copy == said
    shown = run.as_json()
    for name in ("rows", "first", "last", "unique_days", "buy_signals", "sell_signals", "total_signals", "metrics"):
        assert said[name] == shown[name]
    assert said["dataset"] == {
        "provider": "binance", "market": "spot", "data_frequency": "monthly", "data_category": "klines",
        "symbol": "BTCUSDT", "interval": "4h",
    }  # fmt: skip
    assert said["parameters"] == {
        "ema_fast": 12,
        "ema_slow": 26,
        "rsi_low": 45,
        "rsi_high": 55,
        "st_period": 10,
        "st_multiplier": 3.0,
    }
    assert (said["start"], said["end"]) == ("2017-09-01T00:00:00", None)
    assert {"hermes", "python", "libraries", "backtest", "chunk_rows", "context_rows", "seconds"} <= said.keys()
    assert sum(source["rows"] for source in said["sources"]) == 17_604
    for source in said["sources"]:
        assert Path(source["path"]).stat().st_size == source["size"]
        assert source["fingerprint"]
    assert "secret" not in json.dumps(said)


# --- nothing depends on chunks, files, or memory ----------------------------------------------------------------------


def test_rows_do_not_depend_on_the_chunk_size(load: Callable, root: Path):
    whole = rows_of(made(load, root, signals__chunk_rows=1_000_000).path)
    for chunk_rows in (1_000, 701):
        assert rows_of(made(load, root, signals__chunk_rows=chunk_rows).path).equals(whole, null_equal=True)
    span = {"signals__start": "2024-01-01", "signals__end": "2024-06-30"}
    short = rows_of(made(load, root, signals__chunk_rows=1_000_000, **span).path)
    assert short["buy_signal"].sum() > 0
    assert short["sell_signal"].sum() > 0
    for chunk_rows in (1, 7):
        run = made(load, root, signals__chunk_rows=chunk_rows, **span)
        assert run.chunks == -(-short.height // chunk_rows)
        assert rows_of(run.path).equals(short, null_equal=True)


def test_a_start_does_not_hide_the_bar_before_it(load: Callable, root: Path):
    whole = rows_of(made(load, root).path)
    for kind in ("buy_signal", "sell_signal"):
        at = whole.filter(kind)["datetime"][3]
        cut = rows_of(made(load, root, signals__start=at.isoformat()).path)
        assert cut["datetime"][0] == at
        assert cut[kind][0]
        same = [name for name in cut.columns if not name.startswith(("validated", "position"))]
        assert cut.select(same).equals(whole.filter(pl.col("datetime") >= at).select(same), null_equal=True)


def rewrite(root: Path, layout: str) -> None:
    """The real features as another tool would have left them."""
    frame = pl.scan_parquet(root / "gold" / TABLE, hive_partitioning=False).collect().sort("datetime")
    shutil.rmtree(root / "gold" / TABLE)
    frame = frame.with_columns(
        pl.col("supertrend_dir_10_3.0").cast(pl.Float64),
        datetime=pl.col("datetime").cast(pl.Datetime("ms")),
        year=pl.col("datetime").dt.year(),
        month=pl.col("datetime").dt.month().cast(pl.Int64),
    )
    floats = [name for name, kind in frame.schema.items() if kind == pl.Float64]
    frame = frame.with_columns(pl.col(floats).fill_null(float("nan")))
    for (year, month), part in frame.partition_by("year", "month", as_dict=True).items():
        digits = "02d" if layout == "padded" else "d"
        path = root / "gold" / TABLE / f"year={year}" / f"month={month:{digits}}" / "data_0.parquet"
        path.parent.mkdir(parents=True)
        part.write_parquet(path)


@pytest.mark.parametrize("layout", ["unpadded", "padded"])
def test_the_published_layout_gives_the_published_counts(load: Callable, root: Path, layout: str):
    own = rows_of(made(load, root).path)
    rewrite(root, layout)
    run = made(load, root, signals__chunk_rows=5_000)
    assert (run.tally.rows, run.tally.buys, run.tally.sells) == (17_515, 27, 193)
    assert rows_of(run.path).equals(own, null_equal=True)


def test_one_big_file_whatever_its_row_groups(load: Callable, root: Path):
    own = rows_of(made(load, root).path)
    frame = pl.scan_parquet(root / "gold" / TABLE, hive_partitioning=False).collect().sort("datetime")
    shutil.rmtree(root / "gold" / TABLE)
    (root / "gold" / TABLE).mkdir()
    frame.head(0).write_parquet(root / "gold" / TABLE / "empty.parquet")
    frame.write_parquet(root / "gold" / TABLE / "all.parquet", row_group_size=777)
    assert rows_of(made(load, root, signals__chunk_rows=999).path).equals(own, null_equal=True)


# --- executions ------------------------------------------------------------------------------------------------------


class Clock(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz=None) -> datetime:
        return datetime(2025, 10, 5, 21, 47, 48, 900, tzinfo=tz)


def test_two_executions_in_one_second_are_two(load: Callable, root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(step, "datetime", Clock)
    runs = [made(load, root, signals__start="2025-01-01") for _ in range(3)]
    names = [Path(run.path).parent.name for run in runs]
    assert names == ["execution_20251005_214748", "execution_20251005_214749", "execution_20251005_214750"]
    settings = load(root, signals__start="2025-01-01")
    assert read_signals(settings).collect().equals(pl.read_parquet(runs[-1].path))


def test_no_free_name_is_an_error(load: Callable, root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(step, "datetime", Clock)
    monkeypatch.setattr(executions, "ATTEMPTS", 1)
    monkeypatch.setattr(executions, "_latest", lambda *_: None)
    made(load, root, signals__start="2025-01-01")
    before = {path: path.read_bytes() for path in published_files(root)}
    with pytest.raises(StoreError, match="took 1 names in a row"):
        made(load, root, signals__start="2025-01-01")
    assert {path: path.read_bytes() for path in published_files(root)} == before


# --- refusals: nothing is published ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "kind", "said"),
    [
        ({"signals__start": "2030-01-01"}, TableRefused, "has no bar from 2030-01-01"),
        ({"signals__end": "2017-01-01"}, TableRefused, "its bars go from 2017-08-17"),
        ({"signals__start": "2020-01-02", "signals__end": "2020-01-01"}, TableRefused, "has no bar"),
        ({"dataset__symbol": "ETHUSDT"}, MissingTable, "hermes features"),
        ({"signals__context_rows": 0}, UsageError, "context_rows"),
        ({"signals__strategy": "smart_momentun"}, Exception, "smart_momentum"),
        ({"strategy__smart_momentum__ema_fast": 0}, Exception, "ema_fast"),
        ({"strategy__smart_momentum__ema_fat": 10}, Exception, "ema_fat"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_published(load: Callable, root: Path, flags: dict, kind, said: str):
    with pytest.raises(kind, match=said) as refused:
        made(load, root, **flags)
    assert len(str(refused.value).splitlines()) == 1
    assert not published_files(root)


def edit(root: Path, year: int, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    path = root / "gold" / TABLE / f"year={year}" / "data_0.parquet"
    change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(path)
    return path


@pytest.mark.parametrize("start", ["2017-09-01", "2024-01-01", None])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop("ema_12", "rsi_14"), "year=2019/data_0.parquet lacks 2 columns: ema_12, rsi_14"),
        (lambda frame: pl.concat([frame[:50], frame[49:]]), r"year=2019/data_0.parquet: datetime of row 51 .* repeats"),
        (lambda frame: pl.concat([frame[:50], frame[51:60], frame[50:51], frame[60:]]), "2019/.*: datetime of row 60 "),
        (lambda frame: frame.with_columns(symbol=pl.lit("ETHUSDT")), r"2019/.*: symbol of row 1 is 'ETHUSDT'"),
    ],
)
def test_a_dishonest_table_is_refused_also_before_the_start(
    load: Callable, root: Path, change: Callable, said: str, start: str | None
):
    edit(root, 2019, change)
    with pytest.raises(TableRefused, match=said):
        made(load, root, signals__start=start)
    assert not published_files(root)


def test_disorder_around_the_cut_cannot_change_which_rows_are_taken(load: Callable, root: Path):
    # A bar of 2023 stands among those of 2019: counting alone would shift the cut by one.
    edit(root, 2019, lambda frame: frame.with_columns(
        datetime=pl.when(pl.int_range(pl.len()) == 100).then(datetime(2019, 12, 31, 21)).otherwise("datetime")
    ))  # fmt: skip
    with pytest.raises(TableRefused, match="datetime of row 102"):
        made(load, root, signals__start="2019-12-31T20:30", signals__end="2020-06-01")


def test_a_corrupt_page_is_one_line_and_nothing_is_published(load: Callable, root: Path):
    path = root / "gold" / TABLE / "year=2019" / "data_0.parquet"
    content = bytearray(path.read_bytes())
    content[4:4000] = bytes(3996)
    path.write_bytes(content)
    with pytest.raises((StoreError, TableRefused)) as refused:
        made(load, root)
    assert len(str(refused.value).splitlines()) == 1
    assert not published_files(root)
    assert not [path for path in (root / "_staging").glob("*") if path.is_file()]


def test_features_that_change_meanwhile_are_read_again(load: Callable, root: Path, monkeypatch: pytest.MonkeyPatch):
    write, turns = step.write_signals, count()

    def changes(*given):
        write(*given)
        if next(turns) < 1:
            edit(root, 2025, lambda frame: frame.head(600))

    monkeypatch.setattr(step, "write_signals", changes)
    run = made(load, root, signals__start="2025-01-01")
    assert run.tally.rows == 600
    assert rows_of(run.path).height == 600
    monkeypatch.setattr(step, "write_signals", lambda *given: (write(*given), edit(root, 2025, lambda frame: frame)))
    before = published_files(root)
    with pytest.raises(SourceChanged, match="changed while they were read 3 times"):
        made(load, root, signals__start="2025-01-01")
    assert published_files(root) == before


def test_a_full_disk_is_not_taken_for_features_that_changed(load, root: Path, monkeypatch: pytest.MonkeyPatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self):
            pass

    def fails(given, frames, schema, file, metadata):
        file._file.close()
        file._file = Full()
        with contextlib.suppress(OSError):
            file.write(b"row group")
        raise ShapeError("zip node received non-equal length inputs")

    monkeypatch.setattr(step, "write_signals", fails)
    with pytest.raises(StoreError, match="No space left on device → free some space"):
        made(load, root)
    assert not published_files(root)


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_an_execution_that_cannot_be_published_is_not_there(
    load: Callable, root: Path, monkeypatch: pytest.MonkeyPatch, call: str
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"os.{call}", full)
    with pytest.raises(StoreError, match="free some space"):
        made(load, root)
    assert not published_files(root)
    assert not list((root / "_staging").iterdir())


# --- the notebook's own way of reading -------------------------------------------------------------------------------


def test_duckdb_reads_the_gold_layer_with_a_glob(load: Callable, root: Path):
    run = made(load, root)
    features = duckdb.sql(f"select * from read_parquet('{root}/gold/{TABLE}/**/*.parquet', hive_partitioning=false)")
    assert features.columns == list(FEATURES)
    assert len(features.fetchall()) == 17_604
    made_signals = duckdb.sql(f"select * from read_parquet('{root}/gold/{SIGNALS}/**/*.parquet')")
    assert made_signals.columns == ORDER
    assert len(made_signals.fetchall()) == 17_515
    ((first,),) = duckdb.sql(f"select min(generated_at) from '{root}/gold/{SIGNALS}/**/*.parquet'").fetchall()
    assert abs(datetime.fromisoformat(first) - datetime.now(UTC)) < timedelta(minutes=10)
    plain = duckdb.sql(f"select * from read_parquet('{root}/gold/{TABLE}/**/*.parquet')").columns
    assert plain[: len(FEATURES)] == list(FEATURES)
    assert run.tally.rows == 17_515


def test_both_fills_warnings_and_freshness_are_in_lineage_copy_and_result(load: Callable, root: Path) -> None:
    made_ = made(load, root)
    found, kept = made_.as_json(), footer(made_.path)
    copy = json.loads((Path(made_.path.removeprefix("file://")).parent / "run.json").read_text())
    assert set(kept["fills"]) == {"close", "next_open"} and kept["fills"]["close"] == kept["metrics"]
    assert kept["fills"]["next_open"]["fill"] == "next_open"
    for fill in kept["fills"].values():
        low, high = fill["intervals"]["sharpe"]
        assert low < fill["sharpe"] < high
    for name in ("fills", "warnings", "freshness"):
        assert copy[name] == kept[name]
    assert found["fills"] == kept["fills"] and found["warnings"] == kept["warnings"]
    few, stale = kept["warnings"]
    assert "too few to conclude" in few and "the newest bar opened at 2025-08-31 20:00:00 UTC" in stale
    assert found["freshness"]["newest_bar"] == "2025-08-31T20:00:00Z" and found["freshness"]["stale"] is True
