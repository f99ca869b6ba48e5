"""The current status, in a lake of many datasets, strategies and records."""

import json
import shutil
from pathlib import Path

import pytest
from tests.record.decisions import Service, simulated_bars
from tests.record.lakes import put_record
from tests.serve.conftest import at

from hermes.dataset import Dataset
from hermes.lake.store import Lake
from hermes.serve import snapshot
from hermes.serve.snapshot import take_snapshot


def test_each_dataset_says_what_status_says_and_the_newest_decisions_come_first(root: Path) -> None:
    found = take_snapshot(at(root), Lake.open(at(root)))
    ((status, row),) = zip(found.datasets, found.status, strict=True)
    assert (status["symbol"], status["interval"]) == ("SIMUSDT", "4h")
    assert row["link"] == "/tables/signals_smart_momentum_SIMUSDT_4h"
    assert row["cells"][0] == "SIMUSDT 4h (simulated)"
    assert "stale" not in row["cells"][3], "a simulated market is of no time that passes"
    late = snapshot._status_row(status | {"stale": True}, Dataset(symbol="BTCUSDT"), has_signals=False)
    assert late["cells"][3].endswith(", stale")
    assert (late["stale"], late["link"]) == (True, "")
    assert found.notes == [
        "smart_momentum on SIMUSDT 1h: the lake has no bar of SIMUSDT 1h → run `hermes ingest` or `hermes live` first"
    ]
    sequences = [each["sequence"] for each in found.decisions]
    assert sequences == sorted(sequences, reverse=True)
    assert len(found.record) == snapshot.DECISIONS
    json.dumps(found.status + found.record)


def test_a_strategy_that_is_not_known_here_hides_no_other(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "lake", dirs_exist_ok=True)
    known = tmp_path / "lake" / "gold" / "trading_signals_smart_momentum_spot_SIMUSDT_4h"
    shutil.copytree(known, known.with_name("trading_signals_mine_spot_SIMUSDT_4h"))
    found = take_snapshot(at(tmp_path / "lake"), Lake.open(at(tmp_path / "lake")))
    assert [each["strategy"] for each in found.datasets] == ["smart_momentum"]
    assert any("strategy 'mine' is not known" in note for note in found.notes)


def test_more_datasets_than_are_watched_are_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MOST_DATASETS", 1)
    found = take_snapshot(at(root), Lake.open(at(root)))
    assert "1 of 2 datasets are shown" in found.notes[0]


def test_a_record_of_few_decisions_a_day_is_read_back_as_far_as_needed(tmp_path: Path) -> None:
    hourly = at(tmp_path, dataset__interval="1h")
    put_record(hourly, Service(simulated_bars(300)).run(250, 255).record)
    found = take_snapshot(hourly, Lake.open(hourly))
    assert [each["sequence"] for each in found.decisions] == [4, 3, 2, 1, 0]
