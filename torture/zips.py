"""Hostile zips in an archive: refused with a typed error, memory and disk bounded, bronze as it was before."""

import hashlib
import io
import json
import shutil
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from random import Random

import polars as pl

from torture.bad_zips import KINDS
from torture.commands import hermes

ABOUT = (
    "archive zips flipped, cut, bombs, lying sizes, hostile or missing members, too big, with CHECKSUMs right, wrong, "
    "odd and missing; refused with a typed error or read as the sound file, memory and disk bounded, bronze byte for "
    "byte as it was"
)
FULL, SAMPLE = 500, 32
SYMBOL, INTERVAL = "SIMUSDT", "1d"
KNOWN, NEW = "SIMUSDT-1d-2024-12", "SIMUSDT-1d-2025-01"  # in bronze already; not yet
HUGE = 192 * 2**20  # bytes of a file that is far too big for its month
PYTHON_BYTES = 24 * 2**20  # what a refusal may hold at once: nothing grows with what a zip claims or unpacks to


@contextmanager
def context(folder: Path) -> Iterator[str]:
    """An archive of three months, and a lake whose bronze holds the first two."""
    from hermes.dataset import Dataset
    from hermes.stages.bronze.simulate import write_archive

    write_archive(folder / "archive", Dataset(symbol=SYMBOL, interval=INTERVAL), date(2024, 11, 1), 3)
    said = _ingest(folder, "--until", "2024-12-31")
    assert said.code == 0, said
    yield str(folder)


def case(seed: int, folder: Path, template: str) -> int:
    """One bad zip, new or in the place of a known one."""
    random = Random(seed)
    shutil.copytree(template, folder, dirs_exist_ok=True)
    stem = random.choice((KNOWN, NEW))
    path = next((folder / "archive").rglob(f"{stem}.zip"))
    csv = zipfile.ZipFile(io.BytesIO(path.read_bytes())).read(f"{stem}.csv")
    kind = KINDS[seed % len(KINDS)]
    data = kind.make(stem, csv, random)
    path.write_bytes(data)
    loud = kind.loud
    what = f"{kind.name} in {stem}"
    if random.random() < 0.04:
        with path.open("r+b") as file:
            file.truncate(HUGE)
        loud, what = True, f"too big: {stem}"
    checksum, fits = _checksum(random, path, data if path.stat().st_size == len(data) else b"")
    path.with_name(f"{stem}.zip.CHECKSUM").unlink()
    if checksum is not None:
        path.with_name(f"{stem}.zip.CHECKSUM").write_bytes(checksum)
    what = f"{what}, CHECKSUM {checksum if checksum is None else checksum[:120]}"

    before, sizes = _bytes(folder / "lake"), _size(folder)
    tracemalloc.start()
    try:
        said = _ingest(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert said.typed and said.code in (0, 1), f"{what}\n{said}"
    assert peak < PYTHON_BYTES, f"{what}: {peak:,} bytes were held at once"
    assert _size(folder) < sizes + 2**20, f"{what}: the disk took {_size(folder) - sizes:,} bytes"
    assert not [*(folder / "lake").rglob("_staging/*.parquet")], f"{what}: something is left in the staging folder"
    strays = [*folder.glob("*.csv"), *folder.parent.glob("*.csv")]
    assert not strays, f"{what}: {strays}"
    now = _bytes(folder / "lake")
    if said.code == 1 or json.loads(said.out)["datasets"][0]["refused"]:
        assert said.code == 1 or f"{stem}: " in said.err or f"{stem}." in said.err, f"{what}: nobody is told\n{said}"
        # The other file may have come in; what was there stays, and nothing of the refused one is new.
        changed = [path for path, data in before.items() if now.get(path) != data and "_hashes" not in path]
        new = [path for path in now.keys() - before.keys() if f"{stem}.parquet" in path and "_hashes" not in path]
        assert not changed + new, f"{what}: refused, and yet the lake is another: {changed} {new}\n{said}"
        return 1
    assert fits and not loud, f"{what}: it was taken\n{said}"
    made = next((folder / "lake" / "bronze").rglob(f"{stem}.parquet"))
    read = [line.split(",") for line in csv.decode().strip().split("\n")]
    rows = pl.read_parquet(made, hive_partitioning=False).select("open_time", "open", "close", "volume").rows()
    assert rows == [(int(cells[0]), float(cells[1]), float(cells[4]), float(cells[5])) for cells in read], (
        f"{what}: other rows"
    )
    return 1


def _checksum(random: Random, path: Path, data: bytes) -> tuple[bytes | None, bool]:
    """A CHECKSUM file, and whether a zip may be taken with it; mostly the one that fits: the zip is to be looked at."""
    right = f"{hashlib.sha256(data).hexdigest()}  {path.name}\n"
    wrong = (
        right.replace(right[0], "0" if right[0] != "0" else "1", 1),
        f"{hashlib.sha256(data).hexdigest()}  other.zip\n",
        right[:40],
        "",
        "\0" * 64,
        f"{right}{right}",
        "x" * 2**20,
        f"../../{right}",
    )
    chance = random.random()
    if chance < 0.2:
        return None, True
    return (random.choice(wrong).encode(), False) if chance < 0.4 else (right.encode(), True)


def _ingest(folder: Path, *more: str):
    series = (SYMBOL, "--interval", INTERVAL, "--archive", f"{folder}/archive", "--lake", f"{folder}/lake/{{layer}}")
    return hermes("ingest", *series, "--json", *more, folder=folder)


def _bytes(root: Path) -> dict[str, bytes]:
    """Every file of the lake with its bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _size(root: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in root.rglob("*") if path.is_file())


def no_cap() -> None:
    """A zip is unpacked, however big it gets."""
    from hermes.stages.bronze import klines

    klines.ROW_BYTES = 2**30


def any_member() -> None:
    """Whatever the first member is, it is read."""
    from hermes.stages.bronze import klines

    def unzip(data: bytes, stem: str, limit: int) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return archive.read(archive.infolist()[0])
        except Exception as error:
            raise klines.KlinesRefused(stem) from error

    klines.unzip = unzip


def no_checksum() -> None:
    """Nobody looks at the CHECKSUM."""
    from hermes.stages.bronze.archive import Archive

    Archive.checksum = lambda self, file: None  # type: ignore[method-assign]


MUTANTS = {"no_cap": no_cap, "any_member": any_member, "no_checksum": no_checksum}
