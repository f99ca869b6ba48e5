"""Published Parquet files go bad: `audit --bytes` must find every one, and no read may answer as if nothing were."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random

from torture.commands import Said, hermes
from torture.damage import KINDS, spoil

ABOUT = (
    "published Parquet files flipped, zeroed, cut off, replaced, columns missing, extra or mistyped: "
    "`audit --bytes` names each one; "
    "structural damage makes a read fail with a typed error, or the very answer of the sound file"
)
FULL, SAMPLE = 2_500, 44
SYMBOL, INTERVAL = "SIMUSDT", "1d"

_SQL = ("sql", "--json")


@dataclass(frozen=True)
class Read:
    """A command that reads a layer; `away` is what stands in its way, because Hermes does nothing twice."""

    arguments: tuple[str, ...]
    away: str = ""
    per_symbol: bool = True


#: layer → part of the paths of its files, and what reads them.
LAYERS: dict[str, tuple[str, tuple[Read, ...]]] = {
    "bronze": (
        "bronze/",
        (
            Read(("refine", "--json"), away="silver"),
            Read((*_SQL, "select * from bronze_SIMUSDT_1d order by open_time"), per_symbol=False),
            Read(("ls", "--json"), per_symbol=False),
        ),
    ),
    "silver": (
        "silver/binance",
        (
            Read(("features", "--json"), away="gold/gold_features_spot_monthly_klines_SIMUSDT_1d"),
            Read(("refine", "--json")),
            Read((*_SQL, "select * from silver_SIMUSDT_1d order by datetime"), per_symbol=False),
            Read(("ls", "--json"), per_symbol=False),
        ),
    ),
    "features": (
        "gold/gold_features",
        (
            Read(("signals", "--json")),
            Read(("backtest", "--json")),
            Read(("audit", "--json", "--cuts", "3")),
            Read(("report", "--json")),
            Read(("sweep", "--json", "--set", "rsi_low=40,45")),
            Read(("walkforward", "--json", "--set", "rsi_low=40,45", "--train", "60d", "--test", "20d")),
            Read((*_SQL, "select * from features_SIMUSDT_1d order by datetime"), per_symbol=False),
            Read(("ls", "--json"), per_symbol=False),
        ),
    ),
    "signals": (
        "gold/trading_signals",
        (
            Read(("show", "--json")),
            Read(("report", "--json")),
            Read((*_SQL, "select * from signals_SIMUSDT_1d order by datetime"), per_symbol=False),
            Read(("ls", "--json"), per_symbol=False),
        ),
    ),
}
READS_PER_CASE = 2


@contextmanager
def context(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A lake with every layer, and what every read answers while it is sound."""
    make_lake(folder)
    answers = {}
    for layer, (_, reads) in LAYERS.items():
        for number, read in enumerate(reads):
            copy = folder / f"{layer}{number}"
            copied(folder / "lake", copy)
            said = _told(read, copy)
            assert said.code == 0, said
            answers[" ".join(read.arguments)] = _answer(said, copy)
            shutil.rmtree(copy)
    yield str(folder / "lake"), answers


def make_lake(folder: Path) -> None:
    """A simulated archive of four months of daily bars, and a lake with all that comes of it."""
    from hermes.dataset import Dataset
    from hermes.stages.bronze.simulate import write_archive

    write_archive(folder / "archive", Dataset(symbol=SYMBOL, interval=INTERVAL), date(2024, 11, 1), 4)
    archive = ("--archive", str(folder / "archive"))
    for step in (("ingest", *archive), ("refine",), ("features",), ("signals",)):
        said = hermes(*step, SYMBOL, "--interval", INTERVAL, "--lake", f"{folder}/lake/{{layer}}", folder=folder)
        assert said.code == 0, said


def copied(lake: Path, copy: Path) -> None:
    """The same lake elsewhere; its files are links, which nothing in Hermes writes through."""
    shutil.copytree(lake, copy / "lake", copy_function=os.link)


def case(seed: int, folder: Path, given: tuple[str, dict[str, str]]) -> int:
    """Damage one file; the audit of bytes must name it, and reads must say so or answer as before."""
    random = Random(seed)
    template, answers = given
    damage = KINDS[seed % len(KINDS)]
    below, reads = random.choice(tuple(LAYERS.values()))
    copied(Path(template), folder)
    files = sorted(path for path in (folder / "lake").rglob("*.parquet") if f"/lake/{below}" in str(path))
    victim = random.choice(files)
    spoil(victim, damage, random)
    what = f"{damage.name}: {victim.relative_to(folder)}"

    found = damaged(folder)
    assert found == [str(victim)], f"{what}: the audit of bytes found {found}"
    chosen = sorted(random.sample(reads, min(READS_PER_CASE, len(reads))), key=lambda read: bool(read.away))
    for read in chosen:
        said = _told(read, folder)
        assert said.typed, f"{what}\n{said}"
        if damage.loud and said.code == 0:
            assert _answer(said, folder) == answers[" ".join(read.arguments)], f"{what}: a silent wrong answer\n{said}"
    return 1 + len(chosen)


def damaged(folder: Path) -> list[str]:
    """The files that `hermes audit --bytes` names."""
    said = hermes("audit", "--bytes", "--json", "--lake", f"{folder}/lake/{{layer}}", folder=folder)
    assert said.typed, said
    found = json.loads(said.out)
    named = [*found["differs"], *found["missing"], *found["unreadable"]]
    assert said.code == (3 if named else 0), said
    return named


def _told(read: Read, folder: Path) -> Said:
    if read.away:
        shutil.rmtree(folder / "lake" / read.away)
    series = (SYMBOL, "--interval", INTERVAL) if read.per_symbol else ()
    return hermes(*read.arguments, *series, "--lake", f"{folder}/lake/{{layer}}", folder=folder)


def no_hash() -> None:
    """`audit --bytes` takes every file for what was published."""
    from hermes.steps.maintenance import verify as step

    step._judge = lambda layer, file: ("same", "")  # type: ignore[assignment]


def no_contract() -> None:
    """Reads take the columns that a file happens to have."""
    from hermes.lake import catalog
    from hermes.lake.store import Layer
    from hermes.steps import refine

    scan = Layer.scan
    Layer.scan = lambda self, files, **options: (
        scan(self, files, **options) if "include_file_paths" in options else scan(self, files)
    )
    catalog.checked_lineage = lambda gold, execution: {
        "execution": execution.name,
        "path": execution.file.location,
        **execution.lineage,
    }
    refine._sound = lambda source, frame: frame


MUTANTS = {"no_hash": no_hash, "no_contract": no_contract}

#: What differs from run to run, or tells the folder.
_CHANGING = frozenset(
    (
        "seconds", "rows_per_second", "path", "bytes", "execution", "executions", "trades_path", "thumbnail_path",
        "generated_at", "sources", "audit", "folder", "version", "freshness", "sequence", "seed",
        "detail",  # of a check: names the seed of its cuts
    )
)  # fmt: skip


def _answer(said: Said, folder: Path) -> str:
    """What a command answered, without what differs from run to run."""
    return json.dumps(_steady(json.loads(said.out)), sort_keys=True).replace(str(folder), "")


def _steady(node: object) -> object:
    if isinstance(node, dict):
        return {name: _steady(value) for name, value in node.items() if name not in _CHANGING}
    return [_steady(each) for each in node] if isinstance(node, list) else node
