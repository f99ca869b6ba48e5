"""The exchange's own files that some tests need: where they are, and how to fetch them.

    .venv/bin/python -m tests.real_archive    # into ../shared/data/binance, or $HERMES_TEST_ARCHIVE

Tests that need them are skipped if they are missing. About 2 MB: BTCUSDT and ETHUSDT, 4h, August 2017 to August
2025, and ten days of September 2025.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from urllib.request import urlopen

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared" / "data" / "binance"
ADDRESS = "https://data.binance.vision"
FETCH = ".venv/bin/python -m tests.real_archive"


def folder() -> Path:
    """Where the files are, or will be."""
    return Path(os.environ.get("HERMES_TEST_ARCHIVE") or SHARED)


def paths() -> Iterator[str]:
    """Every file, below the archive's root."""
    months = [date(2017 + number // 12, number % 12 + 1, 1) for number in range(7, 7 + 97)]
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for month in months:
            yield f"data/spot/monthly/klines/{symbol}/4h/{symbol}-4h-{month:%Y-%m}.zip"
    for number in range(10):
        day = date(2025, 9, 1) + timedelta(days=number)
        yield f"data/spot/daily/klines/BTCUSDT/4h/BTCUSDT-4h-{day}.zip"


def fetch(root: Path, address: str = ADDRESS) -> int:
    """Fetch the missing files; returns how many."""
    wanted = [f"{path}{ending}" for path in paths() for ending in ("", ".CHECKSUM")]
    missing = [path for path in wanted if not (root / path).is_file()]

    def one(path: str) -> None:
        with urlopen(f"{address}/{path}", timeout=60) as answer:
            data = answer.read()
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        part = root / f"{path}.part"
        part.write_bytes(data)
        part.replace(root / path)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, missing))
    return len(missing)


if __name__ == "__main__":
    print(f"fetched {fetch(folder(), *sys.argv[1:])} files into {folder()}")
