"""Ctrl-C in the middle of a big table: soon over, nothing published, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from hermes import cli
from hermes.lake.store import Lake
from hermes.pipeline import signals
from hermes.settings import Settings
from hermes.strategies import make_strategy
from hermes.strategies.columns import input_schema

HERMES = Path(sys.executable).with_name("hermes")
TABLE = "gold_features_spot_monthly_klines_SIMUSDT_1m"
SIGNALS = "trading_signals_smart_momentum_spot_SIMUSDT_1m"


def write_features(root: Path, rows: int) -> None:
    """A table of `rows` one-minute bars in which signals abound."""
    number = pl.int_range(rows)
    wave = (number % 97).cast(pl.Float64)
    strategy = make_strategy("smart_momentum", {})
    values = {
        "datetime": pl.lit(datetime(2018, 1, 1)) + number * timedelta(minutes=1),
        "symbol": pl.lit("SIMUSDT"),
        **dict.fromkeys(("open", "high", "low", "close", "volume"), 1000 + wave * 0.05),  # gains what fees cost
        "ema_12": wave,
        "ema_26": pl.lit(50.0),
        "rsi_14": pl.lit(50.0),
        "supertrend_dir_10_3.0": pl.when(wave < 90).then(1).otherwise(-1),
    }
    schema = {"symbol": pl.String(), **input_schema(strategy)}
    path = root / "gold" / TABLE / "data_0.parquet"
    path.parent.mkdir(parents=True)
    pl.select(pl.int_range(rows)).select(**{name: values[name].cast(schema[name]) for name in schema}).write_parquet(
        path
    )


def files(root: Path) -> set[Path]:
    """What is left of executions and staging."""
    return {path for folder in ("_staging", f"gold/{SIGNALS}") for path in (root / folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize(("moment", "chunk_rows"), [("while it measures", 20), ("while it writes", 1_000_000)])
def test_ctrl_c(tmp_path: Path, moment: str, chunk_rows: int):
    write_features(tmp_path, 3_000_000)
    command = [
        HERMES, "signals", "SIMUSDT", "--interval", "1m", "--lake", f"{tmp_path}/{{layer}}", "--chunk-rows",
        str(chunk_rows),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
    )
    come = {
        "while it measures": lambda: _cpu_seconds(process.pid) > 1.5,
        "while it writes": lambda: any((tmp_path / "_staging").rglob("*.parquet")),
    }[moment]
    try:
        for _ in range(3000):
            if process.poll() is not None or come():
                break
            time.sleep(0.01)
        assert come(), process.communicate()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "interrupted" in err
    assert files(tmp_path) == set()


def _cpu_seconds(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def test_chunks_larger_than_row_groups_change_nothing(tmp_path: Path):
    write_features(tmp_path, 250_000)

    def rows(chunk_rows: int) -> pl.DataFrame:
        flags = {"lake.url": f"{tmp_path}/{{layer}}", "dataset.symbol": "SIMUSDT", "dataset.interval": "1m"}
        settings = Settings.load({**flags, "signals.chunk_rows": chunk_rows}, environ={})
        return pl.read_parquet(signals(settings, Lake.open(settings)).path).drop("generated_at")

    whole = rows(1_000_000)
    assert whole.height == 250_000
    assert whole["buy_signal"].sum() > 2_000
    for chunk_rows in (99_999, 100_001, 130_000):
        assert rows(chunk_rows).equals(whole, null_equal=True)


def test_ctrl_c_while_modules_are_loaded_is_a_line(monkeypatch, capsys):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "hermes.cli.entry", SimpleNamespace(main=interrupted))
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    cli.main()
    assert codes == [130]
    assert capsys.readouterr().err == "interrupted: no partial output; rerun to resume\n"
