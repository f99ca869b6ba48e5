"""Where the time of `hermes signals` goes, stage by stage, beside the bare copy of its file."""

import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from bench.peers import copy, finished, take_away
from bench.places import settings_of

#: What the functions of `hermes.steps.signals` do, in their order.
STAGES = {
    "select": "open: list, footers, order of the files",
    "measure": "first pass: decode, judge, check, two accounts",
    "_write": "second pass: decode, encode, hash",
    "_publish": "publish: fsync, link, lineage",
}
WHOLE, COPY = "Hermes, all of it", "Polars copy, all of it"


def stages(lake: str, target: str, runs: int = 5) -> Callable[[], Mapping[str, Any]]:
    """Wall and CPU seconds of each stage of `runs` runs, and of as many copies between them; medians."""
    from hermes.lake.store import Lake  # noqa: PLC0415
    from hermes.steps import signals as step  # noqa: PLC0415

    settings = settings_of(lake)
    taken: dict[str, list[tuple[float, float]]] = {}
    for name, stage in STAGES.items():
        setattr(step, name, _timed(taken, stage, getattr(step, name)))
    whole, bare = _timed(taken, WHOLE, step.signals), _timed(taken, COPY, copy(lake, target))

    def work() -> Mapping[str, Any]:
        for _ in range(runs):
            take_away(*finished(lake))
            whole(settings, Lake.open(settings))
            take_away(Path(target))
            bare()
        return {stage: [median(values) for values in zip(*each, strict=True)] for stage, each in taken.items()}

    return work


def _timed(taken: dict[str, list[tuple[float, float]]], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*args: Any, **given: Any) -> Any:
        wall, cpu = perf_counter(), _cpu()
        try:
            return function(*args, **given)
        finally:
            taken.setdefault(name, []).append((perf_counter() - wall, _cpu() - cpu))

    return timed


def _cpu() -> float:
    """CPU seconds of this process and all of its threads so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
