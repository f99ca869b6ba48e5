"""`prune`: what is old goes whole, what is live, new or foreign stays, and a cut-off leaves nothing half."""

import subprocess
import sys
import tempfile
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lake_settings import naming
from tests.memory_lake import memory_lake

from hermes.dataset import Dataset, execution_name, universe_table
from hermes.lake import catalog
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.steps.maintenance import prune as step
from hermes.steps.maintenance.prune import prune
from hermes.steps.maintenance.verify import verify

BTC, ETH, HOUR = Dataset(), Dataset(symbol="ETHUSDT"), Dataset(interval="1h")
START = datetime(2025, 1, 1, tzinfo=UTC)
FRAME = pl.DataFrame({"a": [1]})
NAMES = ("signals.parquet", "run.json", "report.html", "report.svg", "trades.csv")


@pytest.fixture(autouse=True)
def own_staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of S3 lakes, too: there all of one user's processes share a folder of this machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(params=["folder", "memory", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "memory":
        return memory_lake(tmp_path / "copies")
    if request.param == "folder":
        return folder_lake(tmp_path / "lake")
    server = request.getfixturevalue("s3_server")
    flags = {"lake.url": f"s3://steps/{uuid.uuid4().hex}/{{layer}}", **server.flags()}
    return Lake.open(Settings.load(flags, environ={}))


def folder_lake(root: Path) -> Lake:
    return Lake.open(Settings.load({"lake.url": f"{root}/{{layer}}"}, environ={}))


def execute(lake: Lake, dataset: Dataset, second: int, strategy: str = "smart_momentum") -> str:
    """Publish one execution as `signals` and `report` do; returns its folder."""
    folder = dataset.execution_folder(strategy, START + timedelta(seconds=second))
    with lake.gold.staged() as path:
        lake.gold.stage(path, FRAME, {"rows": 1})
        lake.gold.create(f"{folder}/signals.parquet", path)
    for name in NAMES[1:]:
        lake.gold.write_bytes(f"{folder}/{name}", name.encode())
    return folder


def there(lake: Lake) -> set[str]:
    """Every file in gold."""
    return {file.key for file in lake.gold.files("", "")}


def folders(lake: Lake) -> set[str]:
    return {key.rpartition("/")[0] for key in there(lake)}


def test_nothing_is_removed_without_being_told_to(lake: Lake):
    old, new = (execute(lake, BTC, second) for second in (0, 1))
    before = there(lake)
    made = prune(naming(lake), lake, keep=1)
    assert [f"{each.table}/{each.folder}" for each in made.executions] == [old]
    assert made.bytes == sum(file.size for file in lake.gold.files(old, ""))
    assert not made.done
    assert there(lake) == before
    assert new in folders(lake)


def test_the_latest_of_every_table_stay(lake: Lake):
    made = {
        (dataset, strategy): [execute(lake, dataset, second, strategy) for second in range(3)]
        for dataset in (BTC, ETH, HOUR)
        for strategy in ("smart_momentum", "ma_cross")
    }
    lake.gold.write(BTC.features_key(2024), FRAME, {})
    gone = prune(naming(lake), lake, keep=2, remove=True)
    assert sorted(f"{each.table}/{each.folder}" for each in gone.executions) == sorted(
        all_[0] for all_ in made.values()
    )
    kept = {folder for all_ in made.values() for folder in all_[1:]}
    assert folders(lake) == kept | {BTC.features_key(2024).rpartition("/")[0]}
    assert {key.rpartition("/")[2] for key in there(lake)} >= set(NAMES)
    assert verify(naming(lake), lake).faults == 0
    assert prune(naming(lake), lake, keep=2, remove=True).executions == []


def test_only_the_tables_of_the_datasets_that_were_asked_for(lake: Lake):
    for dataset in (BTC, ETH, HOUR):
        for second in range(2):
            execute(lake, dataset, second)
    gone = prune(naming(lake), lake, keep=1, datasets=[ETH], remove=True)
    assert [each.table for each in gone.executions] == [ETH.signals_table("smart_momentum")]
    assert len(folders(lake)) == 5


@pytest.mark.parametrize(
    ("table", "main"),
    [(universe_table("smart_momentum"), "universe"), (BTC.portfolio_table("smart_momentum"), "portfolio")],
)
def test_tables_of_many_datasets_are_pruned_with_the_whole_lake_only(lake: Lake, table: str, main: str):
    made = [f"{table}/{execution_name(START + timedelta(seconds=second))}" for second in range(3)]
    for folder in made:
        with lake.gold.staged() as path:
            lake.gold.stage(path, FRAME, {})
            lake.gold.create(f"{folder}/{main}.parquet", path)
        lake.gold.write_bytes(f"{folder}/report.html", b"<p>")
    assert prune(naming(lake), lake, keep=1, datasets=[BTC]).executions == []
    assert len(prune(naming(lake), lake, keep=1, remove=True).executions) == 2
    assert folders(lake) == {made[-1]}


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(0, 30), max_size=8), st.integers(1, 9))
def test_the_latest_stay_whatever_there_is(tmp_path_factory: pytest.TempPathFactory, seconds: set[int], keep: int):
    lake = memory_lake(tmp_path_factory.mktemp("copies"))
    made = [execute(lake, BTC, second) for second in sorted(seconds)]
    prune(naming(lake), lake, keep=keep, remove=True)
    assert folders(lake) == set(made[-keep:])


def test_executions_of_other_tools_stay(lake: Lake):
    old = execute(lake, BTC, 0)
    execute(lake, BTC, 1)
    backend, key = lake.gold._backend, f"{old}/signals.parquet"
    content = lake.gold.read(key)
    lake.gold.remove(key)
    if hasattr(backend, "root"):
        (backend.root / key).write_bytes(content)
    else:
        obstore.put(backend._store, f"{backend._prefix}{key}", content)
    before = there(lake)
    made = prune(naming(lake), lake, keep=1, remove=True)
    assert made.foreign == [lake.gold.locate(old)]
    assert there(lake) == before


class Killed(BaseException):
    """Nobody catches it."""


def test_cut_off_anywhere_an_execution_is_whole_or_none(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    for number in range(len(NAMES) + 1):
        dataset = Dataset(symbol=f"SIM{number}USDT")
        old, new = execute(lake, dataset, 0), execute(lake, dataset, 1)
        calls, remove = iter(range(100)), type(lake.gold).remove

        def dies(self, key, calls=calls, number=number, remove=remove):
            if next(calls) == number:
                raise Killed
            remove(self, key)

        with monkeypatch.context() as patch:
            patch.setattr(type(lake.gold), "remove", dies)
            if number < len(NAMES):
                with pytest.raises(Killed):
                    prune(naming(lake), lake, keep=1, remove=True)
            else:
                prune(naming(lake), lake, keep=1, remove=True)
        readable = [file.key.rpartition("/")[0] for file in catalog.executions(lake, dataset, "smart_momentum")]
        assert readable == ([old, new] if number < len(NAMES) else [new])
        for folder in readable:  # whole: rows, lineage and hash
            (file,) = lake.gold.files(folder)
            assert lake.gold.scan([file]).collect().equals(FRAME)
            assert lake.gold.footer(file) == {"rows": 1}
            assert lake.gold.is_own(file.key)
        assert verify(naming(lake), lake).faults == 0
        prune(naming(lake), lake, keep=1, remove=True)
        assert {folder for folder in folders(lake) if dataset.symbol in folder} == {new}


def test_what_was_written_beside_signals_that_are_gone_is_swept(lake: Lake):
    """A report may be made of an execution while it is pruned."""
    old, new = execute(lake, BTC, 0), execute(lake, BTC, 1)
    prune(naming(lake), lake, keep=1, remove=True)
    lake.gold.write_bytes(f"{old}/report.html", b"late")
    just_now = BTC.execution_folder("smart_momentum", START + timedelta(seconds=9))
    lake.gold.write_bytes(f"{just_now}/run.json", b"of a run that a listing met half way")
    made = prune(naming(lake), lake, keep=1, remove=True)
    assert [f"{each.table}/{each.folder}" for each in made.remains] == [old]
    assert folders(lake) == {new, just_now}


def test_prune_beside_running_signals_loses_nothing_that_is_new(lake: Lake):
    """Writers publish, prunes run as often as they can: every table keeps its latest, and all of it is whole."""
    lake.gold.write_bytes("first", b"")
    done = threading.Event()

    def publish(symbol: int) -> list[str]:
        return [execute(lake, Dataset(symbol=f"SIM{symbol}USDT"), second) for second in range(12)]

    def clean() -> int:
        rounds = 0
        while not done.is_set():
            prune(naming(lake), lake, keep=2, remove=True)
            rounds += 1
        return rounds

    with ThreadPoolExecutor(5) as pool:
        cleaners = [pool.submit(clean) for _ in range(2)]
        try:
            made = list(pool.map(publish, range(3)))
        finally:
            done.set()
        assert all(cleaner.result() for cleaner in cleaners)
    prune(naming(lake), lake, keep=2, remove=True)
    for published in made:
        for folder in published[-2:]:
            assert {key.rpartition("/")[2] for key in there(lake) if key.startswith(folder)} == set(NAMES)
    assert len(folders(lake) - {""}) == 6
    assert verify(naming(lake), lake).faults == 0


HOLD = """
import sys
from hermes.lake.store import Lake
from hermes.settings import Settings
with Lake.open(Settings.load({"lake.url": sys.argv[1]}, environ={})).gold.staged() as path:
    path.write_bytes(b"x" * 1000)
    print(path, flush=True)
    sys.stdin.read()
"""


def test_staging_of_dead_runs_is_swept_and_of_live_ones_it_is_not(tmp_path: Path):
    lake, url = folder_lake(tmp_path), f"{tmp_path}/{{layer}}"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        path = Path(process.stdout.readline().strip())
        assert prune(naming(lake), lake, keep=1, remove=True).staging == []
        assert path.exists()
        process.kill()
        process.wait()
    assert [each.size for each in prune(naming(lake), lake, keep=1).staging] == [1000]
    assert path.exists()
    assert prune(naming(lake), lake, keep=1, remove=True).bytes == 1000
    assert not path.exists()


def test_a_disk_that_cannot_tell_live_from_dead_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(_root: Path) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(step, "sweep", refused)
    made = prune(Settings.load({"lake.url": f"{tmp_path}/{{layer}}"}, environ={}), keep=1, remove=True)
    assert made.staging == []
    assert made.notes == [f"staging was left alone: {tmp_path}/_staging: No locks available"]
