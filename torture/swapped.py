"""Files in the wrong place, and small files that are cut or wrong: never an answer as if nothing were."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from random import Random

from torture.commands import hermes

ABOUT = (
    "a file of another symbol, period or table copied into place: every reader refuses it, `audit --bytes` names it; "
    "small JSON files cut, emptied, replaced or another symbol's: a run ends well, or with a line that names the file "
    "and its cure"
)
FULL, SAMPLE = 150, 14
SYMBOLS, INTERVAL = ("SIMUSDT", "SIM1USDT"), "1d"
#: part of the paths → folder that is away, so that work is done again, and the command that reads.
READERS = {
    "bronze/binance": ("silver", ("refine", "SIMUSDT", "--json")),
    "silver/binance": ("gold/gold_features_spot_monthly_klines_SIMUSDT_1d", ("features", "SIMUSDT", "--json")),
    "gold/gold_features": ("", ("signals", "SIMUSDT", "--json")),
    "gold/trading_signals": ("", ("show", "SIMUSDT", "--json")),
}
TABLES = {"bronze/binance": "bronze", "silver/binance": "silver", "gold/gold_features": "features",
          "gold/trading_signals": "signals"}  # fmt: skip
GARBAGE = (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe\x00", b"{}", b'{"made_from": 1}', b"[" * 50_000, b"0")


@contextmanager
def context(folder: Path) -> Iterator[str]:
    """A lake with two symbols from end to end."""
    from hermes.dataset import Dataset
    from hermes.stages.bronze.simulate import write_archive

    for symbol in SYMBOLS:
        write_archive(folder / "archive", Dataset(symbol=symbol, interval=INTERVAL), date(2024, 11, 1), 4)
        said = hermes("run", symbol, *_where(folder), "--no-report", folder=folder)
        assert said.code == 0, said
        table = Dataset(symbol=symbol, interval=INTERVAL).signals_table("smart_momentum")
        (made,) = (folder / "lake" / "gold" / table).glob("execution_*")
        said = hermes("promote", f"{table}/{made.name}", "--lake", f"{folder}/lake/{{layer}}", folder=folder)
        assert said.code == 0, said
    yield str(folder)


def _where(folder: Path) -> tuple[str, ...]:
    return "--interval", INTERVAL, "--archive", f"{folder}/archive", "--lake", f"{folder}/lake/{{layer}}"


def case(seed: int, folder: Path, template: str) -> int:
    """One file in the place of another, or one small file that is not what it was."""
    random = Random(seed)
    shutil.copytree(template, folder, dirs_exist_ok=True)
    lake = folder / "lake"
    if seed % 3 == 0:
        return _small(random, folder, lake) if seed % 2 else _copied(random, folder, lake)
    kind = random.choice(tuple(READERS))
    files = sorted(lake.glob(f"{kind}*/**/*.parquet"))
    target = random.choice([file for file in files if "SIMUSDT" in str(file.relative_to(lake))])
    others = [file for file in files if file.read_bytes() != target.read_bytes()]
    source = random.choice(others)
    shutil.copy2(source, target) if random.random() < 0.5 else target.write_bytes(source.read_bytes())
    what = f"{source.relative_to(lake)} in the place of {target.relative_to(lake)}"
    away, command = READERS[kind]
    if random.random() < 0.5:
        command = ("sql", f"select * from {TABLES[kind]}_SIMUSDT_1d", "--json")
    elif away:
        shutil.rmtree(lake / away)
    where = ("--lake", f"{folder}/lake/{{layer}}") if command[0] == "sql" else _where(folder)[:2] + _where(folder)[4:]
    said = hermes(*command, *where, folder=folder)
    assert said.code != 0, f"{what}: it was read\n{said}"
    assert said.typed, f"{what}\n{said}"
    said = hermes("audit", "--bytes", "--json", "--lake", f"{folder}/lake/{{layer}}", folder=folder)
    assert said.code == 3, f"{what}: nobody finds it\n{said}"
    return 2


def _small(random: Random, folder: Path, lake: Path) -> int:
    path = random.choice(sorted(path for path in lake.rglob("*.json") if path.name != "run.json"))
    content = path.read_bytes()
    damaged = random.choice((*GARBAGE, content[: random.randrange(len(content))]))
    path.write_bytes(damaged)
    what = f"{path.relative_to(lake)} is {damaged[:40]!r}"
    for command in (("run", "SIMUSDT", "--no-report"), ("show", "SIMUSDT"), ("report", "SIMUSDT")):
        flags = _where(folder) if command[0] == "run" else _where(folder)[:2] + _where(folder)[4:]
        said = hermes(*command, *flags, folder=folder)
        assert said.typed, f"{what}\n{said}"
        assert said.code == 0 or path.name in said.err, f"{what}\n{said}"
    return 3


def _copied(random: Random, folder: Path, lake: Path) -> int:
    """A small file of another symbol is said to be one, by who reads it first."""
    promotion = "gold/promotions/trading_signals_smart_momentum_spot_{}_1d.json"
    quality = "silver/quality/binance/spot/klines/{}/1d/quality.json"
    kind, command = random.choice(((promotion, "show"), (quality, "report")))
    theirs, mine = (lake / kind.format(symbol) for symbol in ("SIM1USDT", "SIMUSDT"))
    shutil.copy2(theirs, mine) if random.random() < 0.5 else mine.write_bytes(theirs.read_bytes())
    said = hermes(command, "SIMUSDT", *_where(folder)[:2], *_where(folder)[4:], folder=folder)
    assert said.typed, f"{mine} of SIM1USDT\n{said}"
    assert mine.name in said.err, f"{mine} of SIM1USDT: it was taken for SIMUSDT's\n{said}"
    return 1


def no_place() -> None:
    """Nobody compares where a file stands with where it was published."""
    from hermes.lake import executions, store

    store._FOOTER_KEY = "nowhere"
    executions.lineage_of = lambda layer, file: layer.footer(file)


def json_believed() -> None:
    """A small file is taken for what it should be."""
    import json

    from hermes.lake.store import Layer

    Layer.read_json = lambda self, key, *_: json.loads(self.read(key) or b"null")  # type: ignore[method-assign]


def copies_believed() -> None:
    """Nobody asks a small file of which table or series it is."""
    from hermes.lake.store import Layer
    from hermes.stages.silver.quality import Quality

    read, from_json = Layer.read_json, Quality.from_json
    Layer.read_json = lambda *given: (
        {  # type: ignore[method-assign]
            name: value for name, value in (read(*given) or {}).items() if name != "table"
        }
        or None
    )
    Quality.from_json = classmethod(  # type: ignore[method-assign,assignment]
        lambda _, text: from_json(text).model_copy(update={"symbol": "SIMUSDT"})
    )


MUTANTS = {"no_place": no_place, "json_believed": json_believed, "copies_believed": copies_believed}
