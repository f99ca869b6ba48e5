"""Small lakes to torture: what the pipeline makes of a tiny archive, on a folder or on S3, and what must hold of it."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import obstore
import polars as pl

from hermes.dataset import LAYERS, Dataset
from hermes.lake.backends import lease
from hermes.lake.backends.s3 import HASH_ATTRIBUTE, Bucket
from hermes.lake.store import FOOTER, Lake, Layer
from hermes.settings import Settings
from hermes.stages.bronze.simulate import write_archive
from hermes.steps.features import features
from hermes.steps.ingest import ingest
from hermes.steps.refine import refine
from hermes.steps.signals import signals

SERIES = {"dataset.symbol": "SIMUSDT", "dataset.interval": "4h", "signals.chunk_rows": 100}
DATASET = Dataset(symbol="SIMUSDT", interval="4h")
FIRST, MONTHS = date(2024, 11, 1), 3  # two years, and the change of the archive's time unit
CORRECTED = "SIMUSDT-4h-2024-12"  # a file that the later archive publishes again with other bars
STEPS: Mapping[str, Callable[[Settings, Lake], Any]] = {
    "ingest": lambda settings, lake: ingest(settings, lake).rows,
    "refine": lambda settings, lake: refine(settings, lake).quality.rows,
    "features": lambda settings, lake: features(settings, lake).rows,
    "signals": lambda settings, lake: signals(settings, lake).path,
}


def write_archives(folder: Path) -> tuple[str, str]:
    """An archive of three months, and a later one of four that publishes one month again, corrected."""
    first, later, other = folder / "archive", folder / "later", folder / "other"
    write_archive(first, DATASET, FIRST, MONTHS)
    write_archive(later, DATASET, FIRST, MONTHS + 1)
    write_archive(other, DATASET, FIRST, MONTHS, seed=8)
    for ending in (".zip", ".zip.CHECKSUM"):
        name = f"{DATASET.archive_folder}/{CORRECTED}{ending}"
        shutil.copy(other / name, later / name)
    return str(first), str(later)


def settings_for(url: str, archive: str = "", **flags: Any) -> Settings:
    """Settings of a lake at `url`, from flags alone."""
    given = {"archive.url": archive} if archive else {}
    return Settings.load({**SERIES, "lake.url": url, **given, **flags}, environ={})


def run_steps(settings: Settings, steps: tuple[str, ...] = tuple(STEPS)) -> Lake:
    """Do these steps, in order."""
    lake = Lake.open(settings)
    for step in steps:
        STEPS[step](settings, lake)
    return lake


@dataclass(frozen=True)
class Kept:
    """One file of a lake: its bytes' SHA-256, what it says with and without its footer, the hashes on record for it."""

    sha256: str
    meaning: str
    rows: str
    recorded: frozenset[str]
    size: int


def contents(lake: Lake) -> dict[str, Kept]:
    """Every file of a lake by `layer/key`; whatever is not whole or not what is on record is an AssertionError."""
    found = {}
    for name in LAYERS:
        layer: Layer = getattr(lake, name)
        for file in layer.files("", suffix=""):
            if file.key.startswith("_locks/"):
                continue  # leases on S3, no data
            kept = examined(f"{name}/{file.key}", *read_bytes(layer, file.key))
            assert kept.recorded, f"{name}/{file.key} has no hash on record"
            assert kept.sha256 in kept.recorded, f"{name}/{file.key} is not what is on record ({kept.size:,} bytes)"
            found[f"{name}/{file.key}"] = kept
    return found


def read_bytes(layer: Layer, key: str) -> tuple[bytes, frozenset[str]]:
    """Bytes of a file and the hashes on record for it; on S3 of one and the same version."""
    backend = layer._backend
    if isinstance(backend, Bucket):
        got = obstore.get(backend._store, backend._prefix + key)
        return bytes(got.bytes()), frozenset(value for name, value in got.attributes.items() if name == HASH_ATTRIBUTE)
    return backend.read(key), frozenset(backend.recorded_hashes(key))


def examined(key: str, data: bytes, recorded: frozenset[str]) -> Kept:
    try:
        return Kept(
            hashlib.sha256(data).hexdigest(), "".join(said := _meaning(key, data)), said[0], recorded, len(data)
        )
    except Exception as error:
        raise AssertionError(f"{key} is torn ({len(data)} bytes): {error}") from error


def _meaning(key: str, data: bytes) -> tuple[str, str]:
    """What a file says, apart from when it was made: its rows, and its footer."""
    if key.endswith("run.json"):
        return str(json.loads(data)["rows"]), ""
    if not key.endswith(".parquet"):
        return data.decode(), ""
    frame = pl.read_parquet(io.BytesIO(data), hive_partitioning=False)
    about = json.loads(pl.read_parquet_metadata(io.BytesIO(data))[FOOTER])
    assert about.get("rows", frame.height) == frame.height, f"footer says {about['rows']}, not {frame.height} rows"
    about.pop("fetched", None)  # when, as `made` where the archive does not say
    if is_execution(key):
        frame = frame.drop("generated_at")
        about = {name: about[name] for name in ("rows", "first", "last", "buy_signals", "sell_signals", "metrics")}
    return _digest(frame), json.dumps(about, sort_keys=True)


def _digest(frame: pl.DataFrame) -> str:
    stream = io.BytesIO()
    frame.write_ipc(stream)
    return hashlib.sha256(stream.getvalue()).hexdigest()


@contextmanager
def impatient() -> Iterator[None]:
    """Take over the lease of a dead process on S3 at once, as if `LEASE_S` had passed already."""
    take, patience = lease._Lease.take, (lease.LEASE_S, lease.RENEW_S)

    def at_once(taken: lease._Lease) -> None:
        lease.LEASE_S, lease.RENEW_S = 0.2, 0.2
        try:
            take(taken)
        finally:
            lease.LEASE_S, lease.RENEW_S = patience
        taken._until += 0.9 * (lease.LEASE_S - 0.2)

    with mock.patch.object(lease._Lease, "take", at_once):
        yield


def is_execution(key: str) -> bool:
    """Whether a file belongs to an execution."""
    return "/execution_" in key


def tables_of(found: Mapping[str, Kept]) -> dict[str, str]:
    """What all files but those of executions say."""
    return {key: kept.meaning for key, kept in found.items() if not is_execution(key)}


def executions_of(found: Mapping[str, Kept]) -> dict[str, str]:
    """What the signal files say."""
    return {key: kept.meaning for key, kept in found.items() if key.endswith("signals.parquet")}


def copy_to_buckets(folder: Path, settings: Settings) -> None:
    """Put the files of the local lake in `folder` into the buckets of another lake, with their hashes."""
    lake = Lake.open(settings)
    for name in LAYERS:
        layer: Layer = getattr(lake, name)
        for path in sorted((folder / name).rglob("*")):
            if path.is_file():
                layer.replace(path.relative_to(folder / name).as_posix(), path)


def remove(lake: Lake) -> None:
    """Take the objects of a lake in buckets away: thousands of cases share a server."""
    for name in LAYERS:
        layer: Layer = getattr(lake, name)
        backend = layer._backend
        assert isinstance(backend, Bucket)
        if keys := [backend._prefix + file.key for file in layer.files("", suffix="")]:
            obstore.delete(backend._store, keys)
