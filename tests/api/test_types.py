"""Type-checked from outside: what a user's own strict mypy makes of the public names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = """
import hermes.strategies.columns as columns
from hermes import (
    Dataset, HermesError, Lake, Settings, audit, backtest, compute_features, compute_signals, features, ingest,
    read_features, read_signals, refine, report, run, signals,
)

settings = Settings.load({"signals.start": "2023-01-01"}, dataset={"symbol": "BTCUSDT"})
reveal_type(settings.dataset)  # hermes.dataset.Dataset
reveal_type(Lake.open(settings))  # hermes.lake.store.Lake
reveal_type(signals(settings))  # hermes.steps.signals.Signalled
reveal_type(signals(settings, Lake.open(settings)).equity)  # polars.dataframe.frame.DataFrame
reveal_type(backtest(settings).lazy())  # polars.lazyframe.frame.LazyFrame
reveal_type(backtest(settings, frame=compute_signals(features(settings).lazy(), settings)))  # Backtested
reveal_type(audit(settings, cuts=20).warm_up)  # polars.dataframe.frame.DataFrame
reveal_type(report(settings).html)  # str
reveal_type(run(settings).report)  # str | None
reveal_type(read_features(settings))  # LazyFrame
reveal_type(compute_features(read_signals(settings), settings))  # DataFrame
reveal_type(columns.LAYER)  # str
reveal_type(HermesError("what", "cure").cure)  # str
signals("BTCUSDT")
"""


def test_a_strict_type_checker_knows_every_name(tmp_path: Path):
    pytest.importorskip("mypy")
    (tmp_path / "mine.py").write_text(SCRIPT)
    shared = ["--config-file", PROJECT / "pyproject.toml", "--cache-dir", PROJECT / ".mypy_cache"]  # with `make lint`
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *shared, "mine.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    lines = SCRIPT.splitlines()
    revealed = dict(re.findall(r"mine\.py:(\d+): note: Revealed type is \"(.*)\"", done.stdout))
    expected = {str(number): line.rpartition("# ")[2] for number, line in enumerate(lines, 1) if "reveal_type" in line}
    assert revealed.keys() == expected.keys(), done.stdout + done.stderr
    assert [f"{lines[int(n) - 1]}: {revealed[n]}" for n, kind in expected.items() if kind not in revealed[n]] == []
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout  # the wrong call of the last line, and nothing else
    assert 'mine.py:22: error: Argument 1 to "signals" has incompatible type "str"; expected "Settings"' in errors[0]
