"""Tables that are replaced while something is made from them."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copytree, rmtree

from hermes.errors import SourceChanged
from hermes.lake.store import Lake, Layer
from hermes.settings import Settings
from torture import lakes
from torture.lake_mutants import no_second_look
from torture.points import Points

ABOUT = (
    "features are replaced while signals are made from them, silver while features are, file by file between any two of"
    " the step's own doings; passes when what is made comes wholly from one version of the table, or is refused"
)
FULL, SAMPLE = 400, 20
MUTANTS = {"no_second_look": no_second_look}
#: step → layer and folder of what it reads.
READ = {"features": ("silver", lakes.DATASET.silver_folder), "signals": ("gold", lakes.DATASET.features_table)}


@dataclass(frozen=True)
class Given:
    """Folder of the lakes, what each step makes of any of them, and how often it reaches each of its points."""

    base: Path
    made: Mapping[str, set[tuple[str, ...]]]
    points: Mapping[str, list[tuple[str, int]]]


@contextmanager
def context(folder: Path) -> Iterator[Given]:
    """The same series before the archive corrected it, after, and with one file of each."""
    for name, archive in zip(("old", "new"), lakes.write_archives(folder), strict=True):
        lakes.run_steps(lakes.settings_for(f"{folder}/{name}/{{layer}}", archive))
    made: dict[str, set[tuple[str, ...]]] = {step: set() for step in READ}
    reached = {}
    for step in READ:
        first, second = _new(step, folder)
        for number, replaced in enumerate(((), (first,), (second,), (first, second))):
            settings = _laid(step, folder, folder / f"{step}-{number}")
            for path in replaced:
                _replace(step, path, folder, Lake.open(settings))
            points = Points()
            with points.planted():
                lakes.STEPS[step](settings, Lake.open(settings))
            made[step].add(_made(step, Lake.open(settings)))
        reached[step] = [(point, n + 1) for point, times in sorted(points.counts.items()) for n in range(times)
                         if not point.startswith("half")]  # fmt: skip
        assert len(made[step]) == 4, f"{step} made the same of different tables"
    yield Given(folder, made, reached)


def case(seed: int, folder: Path, given: Given) -> None:
    """One step; each file of what it reads is replaced at some point of its own."""
    chance = random.Random(seed)
    step = list(READ)[seed % 2]
    settings = _laid(step, given.base, folder / "lake")
    lake = Lake.open(settings)
    new = _new(step, given.base)
    at = chance.sample(given.points[step], len(new))
    points = Points(
        {point: partial(_replace, step, path, given.base, lake) for point, path in zip(at, new, strict=True)}
    )
    try:
        with points.planted():
            lakes.STEPS[step](settings, Lake.open(settings))
    except SourceChanged:
        return
    assert _made(step, lake) in given.made[step], f"{step} mixed two versions: {len(new)} files replaced at {at}"


def _laid(step: str, base: Path, root: Path) -> Settings:
    """The old lake at `root`, without what the step is to make."""
    copytree(base / "old", root)
    if step == "features":
        rmtree(root / "gold")
        rmtree(root / "_hashes" / "gold")
    return lakes.settings_for(f"{root}/{{layer}}")


def _new(step: str, base: Path) -> list[Path]:
    """The new files of what the step reads."""
    layer, prefix = READ[step]
    return sorted((base / "new" / layer / prefix).rglob("*.parquet"))


def _replace(step: str, path: Path, base: Path, lake: Lake) -> None:
    name = READ[step][0]
    layer: Layer = getattr(lake, name)
    with layer.staged() as staged:
        staged.write_bytes(path.read_bytes())
        layer.replace(path.relative_to(base / "new" / name).as_posix(), staged)


def _made(step: str, lake: Lake) -> tuple[str, ...]:
    """What the step made, the latest of it, and what it says that it was made from."""
    found = lakes.contents(lake)
    if step == "features":
        return tuple(kept.meaning for key, kept in sorted(found.items()) if "gold_features" in key)
    key, said = max(lakes.executions_of(found).items())
    file = next(file for file in lake.gold.files("") if f"gold/{file.key}" == key)
    return said, *(source["fingerprint"] for source in lake.gold.footer(file)["sources"])
