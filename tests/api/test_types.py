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
    ls, read_features, read_signals, refine, report, run, signals, sql, sweep, walkforward,
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
reveal_type(sql(settings, query="select 1").frame())  # polars.dataframe.frame.DataFrame
reveal_type(ls(settings).tables[0])  # Mapping[str
reveal_type(sweep(settings, seed=1))  # hermes.steps.search.sweep.Swept
reveal_type(walkforward(settings, train="1y"))  # hermes.steps.search.walkforward.Walked
signals("BTCUSDT")
Settings.load(signals={"strat": "ma_cross"})
Settings.load(signal={})
"""

#: Only what public types are made of is read: with every library that Hermes imports it takes four times as long.
CONFIG = f"""
[mypy]
strict = True
mypy_path = {PROJECT / "src"}
python_version = 3.11
[mypy-hermes.*]
follow_imports = silent
[mypy-{",".join(f"{name}.*" for name in (
    "IPython", "PIL", "apprise", "bokeh", "click", "cryptography", "dask", "distributed", "duckdb", "hypothesis",
    "jinja2", "jupyter_server", "narwhals", "obstore", "pandas", "prompt_toolkit", "pyarrow", "pyiceberg", "rich",
    "sqlalchemy", "typer", "websockets",
))}]
follow_imports = skip
"""  # fmt: skip
README = ("README.md", "README.fr.md")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a strict type checker says of a user's scripts: the one above, and the examples of each README."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("types")
    (folder / "mine.py").write_text(SCRIPT)
    for page in README:
        blocks = re.findall(r"^```python\n(.*?)^```", (PROJECT / page).read_text(encoding="utf-8"), flags=re.S | re.M)
        assert blocks
        (folder / module(page)).write_text("\n".join(blocks))
    (folder / "mypy.ini").write_text(CONFIG)
    files = sorted(path.name for path in folder.glob("*.py"))
    cache = PROJECT / ".mypy_cache" / "users"  # not that of `make lint`, which reads everything
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", cache, *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert not done.stderr
    lines = done.stdout.splitlines()
    told = {file: [line for line in lines if line.startswith(f"{file}:")] for file in files}
    assert sum(map(len, told.values())) == len(lines), done.stdout
    return told


def module(page: str) -> str:
    return page.replace(".", "_").lower() + ".py"


def test_a_strict_type_checker_knows_every_name(said: dict[str, list[str]]):
    mine = said["mine.py"]
    lines = SCRIPT.splitlines()
    revealed = dict(re.findall(r"mine\.py:(\d+): note: Revealed type is \"(.*)\"", "\n".join(mine)))
    expected = {str(number): line.rpartition("# ")[2] for number, line in enumerate(lines, 1) if "reveal_type" in line}
    assert revealed.keys() == expected.keys(), mine
    assert [f"{lines[int(n) - 1]}: {revealed[n]}" for n, kind in expected.items() if kind not in revealed[n]] == []
    first, *others = [line for line in mine if ": error:" in line]  # the wrong calls of the last lines, and no more
    assert f"mine.py:{len(lines) - 2}: error: Argument 1" in first
    assert 'incompatible type "str"; expected "Settings"' in first
    assert [re.search(r'"(strat|signal)"', line) is not None for line in others] == [True, True], others


@pytest.mark.parametrize("page", README)
def test_the_examples_of_the_readme_pass_a_strict_type_checker(said: dict[str, list[str]], page: str):
    assert said[module(page)] == []
