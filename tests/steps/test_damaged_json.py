"""Small JSON files that are cut or wrong: a cache is made again, a state is said with its name and cure."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hermes import pipeline
from hermes.errors import HermesError
from hermes.lake.store import Lake
from hermes.monitoring.notices import Execution, tell_new
from hermes.monitoring.outbox import Outbox, Receiver
from hermes.settings import Settings

#: What a small file may hold after a crash, a full disk, or somebody's editor.
DAMAGES = [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"a": 1}', b"{}"]


@pytest.fixture(scope="module")
def ran(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """A lake after one run that was told of, with every small file that Hermes keeps."""
    root = tmp_path_factory.mktemp("ran")
    settings = Settings.load(
        {"lake.url": f"{root}/{{layer}}", "archive.url": str(simulated), "dataset.symbol": "SIMUSDT"}, environ={}
    )
    made = pipeline.run(settings, reported=False)
    lake = Lake.open(settings)
    folder = f"{settings.dataset.signals_table('smart_momentum')}/{made.signalled.execution}"
    last = datetime.fromisoformat(made.signalled.as_json()["last"])
    parameters = made.signalled.parameters
    tell_new(lake, Execution(settings.dataset, "smart_momentum", parameters, lake.gold.files(folder)[0], last), print)
    return settings, root


@pytest.fixture
def copied(ran: tuple[Settings, Path], tmp_path: Path, load: Callable) -> Settings:
    """The same, to be damaged."""
    settings, root = ran
    shutil.copytree(root, tmp_path / "lake")
    return load(tmp_path / "lake", archive__url=settings.archive.url, dataset__symbol="SIMUSDT")


@pytest.mark.parametrize("content", DAMAGES)
def test_a_run_goes_on_whatever_became_of_the_small_files(copied: Settings, content: bytes) -> None:
    root = Path(copied.layer_url("gold")).parent
    small = [path for path in root.rglob("*.json") if path.name != "run.json"]
    assert {path.name for path in small} >= {"notified.json", "quality.json"}
    assert [path for path in small if path.parent.name == "audits"]
    for path in small:
        path.write_bytes(content)
    made = pipeline.run(copied, reported=False)
    assert made.signalled.as_json()["rows"] == 1083
    for path in small:
        if path.name == "quality.json" or path.parent.name == "audits":
            assert json.loads(path.read_bytes())["verdict" if path.parent.name == "audits" else "rows"]


@pytest.mark.parametrize("content", DAMAGES[:-1])
def test_notices_go_on_from_the_newest_bar(copied: Settings, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    lake = Lake.open(copied)
    table = copied.dataset.signals_table("smart_momentum")
    (file,) = [file for file in lake.gold.files(table) if file.key.endswith("signals.parquet")]
    rows = lake.gold.scan([file]).collect()
    last = rows.filter(rows["buy_signal"] | rows["sell_signal"])["datetime"][-1]
    mark = Path(lake.gold.locate(f"{table}/notified.json"))
    mark.write_bytes(content)
    told: list[dict] = []
    parameters = lake.gold.footer(file)["parameters"]
    tell_new(lake, Execution(copied.dataset, "smart_momentum", parameters, file, last), told.append)
    assert [notice["open_time"][:16] for notice in told] == [last.isoformat()[:16]]
    assert [mark.name in record.getMessage() for record in caplog.records] == [True]
    again: list[dict] = []
    tell_new(lake, Execution(copied.dataset, "smart_momentum", parameters, file, last), again.append)
    assert again == []


@pytest.mark.parametrize("content", DAMAGES)
def test_a_notice_that_is_lost_holds_up_no_other(copied: Settings, content: bytes) -> None:
    lake = Lake.open(copied)
    taken: list[Any] = []
    receiver = Receiver("somebody", "key", taken.append)
    outbox = Outbox(lake, "table")
    outbox.put({"id": "a"}, [receiver])
    outbox.put({"id": "b"}, [receiver])
    first = sorted((Path(lake.gold.address) / "notices" / "table").iterdir())[0]
    first.write_bytes(content)
    done = outbox.deliver([receiver])
    assert [notice["id"] for notice in taken] == ["b"]
    (problem,) = done.problems
    assert first.name in problem.message
    assert problem.cure == "remove it"
    first.unlink()  # the cure
    assert outbox.deliver([receiver]).problems == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"x", b"\n\n"])
def test_records_of_hashes_that_are_damaged_stop_nothing(copied: Settings, content: bytes) -> None:
    root = Path(copied.layer_url("gold")).parent
    for path in (root / "_hashes").rglob("*"):
        if path.is_file():
            path.write_bytes(content)
    try:
        pipeline.run(copied, reported=False)
    except HermesError as error:
        assert error.cure
