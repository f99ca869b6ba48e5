"""Steps that replace files have their dataset for themselves; an execution needs no lock."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hermes import interruption
from hermes.errors import DatasetLocked, LockLost
from hermes.lake.store import Lake
from hermes.pipeline import features, ingest, refine, signals
from hermes.progress import Progress
from hermes.settings import Settings


@pytest.fixture
def settings(load: Callable, tmp_path: Path, simulated: Path) -> Settings:
    return load(tmp_path, archive__url=str(simulated), dataset__symbol="SIMUSDT")


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.open(settings)


class Meanwhile(Progress):
    """Does something once a step has begun."""

    def __init__(self, deed: Callable[[], None]) -> None:
        self._deed = deed

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator:
        self._deed()
        yield lambda done, note: None


def test_two_steps_never_overlap(settings: Settings, lake: Lake):
    dataset = settings.dataset
    with lake.locked(dataset, "run"):
        for step in (lambda: ingest(settings, lake), lambda: refine(settings, lake), lambda: features(settings, lake)):
            with pytest.raises(DatasetLocked, match="hermes run"):
                step()


def test_they_go_on_under_the_lock_of_a_run(settings: Settings, lake: Lake):
    with lake.locked(settings.dataset, "run") as own:
        ingest(settings, own)
        refine(settings, own)
        features(settings, own)
        assert signals(settings, own).tally.rows > 0


def test_signals_need_no_lock(settings: Settings, lake: Lake):
    ingest(settings, lake)
    refine(settings, lake)
    features(settings, lake)
    with lake.locked(settings.dataset, "run"):
        assert signals(settings, lake).tally.rows > 0


@pytest.mark.parametrize("step", ["ingest", "refine", "features"])
def test_a_step_that_lost_its_lock_publishes_nothing(settings: Settings, lake: Lake, tmp_path: Path, step: str):
    dataset = settings.dataset
    steps = {
        "ingest": lambda **more: ingest(settings, lake, **more),
        "refine": lambda **more: refine(settings=settings, lake=lake, **more),
        "features": lambda **more: features(settings, lake=lake, **more),
    }
    for name, before in steps.items():
        if name == step:
            break
        before()
    layer = {"ingest": "bronze", "refine": "silver", "features": "gold"}[step]
    with pytest.raises(LockLost):
        steps[step](progress=Meanwhile((tmp_path / dataset.lock_key).unlink))
    assert not [*(tmp_path / layer).rglob("*.parquet")]


def test_no_step_begins_while_a_signal_ends_the_process(settings: Settings, lake: Lake, monkeypatch):
    monkeypatch.setattr(interruption, "told", signal.SIGTERM)
    with pytest.raises(interruption.Ended):
        ingest(settings, lake)
    assert lake.bronze.files("") == []
