"""`audit --bytes` over every store: each way in which a file can be wrong is told from the others."""

import os
import uuid
from datetime import date
from pathlib import Path

import obstore
import pytest
from tests.lake_settings import naming
from tests.memory_lake import memory_lake

from hermes.dataset import Dataset, FundingRates
from hermes.errors import StoreError
from hermes.lake.store import Lake, Layer
from hermes.settings import Settings
from hermes.steps.maintenance import verify as step
from hermes.steps.maintenance.verify import verify

BTC, ETH = Dataset(), Dataset(symbol="ETHUSDT")
EXECUTION = f"{BTC.signals_table('smart_momentum')}/execution_20250101_000000"


@pytest.fixture(params=["folder", "memory", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """A lake with a file of every kind, of two symbols."""
    if request.param == "memory":
        lake = memory_lake(tmp_path / "copies")
    elif request.param == "folder":
        lake = Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={}))
    else:
        server = request.getfixturevalue("s3_server")
        url = f"s3://steps/{uuid.uuid4().hex}/{{layer}}"
        lake = Lake.open(Settings.load({"lake.url": url, **server.flags()}, environ={}))
    for dataset in (BTC, ETH):
        lake.bronze.write_bytes(f"{dataset.bronze_folder}/year=2024/x.parquet", b"bronze")
        lake.bronze.write_bytes(f"{dataset.with_frequency('daily').bronze_folder}/year=2024/x.parquet", b"daily")
        lake.bronze.write_bytes(f"{dataset.with_frequency('recent').bronze_folder}/year=2024/x.parquet", b"recent")
        lake.test.write_bytes(f"{dataset.feature_set_table('mine')}/year=2024/data_0.parquet", b"tried")
        lake.silver.write_bytes(dataset.silver_key(2024), b"silver")
        lake.silver.write_bytes(dataset.rejects_key(2024), b"rejects")
        lake.silver.write_bytes(dataset.quality_key, b"{}")
        lake.gold.write_bytes(dataset.features_key(2024), b"features")
    with lake.gold.staged() as path:
        path.write_bytes(b"signals")
        lake.gold.create(f"{EXECUTION}/signals.parquet", path)
    lake.gold.write_bytes(f"{EXECUTION}/run.json", b"{}")
    lake.gold.write_bytes(f"{EXECUTION}/report.html", b"<p>")
    return lake


def overwrite(layer: Layer, key: str, content: bytes) -> None:
    """As another tool does, or a failing disk: the same size and time where the store lets it."""
    backend = layer._backend
    if hasattr(backend, "root"):
        path = backend.root / key
        status = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        name = f"{backend._prefix}{key}"
        attributes = obstore.get(backend._store, name).attributes
        obstore.put(backend._store, name, content, attributes=attributes)


def names(addresses: list[str]) -> set[str]:
    return {address.rpartition("/")[2] for address in addresses}


def test_what_was_published_is_the_same(lake: Lake):
    made = verify(naming(lake), lake)
    assert (made.files, made.faults, made.no_record) == (19, 0, [])
    assert made.as_json()["verdict"] == "pass"
    assert made.bytes == sum(
        file.size for layer in (lake.bronze, lake.silver, lake.gold, lake.test) for file in layer.files("", "")
    )


@pytest.mark.parametrize("dataset", [BTC, ETH])
def test_of_one_dataset_only_its_files_are_read(lake: Lake, dataset: Dataset):
    overwrite(lake.bronze, f"{BTC.bronze_folder}/year=2024/x.parquet", b"BRONZE")
    overwrite(lake.gold, f"{EXECUTION}/signals.parquet", b"SIGNALS")
    made = verify(naming(lake), lake, datasets=[dataset])
    assert made.files == (11 if dataset == BTC else 8)
    assert names(made.differs) == ({"x.parquet", "signals.parquet"} if dataset == BTC else set())


BETWEEN_SYMBOLS = (
    "decisions_smart_momentum_spot_4h/year=2025/month=01/day=01/a.parquet",
    "portfolio_smart_momentum_spot_4h/execution_20250101_000000/portfolio.parquet",
    "universe_smart_momentum/execution_20250101_000000/universe.parquet",
    "features/promoted.json",
)
OF_BTC = (*BETWEEN_SYMBOLS, *(f"{name}/{BTC.signals_table('mine')}.json" for name in ("audits", "status", "iceberg")),
          f"notices/{BTC.signals_table('mine')}/1.json", BTC.promotion_key("mine"))  # fmt: skip
OF_OTHERS = (
    "decisions_smart_momentum_um_4h/year=2025/month=01/day=01/a.parquet",
    "decisions_smart_momentum_spot_1h/year=2025/month=01/day=01/a.parquet",
    "portfolio_smart_momentum_spot_1h/execution_20250101_000000/portfolio.parquet",
    f"audits/{ETH.signals_table('mine')}.json",
)


def test_of_one_dataset_are_files_that_hold_it_among_others_too(tmp_path: Path):
    lake = memory_lake(tmp_path)
    for key in (*OF_BTC, *OF_OTHERS):
        lake.gold.write_bytes(key, b"{}")
    of_bronze = [each.refused_key for each in (BTC, BTC.with_frequency("daily"), Dataset(interval="1h"))]
    for key in of_bronze:
        lake.bronze.write_bytes(key, b"{}")
    perpetual = Dataset(market="um")
    funding = FundingRates.of(perpetual)
    lake.bronze.write_bytes(funding.bronze_key(date(2025, 1, 1)), b"funding")
    lake.silver.write_bytes(funding.silver_key(2025), b"funding")

    made = verify(naming(lake), lake, datasets=[BTC, BTC])
    assert (made.files, made.faults) == (len(OF_BTC) + 2, 0)
    for key in (*OF_BTC, *OF_OTHERS):
        overwrite(lake.gold, key, b"[]")
    for key in of_bronze:
        overwrite(lake.bronze, key, b"[]")
    differing = {*map(lake.gold.locate, OF_BTC), *map(lake.bronze.locate, of_bronze[:2])}
    assert set(verify(naming(lake), lake, datasets=[BTC]).differs) == differing

    overwrite(lake.bronze, funding.bronze_key(date(2025, 1, 1)), b"FUNDING")
    overwrite(lake.silver, funding.silver_key(2025), b"FUNDING")
    made = verify(naming(lake), lake, datasets=[perpetual])
    assert {*names(made.differs)} >= {"BTCUSDT-fundingRate-2025-01.parquet", "data_0.parquet"}


def test_one_flipped_bit_in_any_file_is_found(lake: Lake):
    for layer in (lake.bronze, lake.silver, lake.gold, lake.test):
        for file in layer.files("", ""):
            content = layer.read(file.key)
            overwrite(layer, file.key, bytes([content[0] ^ 1]) + content[1:])
            made = verify(naming(lake), lake)
            assert made.differs == [layer.locate(file.key)]
            assert (made.missing, made.unreadable, made.no_record) == ([], [], [])
            assert made.as_json()["verdict"] == "fault"
            overwrite(layer, file.key, content)


def test_a_file_of_another_tool_has_no_record_and_is_no_fault(lake: Lake):
    backend = lake.gold._backend
    if hasattr(backend, "root"):
        path = backend.root / "foreign" / "x.parquet"
        path.parent.mkdir()
        path.write_bytes(b"x")
    else:
        obstore.put(backend._store, f"{backend._prefix}foreign/x.parquet", b"x")
    made = verify(naming(lake), lake)
    assert names(made.no_record) == {"x.parquet"}
    assert made.faults == 0


def test_signals_that_are_gone_while_their_copy_is_there_are_missed(lake: Lake):
    backend, key = lake.gold._backend, f"{EXECUTION}/signals.parquet"
    if hasattr(backend, "root"):
        (backend.root / key).unlink()
    else:
        obstore.delete(backend._store, f"{backend._prefix}{key}")
    made = verify(naming(lake), lake)
    assert made.missing == [lake.gold.locate(key)]
    assert (made.files, made.differs) == (18, [])


def test_what_hermes_removed_is_not_missed(lake: Lake):
    for file in lake.gold.files(EXECUTION, ""):
        lake.gold.remove(file.key)
    lake.bronze.remove(f"{ETH.bronze_folder}/year=2024/x.parquet")
    assert (verify(naming(lake), lake).files, verify(naming(lake), lake).faults) == (15, 0)


def test_a_file_that_a_folder_lost_is_missed(tmp_path: Path):
    lake = Lake.open(Settings.load({"lake.url": f"{tmp_path}/lake/{{layer}}"}, environ={}))
    lake.silver.write_bytes(BTC.silver_key(2024), b"silver")
    (tmp_path / "lake" / "silver" / BTC.silver_key(2024)).unlink()
    assert verify(naming(lake), lake).missing == [lake.silver.locate(BTC.silver_key(2024))]
    assert verify(naming(lake), lake, datasets=[BTC]).missing == [lake.silver.locate(BTC.silver_key(2024))]
    assert verify(naming(lake), lake, datasets=[ETH]).missing == []


def test_a_file_that_cannot_be_read_does_not_stop_the_others(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    hashed = type(lake.silver._backend).hashed

    def fails(self, file):
        if file.key == BTC.silver_key(2024):
            raise StoreError("x: Input/output error", "")
        return hashed(self, file)

    monkeypatch.setattr(type(lake.silver._backend), "hashed", fails)
    made = verify(naming(lake), lake)
    assert made.unreadable == [f"{lake.silver.locate(BTC.silver_key(2024))}: x: Input/output error"]
    assert (made.files, made.faults) == (19, 1)


def test_a_file_that_is_replaced_meanwhile_is_read_again(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    """The listing is of before, the bytes are of after, the record is of in between."""
    key, judged = BTC.features_key(2024), step._judge

    def replaced_meanwhile(layer, file):
        if file.key == key:
            hashed = layer.hashed
            monkeypatch.setattr(layer, "hashed", lambda file: (monkeypatch.undo(), ("0" * 64, hashed(file)[1]))[1])
            lake.gold.write_bytes(key, b"newer features")
        return judged(layer, file)

    monkeypatch.setattr(step, "_judge", replaced_meanwhile)
    assert verify(naming(lake), lake).faults == 0


def test_locks_are_no_files_of_the_lake(lake: Lake):
    backend = lake.gold._backend
    if not hasattr(backend, "root"):
        obstore.put(backend._store, f"{backend._prefix}_locks/x.lock", b"{}")
    made = verify(naming(lake), lake)
    assert (made.files, made.no_record) == (19, [])
