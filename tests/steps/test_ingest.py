"""archive → bronze, silver, features: what is written, what is not written again, and what is refused."""

import hashlib
import io
import logging
import os
import re
import shutil
import threading
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hermes.dataset import Dataset
from hermes.errors import (
    ArchiveError,
    ChecksumMismatch,
    HermesError,
    KlinesRefused,
    MissingTable,
    NewerLake,
    StoreError,
)
from hermes.lake import sql, store
from hermes.lake.store import Lake
from hermes.pipeline import features, ingest, read_quality, refine, signals
from hermes.settings import Settings
from hermes.stages.bronze.archive import Archive
from hermes.steps.features import read_features
from hermes.steps.signals import read_signals

SIM = Dataset(symbol="SIMUSDT")
MONTHS = 6


@pytest.fixture
def sim(simulated_copy: Path, tmp_path: Path, load: Callable) -> tuple[Settings, Lake]:
    """Settings and empty lake for a simulated archive that may be tampered with."""
    settings = load(tmp_path / "lake", archive__url=str(simulated_copy), dataset__symbol="SIMUSDT")
    return settings, Lake.open(settings)


def prepared(settings: Settings, lake: Lake, **options):
    made = ingest(settings, lake, **options)
    return made, refine(settings, lake), features(settings, lake)


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
    made, refined, featured = prepared(settings, Lake.open(settings))
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
    made, refined, featured = prepared(settings, lake, frequencies=["daily"])
    assert (made.files, made.written) == (10, 10)
    assert refined.written == [settings.dataset.silver_key(2025)]
    assert featured.written == [settings.dataset.features_key(2025)]
    assert len(featured.unchanged) == 8

    scratch = load(tmp_path / "scratch", archive__url=str(archive))
    prepared(scratch, Lake.open(scratch), frequencies=["monthly", "daily"])
    grown, built = (read_features(each).collect() for each in (settings, scratch))
    assert grown.equals(built, null_equal=True)
    assert grown.height == featured.rows == 17_604 + 60
    same = [path.relative_to(real_copy) for path in (real_copy / "gold").rglob("*.parquet")]
    assert all((real_copy / path).read_bytes() == (tmp_path / "scratch" / path).read_bytes() for path in same)


# --- the simulated archive -------------------------------------------------------------------------------------------


def test_only_a_new_month_is_fetched(sim: tuple[Settings, Lake], monkeypatch: pytest.MonkeyPatch):
    settings, lake = sim
    early, *_ = prepared(settings, lake, until=date(2025, 1, 31))
    assert (early.files, early.written) == (4, 4)
    fetched = []
    fetch = Archive.fetch
    monkeypatch.setattr(Archive, "fetch", lambda self, file: fetched.append(file.stem) or fetch(self, file))
    made, refined, featured = prepared(settings, lake)
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
    prepared(settings, lake)
    before = snapshot(tmp_path / "lake" / "bronze")
    path = zip_of(simulated_copy, "2024-12")
    lines = lines_of(path)
    cells = lines[40].split(",")
    cells[4] = cells[2]  # the close was the high
    publish(path, [*lines[:40], ",".join(cells), *lines[41:]])
    made, refined, featured = prepared(settings, lake)
    assert made.written == 1
    after = snapshot(tmp_path / "lake" / "bronze")
    changed = {name for name in after if after[name] != before.get(name)}
    assert {Path(name).stem for name in changed} == {"SIMUSDT-4h-2024-12"}
    assert [key.split("/")[-2] for key in refined.written] == ["year=2024"]
    assert [key.split("/")[-2] for key in featured.written] == ["year=2024", "year=2025"]
    scratch = load(tmp_path / "scratch", archive__url=str(simulated_copy), dataset__symbol="SIMUSDT")
    prepared(scratch, Lake.open(scratch))
    assert read_features(settings).collect().equals(read_features(scratch).collect())


def test_a_corrected_row_that_is_bad_is_kept_with_its_reason(sim, simulated_copy: Path):
    settings, lake = sim
    path = zip_of(simulated_copy, "2024-12")
    lines = lines_of(path)
    cells = lines[40].split(",")
    cells[1] = "-5"
    publish(path, [*lines[:40], ",".join(cells), *lines[41:]])
    prepared(settings, lake)
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
    "corrupt zip": (lambda path: publish_bytes(path, path.read_bytes()[:-200]), KlinesRefused, "not a valid zip"),
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
def test_a_file_that_cannot_be_trusted_is_left_out_and_named(
    sim, simulated_copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
):
    settings, lake = sim
    tamper, _, said = REFUSED[fault]
    tamper(zip_of(simulated_copy, "2024-12"))
    for written in (MONTHS - 1, 0):
        caplog.clear()
        made = ingest(settings, lake)
        assert (made.files, made.written, list(made.refused)) == (MONTHS, written, ["SIMUSDT-4h-2024-12"])
        assert said in made.refused["SIMUSDT-4h-2024-12"]
        (text,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
        assert said in text
        assert "SIMUSDT-4h-2024-12" in text
        assert len(text.splitlines()) == 1
    quality = refine(settings, lake).quality
    assert quality.refused_files == made.refused
    assert quality.missing_bars == 31 * 6 + 1  # one is missing in the simulated market itself
    # and the cure works: left out on purpose, it is named no more
    cured = settings.model_copy(update={"archive": settings.archive.model_copy(update={"exclude": excluded(text)})})
    caplog.clear()
    assert ingest(cured, lake).refused == {}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def excluded(message: str) -> tuple[str, ...]:
    """What the cure of a message says to leave out."""
    (name,) = re.findall(r"--exclude (\S+)", message)
    return (name,)


@pytest.mark.parametrize("fault", REFUSED)
def test_where_no_file_can_be_trusted_nothing_is_published(sim, simulated_copy: Path, tmp_path: Path, fault: str):
    settings, lake = sim
    tamper, kind, said = REFUSED[fault]
    tamper(zip_of(simulated_copy, "2024-12"))
    with pytest.raises(kind, match=re.escape(said)):
        ingest(settings, lake, since=date(2024, 12, 1), until=date(2024, 12, 31))
    assert parquet(tmp_path / "lake") == []


def test_a_file_that_is_good_again_is_not_named_any_more(sim, simulated_copy: Path):
    settings, lake = sim
    path = zip_of(simulated_copy, "2024-12")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"x")
    assert ingest(settings, lake, since=date(2024, 12, 1)).refused
    ingest(settings, lake, until=date(2024, 11, 30))  # which does not look at it
    assert refine(settings, lake).quality.refused_files
    path.write_bytes(good)
    assert ingest(settings, lake).refused == {}
    assert refine(settings, lake).quality.refused_files == {}
    assert not lake.bronze.read(settings.dataset.refused_key)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"null"])
def test_a_note_that_cannot_be_read_is_made_again(sim, simulated_copy: Path, content: bytes):
    settings, lake = sim
    path = zip_of(simulated_copy, "2024-12")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    ingest(settings, lake)
    note = Path(lake.bronze.locate(settings.dataset.refused_key))
    good = note.read_bytes()
    note.write_bytes(content)
    assert refine(settings, lake).quality.refused_files == {}
    ingest(settings, lake)
    assert note.read_bytes() == good


@pytest.mark.parametrize("name", ["2024-12", "SIMUSDT-4h-2024-12"])
def test_what_is_excluded_is_left_out_of_every_layer(sim, simulated_copy: Path, load: Callable, name: str):
    settings, lake = sim
    ingest(settings, lake)
    whole = refine(settings, lake).quality
    less = settings.model_copy(update={"archive": settings.archive.model_copy(update={"exclude": (name,)})})
    assert ingest(less, lake).files == MONTHS - 1
    quality = refine(less, lake).quality  # though bronze has it
    assert quality.missing_bars == 31 * 6 + 1  # one is missing in the simulated market itself
    (stored,) = [file for file in lake.bronze.files("") if "2024-12" in file.key]
    Path(stored.location).unlink()
    assert refine(less, lake).quality == quality
    with pytest.raises(StoreError, match=r"2024-12\.parquet was in bronze before, and is missing now") as lost:
        refine(settings, lake)
    assert lost.value.cure.endswith("--exclude SIMUSDT-4h-2024-12")
    assert ingest(settings, lake).written == 1  # the other cure
    assert refine(settings, lake).quality == whole
    everything = settings.model_copy(update={"archive": settings.archive.model_copy(update={"exclude": ("2024-12",)})})
    with pytest.raises(ArchiveError, match="exclude leaves no file"):
        ingest(everything, lake, since=date(2024, 12, 1), until=date(2024, 12, 31))


# --- when a file was made --------------------------------------------------------------------------------------------


def test_the_last_bar_is_judged_by_when_its_file_was_made(sim, simulated_copy: Path):
    settings, lake = sim
    path = zip_of(simulated_copy, "2025-03")
    noon = datetime(2025, 3, 31, 22, tzinfo=UTC).timestamp()  # within its last bar
    os.utime(path, (noon, noon))
    ingest(settings, lake)
    for _ in range(2):  # by the clock of reading it has been over for long
        quality = refine(settings, lake).quality
        assert (quality.last, quality.tally.open_bars) == (datetime(2025, 3, 31, 16), 1)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)  # the same bytes once more: they were made no later for that
    assert ingest(settings, lake).written in (0, 1)
    assert refine(settings, lake).quality.last == datetime(2025, 3, 31, 16)
    lines = lines_of(path)
    publish(path, [*lines[:-1], lines[-1].replace(",0", ",00")])  # another file, made after the bar was over
    ingest(settings, lake)
    assert refine(settings, lake).quality.last == datetime(2025, 3, 31, 20)


@pytest.mark.parametrize("nonsense", [datetime(1980, 1, 1, tzinfo=UTC), datetime(2025, 3, 31, 19, tzinfo=UTC)])
def test_a_time_before_its_own_bars_says_nothing(sim, simulated_copy: Path, nonsense: datetime):
    settings, lake = sim
    path = zip_of(simulated_copy, "2025-03")
    os.utime(path, (nonsense.timestamp(),) * 2)
    ingest(settings, lake)
    assert refine(settings, lake).quality.tally.open_bars == 0


def test_bronze_of_an_older_version_is_fetched_again_once(sim, caplog: pytest.LogCaptureFixture):
    settings, lake = sim
    ingest(settings, lake)
    for file in lake.bronze.files(""):  # as older versions wrote it
        about = {k: v for k, v in lake.bronze.footer(file).items() if k not in ("made", "fetched", "modified")}
        lake.bronze.write(file.key, pl.read_parquet(file.location, hive_partitioning=False), about)
    with pytest.raises(StoreError, match="of an older Hermes") as refused:
        refine(settings, lake)
    assert "hermes ingest" in refused.value.cure
    assert ingest(settings, lake).written == MONTHS
    assert [record.getMessage() for record in caplog.records if "again, once" in record.getMessage()]
    assert ingest(settings, lake).written == 0
    refine(settings, lake)


# --- files that stand where they were not published ------------------------------------------------------------------


def test_a_file_that_was_copied_to_another_place_is_refused_by_every_reader(sim, simulated_copy: Path, load: Callable):
    from hermes.steps.maintenance.verify import verify

    settings, lake = sim
    other = settings.model_copy(update={"dataset": settings.dataset.with_symbol("SIM1USDT")})
    for each in (settings, other):
        prepared(each, lake)
        signals(each, lake)
    pairs = {
        layer: [
            next(
                file for file in getattr(lake, layer).files("") if f"{symbol}/" in file.key or f"{symbol}_" in file.key
            )
            for symbol in ("SIM1USDT", "SIMUSDT")
        ]
        for layer in ("bronze", "silver")
    }
    gold = lake.gold.files("")
    for start in ("gold_features", "trading_signals"):
        pairs[start] = [
            next(file for file in gold if file.key.startswith(start) and f"_{symbol}_" in file.key)
            for symbol in ("SIM1USDT", "SIMUSDT")
        ]
    table = {"bronze": "bronze", "silver": "silver", "gold_features": "features", "trading_signals": "signals"}
    steps: dict[str, list[Callable[..., Any]]] = {
        "bronze": [lambda: refine(settings, lake), lambda: ingest(settings, lake)],
        "silver": [lambda: features(settings, lake)],
        "gold_features": [lambda: signals(settings, lake), lambda: features(settings, lake)],
        "trading_signals": [lambda: read_signals(settings, lake)],
    }
    for kind, (theirs, mine) in pairs.items():
        path = Path(mine.location)
        before = path.read_bytes()
        path.write_bytes(Path(theirs.location).read_bytes())
        readers = [*steps[kind], lambda kind=kind: sql.query(lake, f"select * from {table[kind]}_SIMUSDT_4h")]
        for read in readers:
            with pytest.raises(StoreError, match=r"was published as|says that it is of") as refused:
                read()
            assert refused.value.cure
        assert verify(settings, lake).faults == 1, kind
        path.write_bytes(before)
        assert verify(settings, lake).faults == 0


def test_a_newer_lake_is_refused(sim, monkeypatch: pytest.MonkeyPatch):
    settings, lake = sim
    with monkeypatch.context() as newer:
        newer.setattr(store, "FORMAT", store.FORMAT + 1)
        prepared(settings, lake)
        signals(settings, lake)
    for read in (
        lambda: ingest(settings, lake),
        lambda: refine(settings, lake),
        lambda: features(settings, lake),
        lambda: signals(settings, lake),
        lambda: read_signals(settings, lake),
    ):
        with pytest.raises(NewerLake, match=f"format {store.FORMAT + 1}, and this one knows up to {store.FORMAT}"):
            read()


def test_a_refused_file_leaves_what_was_there_before(sim, simulated_copy: Path, tmp_path: Path):
    settings, lake = sim
    prepared(settings, lake)
    before = snapshot(tmp_path / "lake")
    path = zip_of(simulated_copy, "2024-12")
    publish(path, short_row(lines_of(path)))
    assert list(ingest(settings, lake).refused) == [path.stem]
    assert {path: value for path, value in snapshot(tmp_path / "lake").items() if "refused" not in path} == before


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
        ({"archive__url": "ftp://x"}, "is not a folder"),
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
    made, refined, _ = prepared(settings, lake)
    assert made.without_checksum == ["SIMUSDT-4h-2024-12"]
    assert refined.quality.missing_checksums == ("SIMUSDT-4h-2024-12",)
    assert ingest(settings, lake).written == 0


@pytest.mark.parametrize("step", [refine, features])
def test_a_step_without_the_one_before_says_so(sim, step: Callable):
    settings, lake = sim
    with pytest.raises(MissingTable, match="first"):
        step(settings, lake)


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
        prepared(settings, lake)
    path = tmp_path / "lake" / layer / key
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"theirs": [1]}).write_parquet(path)
    content = path.read_bytes()
    with pytest.raises(StoreError) as refused:
        prepared(settings, lake)
    assert str(path) in str(refused.value)
    assert path.read_bytes() == content


def test_a_lost_feature_file_is_made_again(sim, tmp_path: Path):
    settings, lake = sim
    prepared(settings, lake)
    whole = read_features(settings).collect()
    (tmp_path / "lake" / "gold" / settings.dataset.features_key(2024)).unlink()
    *_, featured = prepared(settings, lake)
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
    *_, featured = prepared(settings, lake)
    assert featured.written == [dataset.features_key(2024, 12), dataset.features_key(2025, 1)]
    *_, again = prepared(settings, lake)
    assert again.written == []


def test_silver_that_changes_while_it_is_read_is_read_again(sim, monkeypatch: pytest.MonkeyPatch):
    settings, lake = sim
    ingest(settings, lake)
    refine(settings, lake)
    answers = iter([False, True])
    asked = []
    monkeypatch.setattr(lake.silver, "unchanged", lambda *_: asked.append(1) or next(answers))
    assert features(settings, lake).written
    assert len(asked) == 2
    monkeypatch.setattr(lake.silver, "unchanged", lambda *_: False)
    (settings_file,) = [file for file in lake.gold.files("") if "2025" in file.key]
    Path(settings_file.location).unlink()
    with pytest.raises(StoreError, match="changed while it was read 3 times"):
        features(settings, lake)
