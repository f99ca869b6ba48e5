"""Closes appended to the record, killed, failing and raced: every row once, no chain forks, nothing half written."""

import errno
import random
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
from tests.s3_server import S3Server, serve

from hermes.errors import DatasetLocked, HermesError
from hermes.lake.backends import lease
from hermes.lake.store import Lake
from hermes.record import ledger
from hermes.record.table import DecisionsTable
from hermes.record.verification import find_faults, misplaced
from torture import closes, faults, lakes, victims
from torture.lake_mutants import no_create_only, no_staging

ABOUT = (
    "closes of three symbols appended to the record and a day merged: SIGKILL at every named point and at random times,"
    " the n-th I/O fails (EIO, ENOSPC, EMFILE; once and for good), files cannot grow, the disk is full, two services at"
    " once with and without a lease; folder and S3; passes when every row that was acknowledged is there, what is there"
    " is what an undisturbed run makes, hash for hash, an error is one clear line, and running again makes the rest"
)
FULL, SAMPLE = 200, 4
DEADLINE_S = 60
STEPS = ("append", "append", "append")
AT_RANDOM = "at random"
TROUBLES: tuple[tuple[int | str, bool], ...] = (
    *((number, for_good) for number in (errno.EIO, errno.ENOSPC, errno.EMFILE) for for_good in (False, True)),
    ("file size", True), ("small disk", True),
)  # fmt: skip
CALLS = 90  # below the folder of the lake that one `append` makes, about


def fork_allowed() -> None:
    """An append takes the place that another one took."""
    no_create_only()


def removed_too_early() -> None:
    """The files of a day are removed before the merged one is there."""
    create = DecisionsTable._create

    def removing(self: DecisionsTable, key: str, rows: pl.DataFrame) -> None:
        folder, _, name = key.rpartition("/")
        if name.startswith("day_"):
            for file in self._gold.files(folder):
                self._gold.remove(file.key)
        create(self, key, rows)

    DecisionsTable._create = removing  # type: ignore[method-assign]


MUTANTS = {"no_staging": no_staging, "fork_allowed": fork_allowed, "removed_too_early": removed_too_early}


@dataclass(frozen=True)
class Given:
    """An S3 server; how often each point is reached, on which backend; how long the closes take."""

    server: S3Server
    points: Mapping[str, list[tuple[str, int]]]
    seconds: float
    mounts: bool

    def flags(self, backend: str, folder: Path) -> dict[str, Any]:
        url = f"{folder}/lake/{{layer}}" if backend == "folder" else f"s3://appends-{{layer}}/{folder.name}"
        return {"lake.url": url, **({} if backend == "folder" else self.server.flags())}


@contextmanager
def context(folder: Path) -> Iterator[Given]:
    """An S3 server, and an undisturbed run on each backend."""
    try:
        with faults.small_disk(folder / "disk", 4096):
            mounts = True
    except PermissionError:
        mounts = False
    with serve(folder / "weed") as server:
        given, points = Given(server, {}, 0.0, mounts), {}
        for backend in ("folder", "s3"):
            flags = given.flags(backend, folder)
            started = time.perf_counter()
            story = victims.run(flags, STEPS, folder)
            given = replace(given, seconds=time.perf_counter() - started)
            assert story.points, f"the undisturbed run on {backend} ended early: {story}"
            points[backend] = [*sorted(story.points.items()), *[(AT_RANDOM, 0)] * 10]
            lake = Lake.open(lakes.settings_for(flags["lake.url"], **flags))
            assert _check(lake) == closes.CLOSES
        yield replace(given, points=points)


def case(seed: int, folder: Path, given: Given) -> int | None:
    """One kill, one kind of trouble, or one race."""
    chance = random.Random(seed)
    what = (_kill, _trouble, _race, _kill)[seed % 4]
    backend = "folder" if what is _trouble else ("folder", "s3")[seed // 4 % 2]
    flags = given.flags(backend, folder)
    settings = lakes.settings_for(flags["lake.url"], **flags)
    lake = Lake.open(settings)
    try:
        return what(settings, lake, folder, given, chance, backend)
    finally:
        if backend == "s3":
            lakes.remove(lake)


def _kill(settings: Any, lake: Lake, folder: Path, given: Given, chance: random.Random, backend: str) -> None:
    point, times = chance.choice(given.points[backend])
    fatal = None if point == AT_RANDOM else (point, chance.randint(1, times))
    after_s = chance.uniform(0, given.seconds) if point == AT_RANDOM else None
    story = victims.run(given.flags(backend, folder), STEPS, folder, fatal, after_s)
    what = f"on {backend}, killed {fatal or f'after {after_s:.3f} s'}, acknowledged {story.answers}"
    try:
        assert story.killed or len(story.answers) == len(STEPS), "it ended early"
        acknowledged = story.answers[-1][1] if story.answers else {"closes": 0, "head": None}
        assert _check(lake, acknowledged["head"]) >= acknowledged["closes"], "closes that were acknowledged are gone"
        with lakes.impatient():
            _go_on(settings, lake)
    except Exception as error:
        raise AssertionError(f"{what}: {error}") from error


def _trouble(settings: Any, lake: Lake, folder: Path, given: Given, chance: random.Random, _: str) -> int:
    """One `append` of three, which meets trouble at some n."""
    trouble, for_good = chance.choice(TROUBLES)
    before, n = chance.randrange(len(STEPS)), chance.randrange(CALLS)
    if trouble == "small disk" and not given.mounts:
        trouble = "file size"  # no file system can be mounted here
    name = errno.errorcode[trouble] if isinstance(trouble, int) else trouble
    what = f"{name}, {'for good' if for_good else 'once'}, n = {n}, after {before} appends"
    disk = folder / "disk"
    mounted = faults.small_disk(disk, 8 * 1024**2) if trouble == "small disk" else nullcontext()
    with mounted:
        if trouble == "small disk":
            flags = given.flags("folder", disk)
            settings = lakes.settings_for(flags["lake.url"], **flags)
            lake = Lake.open(settings)
        for _ in range(before):
            closes.append(settings, lake)
        head = None
        try:
            try:
                with _met(trouble, n, folder if trouble != "small disk" else disk, for_good=for_good):
                    head = closes.append(settings, Lake.open(settings))["head"]
            except HermesError as error:
                assert error.exit_code == 1, f"exit code {error.exit_code}: {error}"
                assert len(str(error).splitlines()) == 1 and error.cure, f"not one line with a cure: {error!r}"
                assert "unexpected" not in str(error), f"not foreseen: {error}"
            (disk / "ballast").unlink(missing_ok=True)
            assert _check(Lake.open(settings), head) >= before * closes.AT_ONCE
            _go_on(settings, Lake.open(settings))
        except Exception as error:
            raise AssertionError(f"{what}: {error}") from error
    return 1


@contextmanager
def _met(trouble: int | str, n: int, folder: Path, *, for_good: bool) -> Iterator[None]:
    if trouble == "file size":
        with faults.file_size_limit(256 * n):
            yield
    elif trouble == "small disk":
        faults.fill(folder, 4096 * (n % 30))
        yield
    else:
        assert isinstance(trouble, int)
        with faults.Faulty(folder / "lake", trouble, n + 1, for_good=for_good).planted():
            yield


def _race(settings: Any, lake: Lake, folder: Path, given: Given, chance: random.Random, backend: str) -> None:
    """Two services: with leases one of them is refused; without, at most one takes each place in the chain."""
    with (
        mock.patch.object(lease, "RENEW_S", 0.3),
        mock.patch.object(lease, "LEASE_S", 3.0),
        ThreadPoolExecutor(2) as pool,
    ):
        if chance.random() < 0.5:
            appended = list(pool.map(lambda _: closes.append_without_a_lease(Lake.open(settings)), range(2)))
            # On S3 who finds the very bytes that it wanted to write takes them for its own, as an answer may be lost.
            whole = sum(appended) == closes.CLOSES or (backend == "s3" and sum(appended) > closes.CLOSES)
            assert whole, f"{appended} closes were appended by the one and the other"
        else:
            with closes.table_of(lake).held(closes.CHAINS, "live"):
                try:
                    pool.submit(closes.append, settings, Lake.open(settings)).result()
                    raise AssertionError("a second service got the chains of the first one")
                except DatasetLocked as error:
                    assert "`hermes live`" in str(error), f"it does not say who holds them: {error}"
    _check(lake)
    _go_on(settings, lake)


def _go_on(settings: Any, lake: Lake) -> None:
    """Append the rest; then everything is there."""
    for _ in STEPS:
        closes.append(settings, lake)
    assert _check(lake) == closes.CLOSES, "running again did not append the rest"


def _check(lake: Lake, head: str | None = None) -> int:
    """What is on record must be the first closes of what an undisturbed run makes; returns how many."""
    table = closes.table_of(lake)
    filed = table.read(with_files=True)
    if filed.is_empty():
        assert head is None, "what was acknowledged is gone"
        return 0
    faults_found = find_faults(filed, whole=True) + misplaced(filed)
    assert not faults_found, f"{faults_found[:3]}"
    assert not table.lost(), f"{table.lost()} are gone"
    record = table.read()
    numbers = [end.sequence + 1 for end in ledger.heads(record).values()]
    assert len(numbers) == len(closes.SYMBOLS) and len(set(numbers)) == 1, f"half a close is on record: {numbers}"
    due = closes.expected()
    assert record.equals(due.filter(due["sequence"] < numbers[0])), "other rows than those of an undisturbed run"
    assert head is None or head in set(record["hash"]), "the head that was acknowledged is gone"
    for file in table.files():
        digest, known = lake.gold.hashed(file) or ("", set())
        assert digest in known, f"{file.key} is not what is on record"
    return numbers[0]
