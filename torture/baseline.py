"""The lake before and after every step of the pipeline, and what must hold of one after a step that met trouble."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hermes.lake.store import Lake
from torture import lakes
from torture.lakes import Kept


@dataclass(frozen=True)
class Baseline:
    """A whole lake that a later archive changes: one file is new and one is corrected; step by step below `base`."""

    archive: str
    base: Path
    before: Mapping[str, Mapping[str, Kept]]
    after: Mapping[str, Mapping[str, Kept]]

    @classmethod
    def recorded(cls, base: Path) -> Self:
        """Run the pipeline once, and keep the lake as it is between two steps."""
        first, later = lakes.write_archives(base)
        steps, before, after = list(lakes.STEPS), {}, {}
        lakes.run_steps(lakes.settings_for(f"{base}/{steps[0]}/{{layer}}", first))
        for step, following in zip(steps, [*steps[1:], "done"], strict=True):
            settings = lakes.settings_for(f"{base}/{following}/{{layer}}", later)
            shutil.copytree(base / step, base / following)
            before[step] = lakes.contents(Lake.open(settings))
            after[step] = lakes.contents(lakes.run_steps(settings, (step,)))
        return cls(later, base, before, after)

    def before_step(self, step: str) -> Path:
        """Folder of the lake that a step finds. Not to be changed."""
        return self.base / step

    def check(self, step: str, now: Mapping[str, Kept], *, done: bool, runs: int = 1, rows_only: bool = False) -> None:
        """Every file is as before the step or as after it; all are as after it where it is `done`, `runs` times."""

        def said(kept: Kept | None) -> str | None:
            return None if kept is None else kept.rows if rows_only else kept.meaning

        before, after = self.before[step], self.after[step]
        for key in before.keys() | after.keys() | now.keys():
            if lakes.is_execution(key):
                continue
            allowed = {said(after.get(key))} if done else {said(before.get(key)), said(after.get(key))}
            assert said(now.get(key)) in allowed, f"{key} is not what it {'was to become' if done else 'was'}"
        olds, wanted = lakes.executions_of(before), set(lakes.executions_of(after).values())
        for key in olds:
            assert key in now and now[key].sha256 == before[key].sha256, f"{key} of before was changed"
        for key, rows in lakes.executions_of(now).items():
            assert key in olds or rows in wanted, f"{key} holds other rows than it should"
        if done and step == "signals":
            made = len(lakes.executions_of(now)) - len(olds)
            assert made >= runs, f"{made} executions of {runs} are there"
