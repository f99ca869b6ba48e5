"""What is printed, and what it is printed on: nothing of either changes what was done."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hermes.cli.views
from hermes.cli.views import console
from hermes.errors import HermesError

HERMES = Path(sys.executable).with_name("hermes")
NASTY = "a\x1b[2J\x07\u202eb[/][bold]\x9b1A[link=x]"


@pytest.fixture(scope="module")
def lake(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake of SIMUSDT, its settings in hermes.toml."""
    root = tmp_path_factory.mktemp("streams")
    toml = f'[archive]\nurl = "{simulated}"\n[dataset]\nsymbol = "SIMUSDT"\n[lake]\nurl = "{root}/lake/{{layer}}"\n'
    (root / "hermes.toml").write_text(toml)
    assert run(root, "run", "--no-report").returncode == 0
    return root


def run(folder: Path, *words: str, shell: str = "", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """One command in a process of its own; `shell` says where its output goes."""
    line = f"{HERMES} {' '.join(words)} {shell}"
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "150", **environ}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, timeout=120, check=False
    )


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp437"])
def test_a_terminal_that_lacks_characters_gets_others(lake: Path, encoding: str) -> None:
    shown = run(lake, "show", PYTHONIOENCODING=encoding)
    assert shown.returncode == 0, shown.stderr
    listed = run(lake, "ls", "--json", PYTHONIOENCODING=encoding)
    assert json.loads(listed.stdout.decode(encoding)) == json.loads(run(lake, "ls", "--json").stdout)


@pytest.mark.parametrize(("shell", "says"), [(">/dev/full", True), (">&-", False), (">/dev/full 2>&1", False)])
def test_a_run_that_cannot_be_printed_is_done(lake: Path, shell: str, says: bool) -> None:
    before = set((lake / "lake/gold").rglob("signals.parquet"))
    done = run(lake, "signals", shell=shell)
    assert done.returncode == 0, done.stderr
    assert len(set((lake / "lake/gold").rglob("signals.parquet")) - before) == 1
    assert (b"stdout cannot be written to (No space left on device)" in done.stderr) == says
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_command_that_only_prints_fails_where_it_cannot(lake: Path) -> None:
    assert run(lake, "ls", shell=">/dev/full").returncode == 1
    assert run(lake, "backtest", "--json", shell=">/dev/full").returncode == 1
    assert run(lake, "ls", shell="| true").returncode == 0  # nobody reads on: that is no failure
    assert run(lake, "ls", shell=">&- 2>&-").returncode == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_signals_end_a_run_as_ctrl_c_does(lake: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    slow, prom = tmp_path / "slow.py", tmp_path / "hermes.prom"
    slow.write_text("import pathlib, time\npathlib.Path('loading').touch()\ntime.sleep(60)\n")
    (lake / "loading").unlink(missing_ok=True)
    words = [HERMES, "run", "--from", "gold", "--strategy", str(slow)]
    environment = {**os.environ, "HERMES_UPKEEP__METRICS_FILE": str(prom)}
    before = signal.signal(number, signal.SIG_DFL)  # whoever started the tests may ignore it, as nohup does
    process = subprocess.Popen(words, cwd=lake, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    signal.signal(number, before)
    for _ in range(300):
        if (lake / "loading").exists():
            break
        time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert b"no partial output; rerun to resume" in err
    assert b"Traceback" not in err
    assert [*(lake / "lake/_staging").iterdir()] == []
    assert "hermes_run_exit_status{" in prom.read_text()
    assert f"}} {code}" in prom.read_text()


def test_what_is_ignored_stays_ignored() -> None:
    code = (
        "import signal; from hermes import interruption as i; [signal.signal(n, signal.SIG_IGN) for n in i.EXIT_CODES];"
        " i.listen(lambda: None); import hermes.lake.store; [signal.raise_signal(n) for n in i.EXIT_CODES];"
        " assert i.told is None; assert {signal.getsignal(n) for n in i.EXIT_CODES} == {signal.SIG_IGN}"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_nothing_that_is_printed_acts_on_the_terminal(capfd: pytest.CaptureFixture) -> None:
    console.print_rows((NASTY,), [(NASTY,), (None,)], NASTY)
    console.print_facts(NASTY, [(NASTY, NASTY)])
    console.say("[bold]{}[/]", NASTY)
    console.print_note(NASTY)
    console.print_error(HermesError(NASTY, NASTY))
    said = capfd.readouterr()
    for text in (said.out, said.err):
        assert not [each for each in text if not each.isprintable() and each != "\n"]
        assert "[/][bold]" in text
    console.print_json({NASTY: [NASTY]})
    out = capfd.readouterr().out
    assert not [each for each in out if not each.isprintable() and each != "\n"]
    assert json.loads(out) == {NASTY: [NASTY]}


def test_views_print_through_the_one_place_that_escapes() -> None:
    for path in Path(next(iter(hermes.cli.views.__path__))).glob("*.py"):
        if path.name == "console.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "attr", getattr(getattr(node, "func", None), "id", ""))
            assert name != "print", f"{path.name}:{node.lineno} prints by itself: use console.say"
            if name == "say":
                assert isinstance(node.args[0], ast.Constant | ast.Name), f"{path.name}:{node.lineno}"


def test_a_column_of_sql_is_shown_as_it_is(hermes: Callable[..., Any], lake: Path) -> None:
    os.chdir(lake)
    done = hermes("sql", 'select 1 as "[/]"')
    assert done.code == 0, done.err
    assert "[/]" in done.out


def test_the_answers_of_sql(hermes: Callable[..., Any], lake: Path) -> None:
    os.chdir(lake)
    many = hermes("sql", "select * from range(2000)")
    assert "Only the first 1,000 rows; --limit gives more, --out FILE all of them." in many.out
    assert len(hermes("sql", "select * from range(2000)", "--json").json["rows"]) == 2000
    assert hermes("sql", "select range, null as b from range(2)", "--format", "csv").out == "range,b\n0,\n1,\n"
    wide = hermes("sql", "select * from signals_SIMUSDT_4h limit 2").out
    assert "Row 1" in wide
    assert "validated_return_pct" in wide  # no column is folded into pieces
    written = hermes("sql", "select * from signals_SIMUSDT_4h", "--out", "all.parquet", "--json")
    assert written.json == {"rows": 1083, "path": "all.parquet", "format": "parquet"}
