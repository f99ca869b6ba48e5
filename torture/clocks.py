"""Clocks that jump, bursts within a second, prunes and promotions: readers get what was published last."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

ABOUT = (
    "executions published by clocks that are days ahead or behind, many in one second, between prunes and promotions: "
    "a new name is later than all that are there, readers get the one that was published last of what is meant, and no "
    "prune removes it"
)
FULL, SAMPLE = 400, 12
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def case(seed: int, folder: Path) -> int:
    """One table, some dozens of executions."""
    from hermes.errors import MissingTable
    from hermes.lake.store import Lake
    from hermes.settings import Settings
    from hermes.steps.production import find_execution
    from hermes.steps.promotion import promote

    random = Random(seed)
    configured, experiment = (
        Settings.load({"lake.url": f"{folder}/{{layer}}", "strategy.smart_momentum.ema_fast": fast}, environ={})
        for fast in (12, 8)
    )
    lake = Lake.open(configured)
    made: list[tuple[str, Settings]] = []  # as they were published
    meant = configured
    for _ in range(random.randrange(3, 9)):
        kind = random.choice(("publish", "publish", "burst", "prune", "promote"))
        if kind in ("publish", "burst"):
            clock = NOON + timedelta(seconds=random.choice((0, 1, 40, 86_400 * random.randrange(-400, 400))))
            for _ in range(random.randrange(5, 15) if kind == "burst" else 1):
                settings = random.choice((configured, experiment))
                before = _there(lake)
                name = _publish(lake, settings, clock)
                late = [other for other in before if other >= name]
                assert not late, f"{name} was published after {late}"
                made.append((name, settings))
        elif kind == "prune":
            _prune(lake, configured, random.randrange(1, 4))
        elif there := _there(lake):
            name = random.choice(there)
            promote(configured, lake, execution=f"{_table()}/{name}")
            meant = next(settings for each, settings in made if each == name)
        there = _there(lake)
        assert not made or made[-1][0] in there, f"{made[-1][0]}, published last, was removed by a {kind}"
        wanted = [name for name, settings in made if settings is meant]
        try:
            found = find_execution(configured, lake).name
        except MissingTable:
            found = ""
        assert found == (wanted[-1] if wanted else ""), f"{found!r} is read after a {kind}, not {wanted[-1:]}"
    return len(made)


def _table() -> str:
    from hermes.dataset import Dataset

    return Dataset().signals_table("smart_momentum")


def _there(lake: Any) -> list[str]:
    return [file.key.split("/")[1] for file in lake.gold.files(_table()) if file.key.endswith("/signals.parquet")]


def _publish(lake: Any, settings: Any, clock: datetime) -> str:
    import polars as pl

    from hermes.lake.executions import SIGNALS, next_sequence, publish
    from hermes.steps.production import identity

    about = {"generated_at": clock.isoformat(), **identity(settings, "smart_momentum")}
    about["sequence"] = next_sequence(lake.gold, _table())
    with lake.gold.staged() as path:
        lake.gold.stage(path, pl.DataFrame({"datetime": [NOON]}), about)
        return publish(lake.gold, _table(), SIGNALS, path, clock).rpartition("/")[2]


def _prune(lake: Any, settings: Any, keep: int) -> None:
    from hermes.steps.maintenance.prune import prune

    prune(settings, lake, keep=keep, remove=True)


def named_by_clock() -> None:
    """An execution is named by the clock alone, or the next second that is free."""
    from hermes.lake import executions

    executions._latest = lambda *_: None  # type: ignore[assignment]


def newest_by_clock() -> None:
    """The newest execution is the one whose lineage has the latest time."""
    from hermes.lake.executions import Execution

    Execution.order = property(lambda self: (0, str(self.lineage.get("generated_at")), self.name))  # type: ignore[assignment]


def latest_of_all() -> None:
    """Readers get the newest execution, whatever it was made of."""
    from hermes.steps import production

    production.matches = lambda *_: True


MUTANTS = {"named_by_clock": named_by_clock, "newest_by_clock": newest_by_clock, "latest_of_all": latest_of_all}
