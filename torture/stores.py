"""S3 stores that differ from AWS, with keys of strangers in them: a double in memory that differs as a case says."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from tests.s3_double import Double, Quirks, Stored, serve_double

from hermes.errors import AlreadyPublished, DatasetLocked, HermesError
from hermes.lake.backends import lease, s3
from hermes.lake.backends.conditions import Conditions, Known
from hermes.lake.backends.listing import Listing
from hermes.lake.store import Lake
from hermes.settings import Settings
from torture import lakes
from torture.lakes import Kept

ABOUT = (
    "S3 stores that ignore If-Match or If-None-Match, refuse etags in quotes, write etags differently in listings,"
    " list late, hide what is absent from keys that may see one prefix only, or have no bucket yet, with keys of"
    " strangers in them; passes when every step makes what it makes on a folder and at most one holds a lock or gets a"
    " name, or a typed error of one line says why not"
)
FULL, SAMPLE = 120, 4
DEADLINE_S = 120
THREADS, ROUNDS = 3, 4
STRANGERS = (
    "{0}//x.parquet",
    "{0}/../y.parquet",
    "{0}/",
    "{0}/./z",
    "//",
    "{0}//",
    "{0}/._data_0.parquet",
    "100%/ü+&.txt",
)


def conditions_assumed() -> None:
    """Every store is taken for one that honours conditions."""
    s3.Bucket.conditions = lambda self, *, again=False: Conditions(True, "quoted")  # type: ignore[method-assign]


def strangers_believed() -> None:
    """A listing ends at the first key that is no path."""
    whole = Listing._asked

    def asked(self: Listing, folder: str, delimiter: str):
        objects, folders = whole(self, folder, delimiter)
        return objects[:1], folders[:1]

    Listing._asked = asked  # type: ignore[method-assign]


MUTANTS = {"conditions_assumed": conditions_assumed, "strangers_believed": strangers_believed}


@dataclass(frozen=True)
class Given:
    """An archive, and what every step makes of it on a folder."""

    archive: str
    expected: dict[str, str]
    signals: set[str]


@contextmanager
def context(folder: Path) -> Iterator[Given]:
    """One undisturbed run on a folder."""
    archive, _ = lakes.write_archives(folder)
    found = lakes.contents(lakes.run_steps(lakes.settings_for(f"{folder}/lake/{{layer}}", archive)))
    yield Given(archive, _tables(found), set(lakes.executions_of(found).values()))


def case(seed: int, folder: Path, given: Given) -> int:
    """All steps, a race for one lock, and a race for one name on one store."""
    chance = random.Random(seed)
    shared = seed % 3 == 0  # keys that may see one prefix of one bucket
    quirks = Quirks(
        if_match=chance.choice(("quoted", "bare", "ignored")),
        if_none_match=chance.random() < 0.6,
        quoted_in_lists=chance.random() < 0.7,
        listed_after_s=3.0 if seed % 8 == 5 else 0.0,
        only_below="team/" if shared else None,
        no_new_buckets=shared,
    )
    url = "s3://company/team/{layer}" if shared else "s3://{layer}"
    with serve_double(quirks) as double, _soon():
        if shared:
            double.buckets["company"] = {}
        settings = lakes.settings_for(url, given.archive, **double.flags())
        planted = _plant(double, settings, chance)
        try:
            lake = lakes.run_steps(settings)
        except HermesError as error:
            text = str(error)
            assert quirks.listed_after_s, f"{quirks}: {text}"
            assert len(text.splitlines()) == 1 and error.cure, f"not one line with a cure: {error!r}"
            return 1
        for bucket, key in planted:
            assert double.buckets[bucket].pop(key, None), f"{key} of a stranger is gone"
        found = lakes.contents(lake)
        assert _tables(found) == given.expected, f"{quirks}: other tables than on a folder"
        assert set(lakes.executions_of(found).values()) == given.signals, f"{quirks}: other signals than on a folder"
        if not quirks.listed_after_s:
            _race_for_a_lock(settings, quirks)
            _race_for_a_name(settings, quirks)
            left = [
                key for objects in double.buckets.values() for key in objects if ".claims/" in key or "_probes" in key
            ]
            assert not left, f"{quirks}: {left} are left"
    return len(given.expected) + 2


def _tables(found: dict[str, Kept]) -> dict[str, str]:
    """The rows of all tables; what their footers say of the archive's files depends on when those were copied."""
    return {key: kept.rows for key, kept in found.items() if not lakes.is_execution(key) and key.endswith(".parquet")}


def _plant(double: Double, settings: Settings, chance: random.Random) -> list[tuple[str, str]]:
    """Put keys of strangers into the tables that will be written."""
    gold = settings.layer_url("gold").removeprefix("s3://")
    bucket, _, prefix = gold.partition("/")
    table = f"{prefix}/{settings.dataset.features_table}".lstrip("/")
    planted = [(bucket, key.format(table)) for key in chance.sample(STRANGERS, chance.randrange(len(STRANGERS)))]
    for _, key in planted:
        double.buckets.setdefault(bucket, {})[key] = Stored(b"", {"x-amz-meta-sha256": ""})
    return planted


def _race_for_a_lock(settings: Settings, quirks: Quirks) -> None:
    inside: list[int] = []
    most: list[int] = []
    begin = threading.Barrier(THREADS)

    def come_and_go(number: int) -> None:
        lake = Lake.open(settings)
        begin.wait()
        for _ in range(ROUNDS):
            with suppress(DatasetLocked), lake.locked(settings.dataset, "run") as held:
                inside.append(number)
                time.sleep(0.01)
                most.append(len(inside))
                held.gold._check()
                inside.remove(number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(come_and_go, range(THREADS)))
    assert most, f"{quirks}: nobody got the lock"
    assert max(most) == 1, f"{quirks}: {max(most)} held one lock"


def _race_for_a_name(settings: Settings, quirks: Quirks) -> None:
    begin = threading.Barrier(THREADS)

    def create(number: int) -> int | None:
        gold = Lake.open(settings).gold
        with gold.staged() as path:
            path.write_bytes(b"%d" % number)
            begin.wait()
            try:
                gold.create("race/signals.parquet", path)
            except AlreadyPublished:
                return None
        return number

    with ThreadPoolExecutor(THREADS) as pool:
        won = [number for number in pool.map(create, range(THREADS)) if number is not None]
    assert len(won) == 1, f"{quirks}: {len(won)} were told that one name is theirs"
    kept = Lake.open(settings).gold.read("race/signals.parquet")
    assert kept == b"%d" % won[0], f"{quirks}: the name is another's"


@contextmanager
def _soon() -> Iterator[None]:
    """Leases that end soon, and nothing known of a store that was on the same port before."""
    with (
        mock.patch.object(lease, "LEASE_S", 3.0),
        mock.patch.object(lease, "RENEW_S", 0.3),
        mock.patch.object(s3, "_CONDITIONS", Known()),
    ):
        yield
