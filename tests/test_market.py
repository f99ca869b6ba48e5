"""Many datasets at once: the same rows wherever tasks run, failures told and not contagious, nothing made twice."""

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

import hermes
from hermes import market, pipeline
from hermes.dataset import Dataset
from hermes.errors import MissingTable
from hermes.lake import catalog, sql
from hermes.lake.store import Lake
from hermes.market import _run_task, held, run_market
from hermes.settings import Settings
from hermes.stages.bronze.simulate import write_archive
from hermes.steps.comparison import UNIVERSE
from hermes.steps.run import RunOptions
from hermes.workers.pool import Place, place

SYMBOLS = [f"SIM{number}USDT" for number in range(4)]
OPTIONS = RunOptions(audited=False, reported=False, fresh_after=datetime.fromtimestamp(0, UTC))


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """An archive of four symbols at 4h, one of them at 1d too. Not to be changed."""
    root = tmp_path_factory.mktemp("many")
    for symbol in SYMBOLS:
        write_archive(root, Dataset(symbol=symbol), date(2024, 11, 1), 4)
    write_archive(root, Dataset(symbol=SYMBOLS[0], interval="1d"), date(2024, 11, 1), 4)
    return root


@pytest.fixture
def tasks(many, tmp_path, load) -> Callable:
    """Settings for some symbols, in a lake of its own for each name."""

    def tasks(lake: str = "lake", archive: Path = many, symbols=SYMBOLS, **flags) -> list[Settings]:
        return [load(tmp_path / lake, dataset__symbol=symbol, archive__url=str(archive), **flags) for symbol in symbols]

    return tasks


@pytest.fixture
def threads(tasks):
    with place(tasks()[0]) as where:
        yield where


def rows_of(settings: Settings) -> pl.DataFrame:
    return hermes.read_signals(settings).drop("generated_at").collect()


def executions(settings: Settings) -> int:
    return len(catalog.executions(Lake.open(settings), settings.dataset, "smart_momentum"))


@pytest.mark.cluster
def test_a_cluster_makes_the_rows_that_threads_make(tasks, threads):
    here, there = tasks("here"), tasks("there")
    run_market(here, OPTIONS, threads)
    with place(there[0], workers=2) as where:
        made = run_market(there, OPTIONS, where)
    assert not made.failed and made.where == "2 workers of this machine"
    for mine, theirs in zip(here, there, strict=True):
        assert rows_of(mine).equals(rows_of(theirs))
        assert hermes.read_features(mine).collect().equals(hermes.read_features(theirs).collect())


def test_a_market_is_its_datasets_one_by_one(tasks, threads):
    made = run_market(tasks("all"), OPTIONS, threads)
    for settings, done in zip(tasks("alone"), made.done, strict=True):
        alone = pipeline.run(settings, audited=False, reported=False)
        assert alone.as_json()["metrics"] == done["metrics"] and alone.as_json()["rows"] == done["rows"]


PASSING = ("seconds", "rows_per_second", "freshness")  # what time alone changes


def test_running_again_makes_only_what_changed(tasks, threads, many, tmp_path):
    archive = Path(shutil.copytree(many, tmp_path / "archive"))
    first = run_market(tasks(archive=archive), OPTIONS, threads)
    assert [each["unchanged"] for each in first.done] == [False] * 4
    write_archive(archive, Dataset(symbol=SYMBOLS[1]), date(2025, 3, 1), 1)
    again = run_market(tasks(archive=archive), OPTIONS, threads)
    assert [each["unchanged"] for each in again.done] == [True, False, True, True]
    assert [executions(each) for each in tasks()] == [1, 2, 1, 1]
    for before, after in zip(first.done, again.done, strict=True):
        if after["unchanged"]:
            assert {
                **after,
                **{
                    n: before[n] for n in ("seconds", "rows_per_second", "written", "unchanged", "quality", "freshness")
                },
            } == before
    changed = tasks(archive=archive, signals__start="2024-12-01")
    assert not any(each["unchanged"] for each in run_market(changed, OPTIONS, threads).done)


def test_a_task_that_ran_twice_publishes_once(tasks):
    settings = tasks()[0]
    options = replace(OPTIONS, fresh_after=datetime.now(UTC))
    first, second = _run_task((settings, options)), _run_task((settings, options))
    assert executions(settings) == 1 and second.made["path"] == first.made["path"]
    later = replace(OPTIONS, fresh_after=datetime.now(UTC))
    assert _run_task((settings, later)).made["path"] != first.made["path"]


def test_a_dataset_that_somebody_else_is_at_is_waited_for(tasks, monkeypatch):
    settings = tasks()[0]
    lake = Lake.open(settings)
    holding = ExitStack()
    holding.enter_context(lake.locked(settings.dataset, "run"))
    monkeypatch.setattr(market, "sleep", lambda _: holding.close())
    assert _run_task((settings, OPTIONS)).made
    monkeypatch.setattr(market, "LOCKED_S", -1)
    with lake.locked(settings.dataset, "run"):
        assert "run" in _run_task((settings, OPTIONS)).error


def test_failures_are_told_and_stop_no_other(tasks, threads, many, tmp_path):
    archive = Path(shutil.copytree(many, tmp_path / "archive"))
    for zipped in (archive / "data/spot/monthly/klines" / SYMBOLS[2] / "4h").glob("*.zip"):
        zipped.write_bytes(b"not a zip")
    named = [*SYMBOLS, "SIM9USDT"]
    made = run_market(tasks(archive=archive, symbols=named), OPTIONS, threads)
    assert [each["symbol"] for each in made.done] == [SYMBOLS[0], SYMBOLS[1], SYMBOLS[3]]
    assert [each.symbol for each in made.failed] == [SYMBOLS[2], "SIM9USDT"]
    assert all(each.error and each.cure and "\n" not in each.error for each in made.failed)
    assert "CHECKSUM" in made.failed[0].error and "SIM9USDT" in made.failed[1].error

    write_archive(archive, Dataset(symbol=SYMBOLS[2]), date(2024, 11, 1), 4)
    write_archive(archive, Dataset(symbol="SIM9USDT"), date(2024, 11, 1), 4)
    corrected = run_market(tasks(archive=archive, symbols=named), OPTIONS, threads)
    assert [each["unchanged"] for each in corrected.done] == [True, True, False, True, False]


def test_an_error_nobody_expected_is_a_failure_of_one(tasks, threads, monkeypatch):
    real = pipeline.features_for_signals

    def broken(settings, *rest, **options):
        if settings.dataset.symbol == SYMBOLS[1]:
            raise ZeroDivisionError("of all things")
        return real(settings, *rest, **options)

    monkeypatch.setattr(pipeline, "features_for_signals", broken)
    made = run_market(tasks(), OPTIONS, threads)
    assert len(made.done) == 3
    assert made.failed[0].error == "unexpected ZeroDivisionError: of all things" and "broken" in made.failed[0].trace


def test_a_failure_tells_no_secret(tasks, threads, monkeypatch):
    secret = "canary-of-the-market-0123456789"

    def broken(*_, **__):
        raise ZeroDivisionError(f"signed with {secret}")

    monkeypatch.setattr(pipeline, "features_for_signals", broken)
    given = {"s3__access_key": "somebody-of-the-desk", "s3__secret_key": secret}
    made = run_market(tasks(symbols=SYMBOLS[:1], **given), OPTIONS, threads)
    (failed,) = made.failed
    assert "ZeroDivisionError: signed with" in failed.error
    assert secret not in json.dumps(made.as_json()) + failed.trace


def test_the_comparison_holds_what_the_runs_said(tasks, threads):
    named = [*SYMBOLS, "SIM9USDT"]
    made = run_market(tasks(symbols=named), replace(OPTIONS, reported=True), threads)
    table = pl.read_parquet(made.universe.path)
    assert dict(table.schema) == UNIVERSE and table["symbol"].to_list() == named
    for row, done in zip(table.iter_rows(named=True), made.done, strict=False):
        assert {name: row[name] for name in ("rows", "path", "report")} == {
            name: done[name] for name in ("rows", "path", "report")
        }
        assert {name: row[name] for name in done["metrics"] if name in row} == {
            name: value for name, value in done["metrics"].items() if name in row
        }
        assert row["error"] is None
        assert (Path(made.universe.page).parent / row["link"]).resolve() == Path(row["report"])
    broken = table.row(4, named=True)
    assert broken["error"] and broken["cure"] and broken["sharpe"] is None and broken["path"] is None
    found = sql.query(Lake.open(tasks()[0]), "select count(*), count(sharpe) from universe")
    assert found.rows == [(5, table["sharpe"].count())]


def test_nothing_done_is_nothing_to_compare(tasks, threads):
    made = run_market(tasks(symbols=["SIM8USDT", "SIM9USDT"]), OPTIONS, threads)
    assert made.universe is None and len(made.failed) == 2


def test_what_a_source_holds(tasks, threads):
    settings = tasks()[0]
    assert [each.symbol for each in held(settings, "archive")] == SYMBOLS
    assert [each.symbol for each in held(settings, "archive", match="sim[12]*")] == SYMBOLS[1:3]
    assert [each.symbol for each in held(tasks(dataset__interval="1d")[0], "archive")] == SYMBOLS[:1]
    with pytest.raises(MissingTable, match="quoted in EUR"):
        held(settings, "archive", quote="eur")
    with pytest.raises(MissingTable, match="holds no spot symbol"):
        held(settings, "silver")
    run_market(tasks(symbols=SYMBOLS[:2]), OPTIONS, threads)
    for layer in ("bronze", "silver", "gold"):
        assert [each.symbol for each in held(settings, layer, quote="USDT")] == SYMBOLS[:2]


def test_a_place_that_takes_no_tasks_is_an_error(tasks):
    from concurrent.futures import ThreadPoolExecutor

    from hermes.errors import ClusterError

    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(ClusterError, match="accepts no tasks any more"):
        run_market(tasks(), OPTIONS, Place(pool, 1, "a closed pool"))


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_for_all_symbols(hermes, many):
    line = (
        "run",
        "--all",
        "--quote",
        "usdt",
        "--match",
        "SIM[0-2]*",
        "--archive",
        str(many),
        "--no-audit",
        "--no-report",
    )
    code, out, err = hermes(*line, "--json")
    said = json.loads(out)
    assert code == 0, err
    assert [each["symbol"] for each in said["datasets"]] == SYMBOLS[:3]
    assert said["page"] is None and said["universe"].endswith("universe.parquet")
    code, out, _ = hermes(*line)
    assert code == 0 and "SIMULATED MARKET" in out and "of them 0 with new signals" in out
    code, out, _ = hermes(*line, "--always", "--from", "gold")
    assert code == 0 and "of them 3 with new signals" in out


def test_the_command_for_a_file_of_symbols_and_several_intervals(hermes, many, tmp_path):
    (tmp_path / "mine.txt").write_text("# mine\nSIM0USDT\n\nsim1/usdt  # written otherwise\nSIM0USDT\nno good name\n")
    line = ("run", "--symbols-file", "mine.txt", "--interval", "4h", "--interval", "1d", "--archive", str(many))
    code, out, err = hermes(*line, "--no-audit", "--no-report", "--json")
    said = json.loads(out)
    assert code == 1
    assert [(each["symbol"], each["interval"]) for each in said["datasets"]] == [
        ("SIM0USDT", "4h"), ("SIM1USDT", "4h"), ("SIM0USDT", "1d")
    ]  # fmt: skip
    assert len(said["errors"]) == 3 and len(err.strip().splitlines()) == 3
    assert "SIM1USDT 1d" in err and "no good name" in err


def test_one_dataset_is_told_in_full_and_made_again_unless_asked(hermes, many):
    line = ("run", "SIM0USDT", "--archive", str(many), "--no-audit", "--no-report")
    assert hermes(*line)[0] == 0
    code, out, _ = hermes(*line, "--json")
    assert code == 0 and json.loads(out)["datasets"][0]["unchanged"] is False
    code, out, _ = hermes(*line, "--if-changed", "--json")
    assert code == 0 and json.loads(out)["datasets"][0]["unchanged"] is True
    code, out, _ = hermes(*line, "--if-changed")
    assert code == 0 and "nothing changed since" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--all", "BTCUSDT"], "--all cannot be combined with symbols"),
        (["BTCUSDT", "--match", "B*"], "--quote and --match"),
        (["--from", "iron"], "not one of 'archive', 'bronze', 'silver', 'gold'"),
        (["--symbols-file", "absent.txt"], "cannot be read"),
        (["--symbols-file", "empty.txt"], "holds no symbol"),
        (["A B", "C D"], "is not a name"),
        (["A", "B", "--workers", "2", "--cluster", "tcp://127.0.0.1:1"], "give one of them"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(hermes, tmp_path, words, said):
    (tmp_path / "empty.txt").write_text("# none\n")
    code, out, err = hermes("run", *words)
    assert code == 2 and said in err and not out


@pytest.mark.cluster
def test_a_cluster_on_s3_makes_the_rows_of_a_folder(tasks, threads, many, load, s3_server):
    url = "s3://market-{layer}/of-many"
    there = [
        load(
            url, dataset__symbol=symbol, archive__url=str(many), **s3_server.flags()
        )  # keys that only this process has
        for symbol in SYMBOLS
    ]
    with place(there[0], workers=2) as where:
        made = run_market(there, OPTIONS, where)
    assert not made.failed, made.failed[0]
    here = tasks("here")
    run_market(here, OPTIONS, threads)
    for mine, theirs in zip(here, there, strict=True):
        assert rows_of(mine).equals(rows_of(theirs))
        assert executions(theirs) == 1
