"""archive → bronze, silver, features: what is written, what is not written again, and what is refused."""

import hashlib
import io
import shutil
import threading
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from hermes.dataset import Dataset
from hermes.errors import ArchiveError, ChecksumMismatch, HermesError, KlinesRefused, MissingTable, StoreError
from hermes.lake.store import Lake
from hermes.pipeline import features, ingest, read_quality, refine
from hermes.settings import Settings
from hermes.stages.bronze.archive import Archive
from hermes.steps.features import read_features

SIM = Dataset(symbol="SIMUSDT")
MONTHS = 6


@pytest.fixture
def sim(simulated_copy: Path, tmp_path: Path, load: Callable) -> tuple[Settings, Lake]:
    """Settings and empty lake for a simulated archive that may be tampered with."""
    settings = load(tmp_path / "lake", archive__url=str(simulated_copy), dataset__symbol="SIMUSDT")
    return settings, Lake.open(settings)


def walked(settings: Settings, lake: Lake, **options):
    made = ingest(settings, lake, **options)
    return made, refine(settings.dataset, lake), features(settings.dataset, lake)


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, by inode and modification time."""
    return {
        path.relative_to(root).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


def parquet(root: Path) -> list[str]:
    return sorted(name for name in snapshot(root) if name.endswith(".parquet"))


def zip_of(archive: Path, month: str) -> Path:
    return archive / SIM.archive_folder / f"SIMUSDT-4h-{month}.zip"


def lines_of(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as packed:
        return packed.read(f"{path.stem}.csv").decode().splitlines()


def publish(path: Path, lines: list[str]) -> None:
    """A zip with these lines and its CHECKSUM, as the exchange would publish it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{path.stem}.csv", "".join(f"{line}\n" for line in lines))
    path.write_bytes(packed.getvalue())
    sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{sha256}  {path.name}\n")


# --- the real archive ------------------------------------------------------------------------------------------------


def test_bronze_has_17604_rows_in_97_files(archive: Path, real_lake: Path, load: Callable):
    settings = load(real_lake, archive__url=str(archive))
    before = snapshot(real_lake)
    made, refined, featured = walked(settings, Lake.open(settings))
    assert (made.files, made.written, made.rows, made.without_checksum) == (97, 0, 17_604, [])
    assert len(parquet(real_lake / "bronze")) == 97
    assert (refined.written, featured.written) == ([], [])
    assert (refined.quality.rows, featured.rows) == (17_604, 17_604)
    assert snapshot(real_lake) == before
    frame = pl.scan_parquet(real_lake / "bronze").collect()
    assert frame.height == 17_604


def test_daily_files_rewrite_only_their_year_and_equal_a_rebuild(
    archive: Path, real_copy: Path, tmp_path: Path, load: Callable
):
    settings = load(real_copy, archive__url=str(archive))
    lake = Lake.open(settings)
    made, refined, featured = walked(settings, lake, frequencies=["daily"])
    assert (made.files, made.written) == (10, 10)
    assert refined.written == [settings.dataset.silver_key(2025)]
    assert featured.written == [settings.dataset.features_key(2025)]
    assert len(featured.unchanged) == 8

    scratch = load(tmp_path / "scratch", archive__url=str(archive))
    walked(scratch, Lake.open(scratch), frequencies=["monthly", "daily"])
    grown, built = (read_features(each).collect() for each in (settings, scratch))
    assert grown.equals(built, null_equal=True)
    assert grown.height == featured.rows == 17_604 + 60
    same = [path.relative_to(real_copy) for path in (real_copy / "gold").rglob("*.parquet")]
    assert all((real_copy / path).read_bytes() == (tmp_path / "scratch" / path).read_bytes() for path in same)


# --- the simulated archive -------------------------------------------------------------------------------------------


def test_only_a_new_month_is_fetched(sim: tuple[Settings, Lake], monkeypatch: pytest.MonkeyPatch):
    settings, lake = sim
    early, *_ = walked(settings, lake, until=date(2025, 1, 31))
    assert (early.files, early.written) == (4, 4)
    fetched = []
    fetch = Archive.fetch
    monkeypatch.setattr(Archive, "fetch", lambda self, file: fetched.append(file.stem) or fetch(self, file))
    made, refined, featured = walked(settings, lake)
    assert (made.files, made.written) == (MONTHS, 2)
    assert sorted(fetched) == ["SIMUSDT-4h-2025-02", "SIMUSDT-4h-2025-03"]
    assert [key.split("/")[-2] for key in refined.written] == ["year=2025"]
    assert [key.split("/")[-2] for key in featured.written] == ["year=2025"]


def test_a_copied_archive_is_known_by_its_checksums(sim, simulated_copy: Path, tmp_path: Path, load: Callable):
    settings, lake = sim
    ingest(settings, lake)
    elsewhere = shutil.copytree(simulated_copy, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    again = load(tmp_path / "lake", archive__url=str(elsewhere), dataset__symbol="SIMUSDT")
    assert ingest(again, lake).written == 0


def test_a_corrected_zip_replaces_its_file_and_all_that_follows(sim, simulated_copy: Path, tmp_path: Path, load):
    settings, lake = sim
    walked(settings, lake)
    before = snapshot(tmp_path / "lake" / "bronze")
    path = zip_of(simulated_copy, "2024-12")
    lines = lines_of(path)
    cells = lines[40].split(",")
    cells[4] = cells[2]  # the close was the high
    publish(path, [*lines[:40], ",".join(cells), *lines[41:]])
    made, refined, featured = walked(settings, lake)
    assert made.written == 1
    after = snapshot(tmp_path / "lake" / "bronze")
    changed = {name for name in after if after[name] != before.get(name)}
    assert {Path(name).stem for name in changed} == {"SIMUSDT-4h-2024-12"}
    assert [key.split("/")[-2] for key in refined.written] == ["year=2024"]
    assert [key.split("/")[-2] for key in featured.written] == ["year=2024", "year=2025"]
    scratch = load(tmp_path / "scratch", archive__url=str(simulated_copy), dataset__symbol="SIMUSDT")
    walked(scratch, Lake.open(scratch))
    assert read_features(settings).collect().equals(read_features(scratch).collect())


def test_a_corrected_row_that_is_bad_is_kept_with_its_reason(sim, simulated_copy: Path):
    settings, lake = sim
    path = zip_of(simulated_copy, "2024-12")
    lines = lines_of(path)
    cells = lines[40].split(",")
    cells[1] = "-5"
    publish(path, [*lines[:40], ",".join(cells), *lines[41:]])
    walked(settings, lake)
    (file,) = lake.silver.files("rejects")
    assert lake.silver.scan([file]).collect().select("source", "line", "rule").row(0) == (
        "SIMUSDT-4h-2024-12", 41, "price not above zero",
    )  # fmt: skip
    assert read_quality(settings.dataset, lake).tally.rejected == {"price not above zero": 1}


def short_row(lines: list[str]) -> list[str]:
    return [*lines[:9], lines[9].rpartition(",")[0], *lines[10:]]


def mixed_units(lines: list[str]) -> list[str]:
    time, _, rest = lines[9].partition(",")
    return [*lines[:9], f"{time}000,{rest}", *lines[10:]]


REFUSED = {
    "corrupt zip": (lambda path: publish_bytes(path, path.read_bytes()[:-200]), KlinesRefused, "not a sound zip"),
    "wrong checksum": (
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), ChecksumMismatch, "its CHECKSUM says",
    ),
    "11-column row": (lambda path: publish(path, short_row(lines_of(path))), KlinesRefused, "11 columns on line 10"),
    "mixed units": (lambda path: publish(path, mixed_units(lines_of(path))), KlinesRefused, "are mixed"),
    "empty month": (lambda path: publish(path, []), KlinesRefused, "has no rows"),
    "wrong period": (
        lambda path: publish(path, lines_of(path.with_name(path.name.replace("2024-12", "2024-11")))),
        KlinesRefused, "has no row from 2024-12-01",
    ),
}  # fmt: skip


def publish_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{sha256}  {path.name}\n")


@pytest.mark.parametrize("fault", REFUSED)
def test_a_file_that_cannot_be_trusted_publishes_nothing(sim, simulated_copy: Path, tmp_path: Path, fault: str):
    settings, lake = sim
    tamper, kind, said = REFUSED[fault]
    tamper(zip_of(simulated_copy, "2024-12"))
    with pytest.raises(kind) as refused:
        ingest(settings, lake)
    text = str(refused.value)
    assert said in text
    assert "SIMUSDT-4h-2024-12" in text
    assert len(text.splitlines()) == 1
    assert snapshot(tmp_path / "lake") == {}


def test_a_refused_file_leaves_what_was_there_before(sim, simulated_copy: Path, tmp_path: Path):
    settings, lake = sim
    walked(settings, lake)
    before = snapshot(tmp_path / "lake")
    path = zip_of(simulated_copy, "2024-12")
    publish(path, short_row(lines_of(path)))
    with pytest.raises(KlinesRefused):
        ingest(settings, lake)
    assert snapshot(tmp_path / "lake") == before


def test_an_archive_that_goes_away_keeps_what_was_verified(sim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings, lake = sim
    fetch, stage, some = Archive.fetch, lake.bronze.stage, threading.Event()

    def fails(self, file):
        if file.stem.endswith("2025-03"):
            some.wait(30)
            raise ArchiveError("it went away", "try again")
        return fetch(self, file)

    def staged(*given):
        stage(*given)
        some.set()

    monkeypatch.setattr(Archive, "fetch", fails)
    monkeypatch.setattr(lake.bronze, "stage", staged)
    with pytest.raises(ArchiveError, match="it went away"):
        ingest(settings, lake)
    kept = parquet(tmp_path / "lake" / "bronze")
    assert 0 < len(kept) < MONTHS
    assert not list((tmp_path / "lake" / "_staging").iterdir())
    monkeypatch.undo()
    assert ingest(settings, lake).written == MONTHS - len(kept)
    assert ingest(settings, lake).written == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"dataset__symbol": "SIMSDT"}, "did you mean SIM1USDT or SIMUSDT"),
        ({"dataset__interval": "1h"}, "it has SIMUSDT at 4h"),
        ({"dataset__market": "um"}, "has no monthly um klines"),
        ({"archive__url": "/nowhere"}, "does not exist"),
        ({"archive__url": "http://127.0.0.1:1"}, "cannot be read"),
        ({"archive__url": "s3://bucket", "s3__endpoint": "http://127.0.0.1:1"}, "cannot be read"),
        ({"archive__url": "ftp://x"}, "is no folder"),
    ],
)
def test_what_the_archive_lacks_is_one_line(
    simulated: Path, tmp_path: Path, load: Callable, monkeypatch: pytest.MonkeyPatch, flags: dict, said: str
):
    settings = load(tmp_path / "lake", **{"dataset__symbol": "SIMUSDT", "archive__url": str(simulated)} | flags)
    with pytest.raises(HermesError) as refused:
        ingest(settings, Lake.open(settings))
    text = str(refused.value)
    assert said.replace("SIM1USDT or SIMUSDT", "") in text
    assert len(text.splitlines()) == 1
    assert snapshot(tmp_path) == {}


def test_a_missing_checksum_is_reported_not_refused(sim, simulated_copy: Path):
    settings, lake = sim
    zip_of(simulated_copy, "2024-12").with_name("SIMUSDT-4h-2024-12.zip.CHECKSUM").unlink()
    made, refined, _ = walked(settings, lake)
    assert made.without_checksum == ["SIMUSDT-4h-2024-12"]
    assert refined.quality.missing_checksums == ("SIMUSDT-4h-2024-12",)
    assert ingest(settings, lake).written == 0


@pytest.mark.parametrize("step", [refine, features])
def test_a_step_without_the_one_before_says_so(sim, step: Callable):
    settings, lake = sim
    with pytest.raises(MissingTable, match="first"):
        step(settings.dataset, lake)


FOREIGN = [
    ("bronze", SIM.bronze_folder + "/year=2024/month=12/SIMUSDT-4h-2024-12.parquet"),
    ("silver", SIM.silver_key(2025)),
    ("silver", f"{SIM.silver_folder}/year=2030/other.parquet"),
    ("gold", SIM.features_key(2025)),
    ("gold", f"{SIM.features_table}/other.parquet"),
]


@pytest.mark.parametrize(("layer", "key"), FOREIGN)
@pytest.mark.parametrize("built", [False, True])
def test_a_file_of_another_tool_is_never_replaced(sim, tmp_path: Path, layer: str, key: str, built: bool):
    settings, lake = sim
    if built:
        walked(settings, lake)
    path = tmp_path / "lake" / layer / key
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"theirs": [1]}).write_parquet(path)
    content = path.read_bytes()
    with pytest.raises(StoreError) as refused:
        walked(settings, lake)
    assert str(path) in str(refused.value)
    assert path.read_bytes() == content


def test_a_lost_feature_file_is_made_again(sim, tmp_path: Path):
    settings, lake = sim
    walked(settings, lake)
    whole = read_features(settings).collect()
    (tmp_path / "lake" / "gold" / settings.dataset.features_key(2024)).unlink()
    *_, featured = walked(settings, lake)
    assert featured.written == [settings.dataset.features_key(2024)]
    assert read_features(settings).collect().equals(whole)


def test_features_below_an_hour_stand_in_months(tmp_path: Path, load: Callable):
    from hermes.stages.bronze.simulate import write_archive

    dataset = Dataset(symbol="SIMUSDT", interval="30m")
    write_archive(tmp_path / "archive", dataset, date(2024, 12, 1), 2)
    settings = load(
        tmp_path / "lake", archive__url=f"{tmp_path}/archive", dataset__symbol="SIMUSDT", dataset__interval="30m"
    )
    lake = Lake.open(settings)
    *_, featured = walked(settings, lake)
    assert featured.written == [dataset.features_key(2024, 12), dataset.features_key(2025, 1)]
    *_, again = walked(settings, lake)
    assert again.written == []


def test_silver_that_changes_while_it_is_read_is_read_again(sim, monkeypatch: pytest.MonkeyPatch):
    settings, lake = sim
    ingest(settings, lake)
    refine(settings.dataset, lake)
    answers = iter([False, True])
    asked = []
    monkeypatch.setattr(lake.silver, "unchanged", lambda *_: asked.append(1) or next(answers))
    assert features(settings.dataset, lake).written
    assert len(asked) == 2
    monkeypatch.setattr(lake.silver, "unchanged", lambda *_: False)
    (settings_file,) = [file for file in lake.gold.files("") if "2025" in file.key]
    Path(settings_file.location).unlink()
    with pytest.raises(StoreError, match="changed 3 times"):
        features(settings.dataset, lake)
