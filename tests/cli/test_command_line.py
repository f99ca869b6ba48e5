"""The command line: exit codes, one line per error, one JSON document, same answers from a folder and S3."""

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from polars.exceptions import PanicException

HERMES = Path(sys.executable).with_name("hermes")
SIGNALS = "trading_signals_smart_momentum_spot_SIMUSDT_4h"


Hermes = Callable[..., Any]  # the fixture of conftest.py


@pytest.fixture(scope="session")
def finished(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that the whole pipeline has run in, made once. Not to be changed."""
    from hermes.pipeline import run
    from hermes.settings import Settings

    root = tmp_path_factory.mktemp("finished")
    flags = {"lake.url": f"{root}/{{layer}}", "archive.url": str(simulated), "dataset.symbol": "SIMUSDT"}
    run(Settings.load(flags, environ={}))
    return root


@pytest.fixture
def lake(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "lake"))


def executions(root: Path) -> list[Path]:
    return sorted((root / "gold" / SIGNALS).glob("execution_*/signals.parquet"))


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["run", "--help"], ["--version"], ["config"], ["ls", "--json"]])
def test_harmless_commands_end_with_zero(hermes: Hermes, words: list[str]):
    assert hermes(*words).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["run", "--nonsense"],
        ["signals", "--chunk-rows", "many"],
        ["ingest", "--since", "yesterday"],
        ["sql"],
        ["config", "--interval", "4hours"],
        ["signals", "BTC;DROP"],
        ["signals", "../x"],
        ["signals", "--set", "ema_fast"],
        ["signals", "--set", "../x=1"],
        ["signals", "--chunk-rows", "0"],
        ["signals", "--start", "then"],
        ["signals", "--fill", "never"],
        ["signals", "--lake", "nowhere"],
        ["signals", "--config", "none.toml"],
        ["ls", "--lake", "ftp://{layer}"],
    ],
)
def test_wrong_usage_ends_with_two(hermes: Hermes, words: list[str], tmp_path: Path):
    said = hermes(*words)
    assert said.code == 2
    assert said.out == ""
    assert said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["signals", "BTC;DROP"], ["signals", "--set", "x"], ["ls", "--lake", "nowhere"]])
def test_our_own_refusals_are_one_line(hermes: Hermes, words: list[str]):
    said = hermes(*words)
    assert said.error.startswith("error: ")
    assert " → " in said.error


def test_no_word_at_all_shows_the_help(hermes: Hermes):
    said = hermes()
    assert (said.code, said.err) == (2, "")
    assert "demo" in said.out


def test_every_command_has_help_with_examples(hermes: Hermes):
    for command in "demo ingest refine features signals run ls show sql config".split():  # noqa: SIM905
        said = hermes(command, "--help")
        assert said.code == 0
        assert f"hermes {command}" in said.out


# --- the pipeline ----------------------------------------------------------------------------------------------------


def test_run_twice(hermes: Hermes, simulated: Path, tmp_path: Path):
    words = ["run", "SIMUSDT", "--archive", str(simulated), "--lake", f"{tmp_path}/lake/{{layer}}", "--json"]
    first = hermes(*words)
    assert (first.code, first.err) == (0, "")
    (dataset,) = first.json["datasets"]
    assert dataset["written"] == {"bronze": 6, "silver": 2, "features": 2, "executions": 1}

    def files() -> dict[Path, int]:
        found = (path for path in (tmp_path / "lake").rglob("*") if path.is_file())
        return {path: path.stat().st_mtime_ns for path in found if "audits" not in path.parts}  # a verdict is dated

    before = files()
    (again,) = hermes(*words).json["datasets"]
    assert again["written"] == {"bronze": 0, "silver": 0, "features": 0, "executions": 1}
    after = files()
    assert before.items() <= after.items()
    new = {path.relative_to(tmp_path / "lake").as_posix() for path in after.keys() - before.keys()}
    assert all("execution_" in path for path in new)
    assert len(executions(tmp_path / "lake")) == 2
    for name in ("rows", "buy_signals", "sell_signals", "metrics"):
        assert again[name] == dataset[name]


def test_run_tells_people_everything_the_notebook_told(hermes: Hermes, simulated: Path, tmp_path: Path):
    said = hermes("run", "SIMUSDT", "--archive", str(simulated), "--lake", f"{tmp_path}/lake/{{layer}}")
    assert said.code == 0
    assert "SIMULATED MARKET" in said.out
    for word in ("period", "rows", "chunks", "buy / sell signals", "total", "rows/s", "saved to", "strategy", "lake"):
        assert word in said.out
    again = hermes("run", "SIMUSDT", "--archive", str(simulated), "--lake", f"{tmp_path}/lake/{{layer}}")
    assert again.out.count("nothing, up to date") == 3


def test_the_steps_one_by_one(hermes: Hermes, simulated: Path, tmp_path: Path):
    common = ["SIMUSDT", "--lake", f"{tmp_path}/lake/{{layer}}", "--json"]
    for command, more in (("ingest", ["--archive", str(simulated)]), ("refine", []), ("features", []), ("signals", [])):
        said = hermes(command, *common, *more)
        assert (said.code, said.err) == (0, "")
        (dataset,) = said.json["datasets"]
        assert (dataset["symbol"], dataset["interval"]) == ("SIMUSDT", "4h")


def test_the_demo_needs_nothing(hermes: Hermes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("hermes.cli.app.DEMO_MONTHS", 5)
    said = hermes("demo")
    assert said.code == 0
    assert "SIMULATED MARKET" in said.out
    assert len(executions(tmp_path / "lake")) == 1
    assert hermes("demo", "--json").json["datasets"][0]["written"]["bronze"] == 0


def test_one_bad_symbol_does_not_stop_the_others(hermes: Hermes, simulated: Path, tmp_path: Path):
    words = ["--archive", str(simulated), "--lake", f"{tmp_path}/lake/{{layer}}", "--json"]
    said = hermes("run", "SIM1USDT", "NOPEUSDT", "SIMUSDT", *words)
    assert said.code == 1
    assert [dataset["symbol"] for dataset in said.json["datasets"]] == ["SIM1USDT", "SIMUSDT"]
    assert said.error.startswith("error: NOPEUSDT 4h: ")
    assert len(said.json["errors"]) == 1


FAULTS = {
    "unknown symbol": ["run", "NOPEUSDT"],
    "unknown interval": ["run", "SIMUSDT", "--interval", "1h"],
    "no archive": ["run", "SIMUSDT", "--archive", "/nowhere"],
    "archive away": ["run", "SIMUSDT", "--archive", "http://127.0.0.1:1"],
    "no features": ["signals", "SIMUSDT"],
    "no silver": ["features", "SIMUSDT"],
    "no bronze": ["refine", "SIMUSDT"],
    "no execution": ["show", "SIMUSDT"],
    "store away": ["ls", "--lake", "s3://{layer}"],
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_failure_is_one_line_and_exit_code_one(
    hermes: Hermes, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, as_json: bool
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-key")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "very-secret-id")
    monkeypatch.setenv("HERMES_ARCHIVE__URL", str(simulated))
    said = hermes(*FAULTS[fault], *(["--json"] if as_json else []))
    assert said.code == 1
    assert said.error.startswith("error: ")
    assert " → " in said.error
    assert "very-secret" not in said.err + said.out
    assert not list(tmp_path.rglob("*.parquet"))
    if as_json and said.out:
        assert said.json["datasets"] == []


@pytest.mark.parametrize("key", ["access_key", "secret_key"])
def test_wrong_keys(hermes: Hermes, s3_server, simulated: Path, monkeypatch: pytest.MonkeyPatch, key: str):
    environ = {f"HERMES_{n.replace('.', '__').upper()}": v for n, v in s3_server.flags(**{key: "wrong-key-0"}).items()}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    said = hermes("run", "SIMUSDT", "--archive", str(simulated), "--lake", "s3://wrong-{layer}")
    assert said.code == 1
    assert "refuses these keys" in said.error
    assert "wrong-key-0" not in said.error
    assert s3_server.secret_key not in said.error


def test_a_folder_that_cannot_be_written(hermes: Hermes, simulated: Path, tmp_path: Path):
    (tmp_path / "lake").write_text("a file")
    said = hermes("run", "SIMUSDT", "--archive", str(simulated), "--lake", f"{tmp_path}/lake/{{layer}}")
    assert said.code == 1
    assert str(tmp_path / "lake") in said.error


def test_an_unexpected_error_is_one_line_too(hermes: Hermes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hermes.lake.catalog.tables", lambda *_: 1 / 0)
    said = hermes("ls")
    assert said.code == 1
    assert said.error.startswith("error: unexpected ZeroDivisionError")
    assert "Traceback" in hermes("ls", "-v").err


def test_a_panic_in_polars_is_one_line_too(hermes: Hermes, monkeypatch: pytest.MonkeyPatch):
    def panic(*_: object) -> None:
        raise PanicException("index out of bounds")

    monkeypatch.setattr("hermes.lake.catalog.tables", panic)
    said = hermes("ls")
    assert said.code == 1
    assert said.error.startswith("error: unexpected PanicException: index out of bounds")


# --- questions -------------------------------------------------------------------------------------------------------


LONG = "signals_smart_momentum_SIMUSDT_4h"


def test_ls_show_sql_config(hermes: Hermes, lake: Path):
    there = ["--lake", f"{lake}/{{layer}}"]
    tables = {table["table"]: table for table in hermes("ls", *there, "--json").json["tables"]}
    assert list(tables) == ["bronze_SIMUSDT_4h", "silver_SIMUSDT_4h", "features_SIMUSDT_4h", LONG]
    assert tables[LONG]["alias"] == "signals_SIMUSDT_4h"
    assert len({table["rows"] for table in tables.values()}) == 1
    assert len({(table["first"], table["last"]) for table in tables.values()}) == 1
    assert (tables["bronze_SIMUSDT_4h"]["files"], tables[LONG]["executions"]) == (6, 1)
    for name, table in tables.items():
        assert name in hermes("ls", *there).out
        answer = hermes("sql", f"select count(*) as n from {name}", *there, "--json")
        assert answer.json == {"columns": ["n"], "rows": [[table["rows"]]]}

    shown = hermes("show", "SIMUSDT", *there, "--json").json["datasets"][0]
    assert shown["rows"] == tables[LONG]["rows"]
    assert shown["execution"] == executions(lake)[0].parent.name
    named = hermes("show", "SIMUSDT", *there, "--execution", shown["execution"], "--json").json["datasets"][0]
    assert named == shown
    people = hermes("show", "SIMUSDT", *there)
    assert "SIMULATED MARKET" in people.out
    assert shown["execution"] in people.out
    missing = hermes("show", "SIMUSDT", *there, "--execution", "execution_20000101_000000")
    assert (missing.code, shown["execution"] in missing.error) == (1, True)

    paths = hermes("config", "SIMUSDT", *there, "--json").json["paths"]
    assert paths["features"].startswith(f"{lake}/gold/")
    assert hermes("config", "SIMUSDT", *there).code == 0


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("select count(*) from SIGNALS_simusdt_4H where buy_signal or sell_signal", None),
        ("select 'é', 1, null, true", [["é", 1, None, True]]),
        ("select min(s.close) <= max(f.close) from signals_SIMUSDT_4h s join features_SIMUSDT_4h f using (datetime)",
         [[True]]),
    ],
)  # fmt: skip
def test_questions_in_sql(hermes: Hermes, lake: Path, query: str, rows: list | None):
    said = hermes("sql", query, "--lake", f"{lake}/{{layer}}", "--json")
    assert said.code == 0
    if rows is not None:
        assert said.json["rows"] == rows


@pytest.mark.parametrize("query", ["select", "select * from nothing", "", ";", "select 1/'x'", "load none_such"])
def test_bad_sql_is_one_line(hermes: Hermes, lake: Path, query: str):
    said = hermes("sql", query, "--lake", f"{lake}/{{layer}}")
    assert said.code in (1, 2)
    assert said.error.startswith("error: ")
    assert "unexpected" not in said.error


def test_an_unknown_table_names_the_known_ones(hermes: Hermes, lake: Path):
    said = hermes("sql", "select * from signals", "--lake", f"{lake}/{{layer}}")
    assert said.code == 2
    assert "signals_SIMUSDT_4h" in said.error


def test_s3_gives_the_same_rows_as_a_folder(
    hermes: Hermes, s3_server, simulated: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in s3_server.environ().items():
        monkeypatch.setenv(name, value)
    url = f"s3://b{uuid.uuid4().hex[:8]}-{{layer}}/a folder"
    run = ["run", "SIMUSDT", "--archive", str(simulated), "--lake", url, "--json"]
    first = hermes(*run)
    assert (first.code, first.err) == (0, "")
    (dataset,) = first.json["datasets"]
    assert hermes(*run).json["datasets"][0]["written"] == {"bronze": 0, "silver": 0, "features": 0, "executions": 1}

    def answers(where: str) -> list:
        tables = hermes("ls", "--lake", where, "--json").json["tables"]
        found = [[table[name] for name in ("table", "rows", "first", "last", "files")] for table in tables]
        columns = "* exclude (generated_at)"
        for name, *_ in list(found):
            rows = columns if name.startswith("signals") else "*"
            said = hermes("sql", f"select {rows} from {name} order by all", "--lake", where, "--json")
            assert said.err == ""
            found.append(said.json)
        return found

    assert answers(url) == answers(f"{lake}/{{layer}}")
    shown = hermes("show", "SIMUSDT", "--lake", url, "--json").json["datasets"][0]
    assert shown["path"].startswith("s3://b")
    assert shown["metrics"] == dataset["metrics"]
    assert s3_server.secret_key not in json.dumps(shown)


# --- real processes --------------------------------------------------------------------------------------------------


def process(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([HERMES, *words], capture_output=True, text=True, cwd=cwd, timeout=60, check=False)


def test_the_command_itself(lake: Path, tmp_path: Path):
    done = process("ls", "--lake", f"{lake}/{{layer}}", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["tables"]) == 4
    failed = process("signals", "NOPEUSDT", "--lake", f"{lake}/{{layer}}", cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert len(failed.stderr.splitlines()) == 1


def test_help_imports_nothing_heavy(tmp_path: Path):
    code = """
import sys
sys.argv = ["hermes", "--help"]
from hermes.cli.entry import _exit_code
code = _exit_code()
heavy = {"polars", "bokeh", "duckdb", "numpy", "pyarrow", "obstore", "pydantic", "polars_talib", "dataframely"}
print(code, sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_closed_pipe_is_no_traceback(lake: Path, tmp_path: Path):
    query = "select * from signals_SIMUSDT_4h, range(20)"
    command = f"{HERMES} sql '{query}' --lake '{lake}/{{layer}}' --json | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "Traceback" not in done.stderr


def test_an_empty_symbol_is_not_the_settings_symbol(hermes):
    said = hermes("config", "")
    assert said.code == 2 and "symbol" in said.error
