"""SIGKILL at named points and at random times, while the pipeline writes into an empty, an older or a whole lake."""

import random
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.s3_server import S3Server, serve

from hermes.lake.store import Lake
from torture import lakes, victims
from torture.lake_mutants import hash_too_late, no_staging
from torture.lakes import Kept

ABOUT = (
    "SIGKILL at named points (fetch, checksum, bronze, silver, features, chunk k, encoding, before, half-way and after"
    " publishing, run.json) and at random times, folder and S3; passes when every final path is absent or whole"
    " and as its hash says, what was acknowledged is there, and running again makes what an undisturbed run makes"
)
FULL, SAMPLE = 1_500, 40
MUTANTS = {"no_staging": no_staging, "hash_too_late": hash_too_late}
AT_RANDOM = "at random"
PLANS: Mapping[str, tuple[str, ...]] = {
    "empty": ("ingest", "refine", "features", "signals"),  # a first run
    "older": ("ingest", "refine", "features", "signals"),  # one file is new and one is corrected
    "whole": ("signals", "signals", "signals"),  # executions only
}


@dataclass(frozen=True)
class Plan:
    """A lake as it is before a victim comes, and what an undisturbed run makes of it."""

    name: str
    archive: str
    before: Mapping[str, Kept]
    tables: Mapping[str, str]
    execution: str
    seconds: float

    @property
    def steps(self) -> tuple[str, ...]:
        return PLANS[self.name]


@dataclass(frozen=True)
class Given:
    """All plans; the points each can be killed at, on which backend, and how often each is reached."""

    server: S3Server
    base: Path
    plans: Mapping[str, Plan]
    points: list[tuple[str, str, str, int]]

    def flags(self, plan: Plan, backend: str, folder: Path) -> dict[str, Any]:
        url = f"{folder}/lake/{{layer}}" if backend == "folder" else f"s3://kill-{{layer}}/{folder.name}"
        own = {} if backend == "folder" else self.server.flags()
        return {**lakes.SERIES, "lake.url": url, "archive.url": plan.archive, **own}

    def lay(self, plan: Plan, backend: str, folder: Path) -> Lake:
        """The lake as it is before."""
        flags = self.flags(plan, backend, folder)
        settings = lakes.settings_for(flags["lake.url"], **{k: v for k, v in flags.items() if k.startswith("s3.")})
        if plan.name != "empty" and backend == "folder":
            shutil.copytree(self.base / "lake", folder / "lake")
        elif plan.name != "empty":
            lakes.copy_to_buckets(self.base / "lake", settings)
        return Lake.open(settings)


@contextmanager
def context(folder: Path) -> Iterator[Given]:
    """Archives, the lake that most victims find, undisturbed runs of every plan, and an S3 server."""
    first, later = lakes.write_archives(folder)
    base = lakes.run_steps(lakes.settings_for(f"{folder}/lake/{{layer}}", first))
    whole = lakes.contents(base)
    with serve(folder / "weed") as server:
        plans: dict[str, Plan] = {}
        points: list[tuple[str, str, str, int]] = []
        for name in PLANS:
            scratch = folder / f"undisturbed-{name}"
            scratch.mkdir()
            archive = later if name == "older" else first
            before = {} if name == "empty" else whole
            plan = Plan(name, archive, before, {}, "", 0.0)
            given = Given(server, folder, {}, [])
            for backend in ("folder", "s3"):
                lake = given.lay(plan, backend, scratch)
                started = time.perf_counter()
                story = victims.run(given.flags(plan, backend, scratch), plan.steps, scratch)
                seconds = time.perf_counter() - started
                assert story.points, f"the undisturbed run of {name} on {backend} ended early: {story}"
                points += [(name, backend, point, times) for point, times in sorted(story.points.items())]
                points += [(name, backend, AT_RANDOM, 0)] * 10
                found = lakes.contents(lake)
                new = {said for key, said in lakes.executions_of(found).items() if key not in before}
                assert len(new) == 1, f"undisturbed runs of {name} made {len(new)} different executions"
                made = Plan(name, archive, before, lakes.tables_of(found), new.pop(), seconds)
                if name in plans:
                    assert (made.tables, made.execution) == (plans[name].tables, plans[name].execution)
                else:
                    plans[name] = made
        # Spread, so that successive seeds meet every plan and backend.
        random.Random(0).shuffle(points)
        yield Given(server, folder, plans, points)


def case(seed: int, folder: Path, given: Given) -> None:
    """Kill one process, look at what it left, run again, and compare."""
    chance = random.Random(seed)
    name, backend, point, times = given.points[seed % len(given.points)]
    plan = given.plans[name]
    lake = given.lay(plan, backend, folder)
    fatal = None if point == AT_RANDOM else (point, chance.randint(1, times))
    after_s = chance.uniform(0, plan.seconds) if point == AT_RANDOM else None
    flags = given.flags(plan, backend, folder)
    story = victims.run(flags, plan.steps, folder, fatal, after_s)
    what = f"{name} on {backend}, killed {fatal or f'after {after_s:.3f} s'}, acknowledged {story.answers}"
    try:
        # How often a name is tried depends on the clock: then the n-th time never came, and all was done.
        assert story.killed or len(story.answers) == len(plan.steps), "it ended early"
        left = lakes.contents(lake)
        _check_left(plan, left)
        acknowledged = _check_answers(plan, left, story)
        settings = lakes.settings_for(flags["lake.url"], **flags)
        with lakes.impatient():
            lakes.run_steps(settings, tuple(dict.fromkeys(plan.steps)))
        _check_again(plan, lakes.contents(lake), left, acknowledged)
    except Exception as error:
        raise AssertionError(f"{what}: {error}") from error
    finally:
        if backend == "s3":
            lakes.remove(lake)


def _check_left(plan: Plan, left: Mapping[str, Kept]) -> None:
    """What the killed process left: the files of before, or those of an undisturbed run; never anything between."""
    for key, kept in plan.before.items():
        assert key in left, f"{key} was there before, and is gone"
        if lakes.is_execution(key):
            assert left[key].sha256 == kept.sha256, f"{key}, an execution of before, was changed"
    for key, said in lakes.tables_of(left).items():
        known = {plan.tables.get(key), plan.before[key].meaning if key in plan.before else None}
        assert said in known, f"{key} is neither as before nor as it was to become"
    for key, said in lakes.executions_of(left).items():
        assert key in plan.before or said == plan.execution, f"{key} holds other rows than an undisturbed run"


def _check_answers(plan: Plan, left: Mapping[str, Kept], story: victims.Story) -> set[str]:
    """Whatever was acknowledged is there; returns the keys of acknowledged executions."""
    layers = {"ingest": "bronze/", "refine": "silver/", "features": "gold/gold_features"}
    executions = set()
    for step, answer in story.answers:
        if step == "signals":
            key = next((key for key in left if answer.endswith(key.partition("/")[2])), None)
            assert key, f"{answer} was acknowledged, and is not there"
            executions.add(key)
        else:
            for key, said in plan.tables.items():
                if key.startswith(layers[step]):
                    assert key in left and left[key].meaning == said, f"{step} was acknowledged, {key} is not there"
    return executions


def _check_again(plan: Plan, now: Mapping[str, Kept], left: Mapping[str, Kept], acknowledged: set[str]) -> None:
    """After another run: the tables of an undisturbed one, every execution of before, and one more."""
    tables = lakes.tables_of(now)
    assert tables.keys() == plan.tables.keys(), f"files differ: {sorted(tables.keys() ^ plan.tables.keys())}"
    for key, said in plan.tables.items():
        assert tables[key] == said, f"running again made another {key}"
    before, after = lakes.executions_of(left), lakes.executions_of(now)
    assert acknowledged <= before.keys() <= after.keys(), "running again lost an execution"
    assert len(after) == len(before) + 1, f"running again made {len(after) - len(before)} executions"
    for key in after.keys() - before.keys():
        assert after[key] == plan.execution, f"running again made other rows in {key}"
