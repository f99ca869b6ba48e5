"""The commands of the pages about the record, run in this process on a lake that holds one."""

import importlib.util
import shlex
import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.docs.pages import PAGES, PROJECT, RECORD, blocks
from tests.record.decisions import FIRST, simulated_bars
from tests.record.lakes import put_record, put_silver

from hermes.compute import compute_features, compute_signals
from hermes.record import ledger
from hermes.record.ledger import Head
from hermes.settings import Settings
from hermes.strategies.smart_momentum import SmartMomentum

WITH_RECORD = [page for page in PAGES if any(block.marker == RECORD for block in blocks(page))]
HEAD = "4b1f…"
FOUR_HOURS = timedelta(hours=4)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A lake with silver of BTCUSDT 4h and ten days of it on record; and the head of that."""
    folder = tmp_path_factory.mktemp("record")
    settings = Settings.load({"lake.url": f"{folder}/lake/{{layer}}"}, environ={})
    times = pl.datetime_range(FIRST, interval="4h", end=FIRST + 499 * FOUR_HOURS, eager=True, time_unit="us")
    bars = simulated_bars(500).with_columns(datetime=times)
    put_silver(settings, bars)
    judged = compute_signals(compute_features(bars, settings), settings)
    dataset, strategy = settings.dataset, SmartMomentum()
    rows = ledger.decisions(
        judged.tail(60), dataset, strategy, decided_at=FIRST, server_time=FIRST, late_seconds=60
    ).with_columns(server_time=pl.col("datetime") + FOUR_HOURS, late=pl.lit(value=False))  # fmt: skip
    begin = Head.before_first(bars.head(440))
    sealed, heads = ledger.seal(rows, {(chain := ledger.chain_of(dataset, strategy.name)): begin})
    put_record(settings, sealed)
    return folder / "lake", heads[chain].hash


@pytest.mark.parametrize("page", WITH_RECORD)
def test_commands_run(hermes, page: str, kept: tuple[Path, str], tmp_path: Path):
    shutil.copytree(kept[0], tmp_path / "lake")
    ran = []
    for block in (block for block in blocks(page) if block.marker == RECORD):
        for line in block.without_comments.splitlines():
            program, *words = shlex.split(line.replace(HEAD, kept[1]))
            if program == "hermes":
                said = hermes(*words)
                assert said.code == 0, f"{page}, line {block.line}: {line}: {said.err}"
            else:
                assert (program, words[0]) == ("python", "verify_record.py"), f"{page}: {line} is not run here"
                assert verifier().main(*words[1:]) == 0, f"{page}: {line}"
            ran.append(line)
    assert any(HEAD in line for line in ran)


def verifier():
    spec = importlib.util.spec_from_file_location("verify_record", PROJECT / "docs" / "verify_record.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
