"""Where the measured tables are. Light: every peer's process may import it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.measured import Work
from hermes.dataset import Dataset

if TYPE_CHECKING:
    from hermes.settings import Settings

HERMES = str(Path(sys.executable).with_name("hermes"))
REAL_ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "data" / "binance"
DATASET = Dataset(symbol="SIMUSDT", interval="1m")


def long_archive(folder: Path) -> tuple[str, str, str]:
    """The real archive, or a simulated one as long, made in `folder`: its address, its symbol, and what it is."""
    if REAL_ARCHIVE.is_dir():
        return str(REAL_ARCHIVE), "BTCUSDT", "the real BTCUSDT bars at 4 h"
    archive = str(folder / "archive")
    Work("archive:make", {"root": archive, "months": 97}).run()
    return archive, "SIMUSDT", "simulated bars at 4 h"


def settings_of(lake: str, dataset: Dataset = DATASET, **flags: Any) -> "Settings":
    """Settings of a lake in a folder, free of this shell's environment."""
    from hermes.settings import Settings  # noqa: PLC0415

    names = {"dataset.symbol": dataset.symbol, "dataset.interval": dataset.interval}
    return Settings.load({"lake.url": f"{lake}/{{layer}}", **names, **flags}, environ={})


def gold(lake: str, dataset: Dataset = DATASET) -> Path:
    """Folder of the gold feature table."""
    return Path(lake) / "gold" / dataset.features_table


def feature_files(lake: str) -> list[str]:
    """The table's files in the order of time, for the peers that need to be told."""

    def period(path: Path) -> list[int]:
        return [int(part.split("=")[1]) for part in path.parts[-3:-1]]

    return [str(path) for path in sorted(gold(lake).rglob("*.parquet"), key=period)]
