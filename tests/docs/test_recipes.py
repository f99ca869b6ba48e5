"""The queries of all pages run in one lake, in any order, also after other strategies and experiments."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.docs.pages import PROJECT

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
QUERIES = sorted({query for page in PAGES for query in re.findall(r'hermes sql "([^"]+)"', page.read_text())})


@pytest.fixture(scope="module")
def lake(simulated_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake in which somebody tried a lot."""
    from hermes.lake.store import Lake
    from hermes.settings import Settings
    from hermes.steps.signals import signals

    root = Path(shutil.copytree(simulated_lake, tmp_path_factory.mktemp("recipes") / "lake"))
    for more in (
        {},
        {"signals.strategy": "ma_cross"},
        {"strategy.smart_momentum.ema_fast": 8, "signals.start": "2025-01-01"},
    ):
        flags = {"lake.url": f"{root}/{{layer}}", "dataset.symbol": "SIMUSDT", **more}
        settings = Settings.load(flags, environ={})
        signals(settings, Lake.open(settings))
    return root


@pytest.mark.parametrize("seed", [1, 2])
def test_every_query_answers(lake: Path, hermes: Callable, seed: int) -> None:
    assert len(QUERIES) >= 4
    for query in Random(seed).sample(QUERIES, len(QUERIES)):
        said = hermes("sql", query, "--lake", f"{lake}/{{layer}}", "--json")
        assert said.code == 0, f"{query}: {said.err}"
        assert said.json["rows"], query
