"""Every cure that names a command or an option is done as it says, and mends what it is told for."""

import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from tests.cures import commands, found, live, pipeline, stores  # noqa: F401 - they register their scenarios
from tests.cures.world import SCENARIOS, SIM, Play, World

from hermes import pipeline as hermes_pipeline
from hermes.settings import Settings
from hermes.stages.bronze.simulate import write_archive


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of two symbols, and a lake with one of them from end to end. Not to be changed."""
    root = tmp_path_factory.mktemp("cures")
    for symbol in ("SIMUSDT", "SIM1USDT"):
        write_archive(root / "archive", SIM.with_symbol(symbol), date(2024, 11, 1), 3)
    (root / "hermes.toml").write_text('[dataset]\nsymbol = "SIMUSDT"\n[archive]\nurl = "archive"\n')
    flags = {"lake.url": f"{root}/lake/{{layer}}", "archive.url": str(root / "archive"), "dataset.symbol": SIM.symbol}
    hermes_pipeline.run(Settings.load(flags, environ={}), audited=False, reported=False)
    return root


@pytest.mark.parametrize(("cure", "play"), [pytest.param(*each, id=each[1].__name__) for each in SCENARIOS])
def test_a_cure_mends_what_it_is_told_for(
    cure: str, play: Play, template: Path, tmp_path: Path, hermes: Callable, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    world = World(tmp_path, hermes, monkeypatch, found.in_source(cure, found.cures()))
    play(world)
    assert world.followed, "the scenario does not provoke the error"


def test_every_cure_that_can_be_typed_has_a_scenario():
    played = {found.in_source(cure, found.cures()) for cure, _ in SCENARIOS}
    missing = {cure: where for cure, where in found.typed().items() if cure not in played}
    assert not missing, "give each of these a scenario in tests/cures/"
    assert played <= found.cures().keys(), f"no longer in the source: {played - found.cures().keys()}"


def test_the_collection_finds_them():
    assert len(found.cures()) > 250
    assert len(found.typed()) > 70
    unknown = [cure for cure in found.cures() if re.fullmatch("[ …]*", cure)]
    assert not unknown
