"""A process to be killed: it has imported Hermes, waits for one job on stdin, and does it, step by step.

It says on stdout, a JSON line each: that it has begun, the answer of every step once that is done, and at the end how
often it reached each of its points.
"""

import json
import sys
import tempfile
from typing import Any

from hermes.lake.store import Lake
from hermes.settings import Settings
from torture import closes, mutants
from torture.lakes import STEPS
from torture.points import Points, die


def main() -> None:
    """Wait for a job, do it."""
    mutants.apply()
    line = sys.stdin.readline()
    if not line:
        return  # nobody needs this process any more
    job = json.loads(line)
    tempfile.tempdir = job["scratch"]
    points = Points({tuple(job["fatal"]): die} if job["fatal"] else None)
    with points.planted():
        work(job, points)
    say(points=points.counts)


def work(job: dict[str, Any], points: Points) -> None:
    """The steps of a job, an answer for each."""
    settings = Settings.load(job["flags"], environ={})
    lake = Lake.open(settings)
    say(begun=True)
    for step in job["steps"]:
        answer = {**STEPS, **closes.STEPS}[step](settings, lake)
        points.reach("before the answer")
        say(step=step, answer=answer)
        points.reach("after the answer")


def say(**what: Any) -> None:
    """One line, at once."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
