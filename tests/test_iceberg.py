"""Iceberg tables of the lake: read back row for row by three readers, snapshots that prune never breaks."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from tests.other_servers import CannotBeMade, environment
from tests.s3_server import S3Server

from hermes.errors import HermesError, MissingTable, UsageError
from hermes.iceberg import export_iceberg
from hermes.lake.iceberg_catalog import open_catalog
from hermes.lake.store import Lake
from hermes.pipeline import features, ingest, refine
from hermes.settings import Settings
from hermes.steps.maintenance.prune import prune
from hermes.steps.signals import read_signals, signals

pytest.importorskip("pyiceberg", reason="the extra iceberg is not installed")

SIGNALS = "trading_signals_smart_momentum_spot_SIMUSDT_4h"
FEATURES = "gold_features_spot_monthly_klines_SIMUSDT_4h"


@pytest.fixture
def load(simulated_lake: Path, tmp_path: Path) -> Callable[..., Settings]:
    import shutil

    for layer in ("bronze", "silver", "gold"):
        shutil.copytree(simulated_lake / layer, tmp_path / layer)
    shutil.copytree(simulated_lake / "_hashes", tmp_path / "_hashes")

    def settings(**flags: str) -> Settings:
        named = {name.replace("__", "."): value for name, value in flags.items()}
        return Settings.load({"lake.url": f"{tmp_path}/{{layer}}", "dataset.symbol": "SIMUSDT", **named}, environ={})

    return settings


def tables(root: Path):
    from pyiceberg.catalog import load_catalog

    home = root / "iceberg"
    return load_catalog("hermes", type="sql", uri=f"sqlite:///{home}/iceberg.db", warehouse=home.as_uri())


def same_rows(found: pl.DataFrame, rows: pl.DataFrame) -> bool:
    return found.select(rows.columns).cast(dict(rows.schema)).equals(rows)


def test_three_readers_read_the_same_rows(load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chdb: Path) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    settings = load()
    signals(settings)
    made = export_iceberg(settings)
    assert [each.name for each in made.tables] == [f"hermes.{SIGNALS}", f"hermes.{FEATURES}"]
    catalog = tables(tmp_path)
    gold = Lake.open(settings).gold
    wanted = {
        SIGNALS: read_signals(settings).collect(),
        FEATURES: gold.scan(gold.files(FEATURES)).collect(),
    }
    for each in made.tables:
        rows = wanted[each.name.removeprefix("hermes.")]
        table = catalog.load_table(each.name)
        assert each.rows == rows.height
        assert same_rows(pl.DataFrame(table.scan().to_arrow()).sort("datetime"), rows)
        assert same_rows(pl.scan_iceberg(table).collect().sort("datetime"), rows)
        theirs = tmp_path / "theirs.parquet"
        folder = Path(table.location().removeprefix("file://"))
        query = f"select * from icebergLocal('{folder}') order by datetime into outfile '{theirs}' format Parquet"
        code = "import sys, chdb; chdb.query(sys.argv[1])"
        subprocess.run([chdb, "-c", code, query], check=True, timeout=120, cwd=tmp_path)
        ours = rows.select(pl.exclude("year", "month"))
        assert same_rows(pl.read_parquet(theirs).cast({"datetime": pl.Datetime("us")}), ours)
        theirs.unlink()


def test_on_s3_three_readers_read_the_same_rows(
    s3_server: S3Server, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chdb: Path
) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    monkeypatch.chdir(tmp_path)
    flags = {"lake.url": "s3://iceberg-lake/{layer}", "archive.url": str(simulated), "dataset.symbol": "SIMUSDT"}
    settings = Settings.load(flags | s3_server.flags(), environ={})
    lake = Lake.open(settings)
    ingest(settings, lake)
    refine(settings, lake)
    features(settings, lake)
    signals(settings, lake)
    wanted = {
        SIGNALS: read_signals(settings, lake).collect(),
        FEATURES: lake.gold.scan(lake.gold.files(FEATURES)).collect(),
    }
    made = export_iceberg(settings, lake, tables=["signals", "features"])
    assert [path.name for path in tmp_path.glob("*")] == ["iceberg.db"], "the catalog is in the current folder"
    keys = {
        "aws_endpoint_url": s3_server.endpoint,
        "aws_access_key_id": s3_server.access_key,
        "aws_secret_access_key": s3_server.secret_key,
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
    catalog = open_catalog(settings)
    for each in made.tables:
        rows, table = wanted[each.name.removeprefix("hermes.")], catalog.load_table(each.name)
        assert table.location().startswith("s3://iceberg-lake/iceberg/")
        assert same_rows(pl.DataFrame(table.scan().to_arrow()).sort("datetime"), rows)
        assert same_rows(pl.scan_iceberg(table, storage_options=keys).collect().sort("datetime"), rows)
        theirs = tmp_path / "theirs.parquet"
        address = table.location().replace("s3://", f"{s3_server.endpoint}/")
        where = f"icebergS3('{address}', '{s3_server.access_key}', '{s3_server.secret_key}')"
        query = f"select * from {where} order by datetime into outfile '{theirs}' format Parquet"
        code = "import sys, chdb; chdb.query(sys.argv[1])"
        subprocess.run([chdb, "-c", code, query], check=True, timeout=120, cwd=tmp_path)
        ours = rows.select(pl.exclude("year", "month"))
        assert same_rows(pl.read_parquet(theirs).cast({"datetime": pl.Datetime("us")}), ours)
        theirs.unlink()


@pytest.fixture(scope="module")
def chdb() -> Path:
    """Python of an environment of its own that has chDB, the engine that is not ours."""
    try:
        return environment(["chdb>=4.4,<5"]) / "python"
    except CannotBeMade as error:
        pytest.skip(str(error))


def test_every_snapshot_still_reads_after_executions_prunes_and_rewrites(load, tmp_path: Path) -> None:
    settings = load()
    lake = Lake.open(settings)
    for number in range(20):
        signals(load(backtest__fees=f"0.02{number:02}"), lake)  # never the settings' own fees, which prune would keep
        if number % 5 == 4:
            export_iceberg(settings, lake, tables=["signals"])
            prune(settings, lake, keep=1, remove=True)
    table = tables(tmp_path).load_table(f"hermes.{SIGNALS}")
    tags = {ref.snapshot_id: name for name, ref in table.refs().items() if name != "main"}
    assert len(tags) == len(table.snapshots()) == 20
    for snapshot in table.snapshots():
        file = tmp_path / "gold" / SIGNALS / tags[snapshot.snapshot_id] / "signals.parquet"
        assert same_rows(pl.DataFrame(table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()), pl.read_parquet(file))
    (made,) = export_iceberg(settings, lake, tables=["signals"], keep=3).tables
    assert (made.snapshots, made.expired, made.added) == (3, 17, 0)
    removed = prune(settings, lake, keep=1, remove=True)
    assert len(removed.executions) == 17
    table.refresh()
    assert [table.scan(snapshot_id=each.snapshot_id).count() for each in table.snapshots()] == [made.rows] * 3


def test_features_follow_replaced_files_and_old_snapshots_still_read(load, tmp_path: Path) -> None:
    settings = load()
    lake = Lake.open(settings)
    export_iceberg(settings, lake, tables=["features"])
    file = lake.gold.files(FEATURES)[-1]
    rows = lake.gold.scan([file]).collect()
    changed = rows.with_columns(ema_12=pl.col("ema_12") + 1)
    lake.gold.write(file.key, changed, lake.gold.footer(file) | {"fingerprint": "other"})
    (made,) = export_iceberg(settings, lake, tables=["features"]).tables
    assert (made.snapshots, made.added) == (2, 1)
    (again,) = export_iceberg(settings, lake, tables=["features"]).tables
    assert (again.snapshots, again.added) == (2, 0)
    table = tables(tmp_path).load_table(f"hermes.{FEATURES}")
    year = pl.col("datetime").dt.year() == rows["datetime"][0].year
    before, after = (
        pl.DataFrame(table.scan(snapshot_id=each.snapshot_id).to_arrow()).filter(year).sort("datetime")
        for each in table.snapshots()
    )
    assert same_rows(before, rows)
    assert same_rows(after, changed)


def test_parameters_of_other_names_widen_the_table(load, tmp_path: Path) -> None:
    settings = load()
    signals(settings)
    signals(load(strategy__smart_momentum__ema_fast="10"))
    (made,) = export_iceberg(settings, tables=["signals"]).tables
    table = tables(tmp_path).load_table(made.name)
    assert {"ema_12", "ema_10"} <= set(table.schema().column_names)
    assert table.scan().to_arrow()["ema_12"].null_count == made.rows


def test_a_catalog_of_pyicebergs_own_configuration(load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiceberg.utils.config import Config

    home = tmp_path / "elsewhere"
    home.mkdir()
    for name, value in {"TYPE": "sql", "URI": f"sqlite:///{home}/own.db", "WAREHOUSE": home.as_uri()}.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__OWN__{name}", value)
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())  # it is read once in each process
    settings = load(iceberg__catalog="own", iceberg__namespace="desk")
    signals(settings)
    made = export_iceberg(settings, tables=["signals"])
    assert made.catalog == "own"
    assert [each.name for each in made.tables] == [f"desk.{SIGNALS}"]
    assert Path(made.tables[0].location.removeprefix("file://")).is_relative_to(home)
    assert not (tmp_path / "iceberg").exists()


def test_clear_errors(load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="table 'candles' is not one of signals, features, record"):
        export_iceberg(load(), tables=["candles"])
    with pytest.raises(MissingTable, match="the lake has no signals or record"):
        export_iceberg(load(), tables=["signals", "record"])
    with pytest.raises(HermesError, match="Iceberg export to nowhere failed"):
        export_iceberg(load(iceberg__catalog="nowhere"))
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog", None)
    with pytest.raises(HermesError, match=r"is not installed → pip install 'hermes-signals\[iceberg\]'"):
        export_iceberg(load())


def test_from_the_command_line(load, hermes, tmp_path: Path) -> None:
    signals(load())
    lake = f"{tmp_path}/{{layer}}"
    said = hermes("export", "iceberg", "SIMUSDT", "--lake", lake, "--table", "signals", "--json")
    assert said.code == 0, said.err
    ((table,),) = [each["tables"] for each in said.json["datasets"]]
    assert table["snapshots"] == 1
    assert Path(table["location"].removeprefix("file://")).is_file()
    note = json.loads((tmp_path / "gold" / "iceberg" / f"{SIGNALS}.json").read_text())
    assert len(note["executions"]) == 1
