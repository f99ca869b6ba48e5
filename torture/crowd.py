"""Many processes that make executions of one dataset in the same seconds, while others read them."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.s3_server import S3Server, serve

from hermes.lake.store import Lake
from torture import lakes
from torture.lake_mutants import no_create_only, no_staging
from torture.runner import SEEDS

ABOUT = (
    "8 processes make executions of one dataset in the same seconds (200 each in a full run), 4 others read them"
    " meanwhile, folder and S3; passes when every name has one winner, every acknowledged execution is there as its"
    " maker wrote it, and no reader ever sees one that is torn"
)
WRITERS, READERS, RUNS = 8, 4, 10
SMALL = 2  # so many cases of a run, the one that the tests run among them, have half as many of each
FULL, SAMPLE = 12, 1
DEADLINE_S = 300
MUTANTS = {"no_create_only": no_create_only, "no_staging": no_staging}


@dataclass(frozen=True)
class Given:
    """A lake with features, and an S3 server."""

    base: Path
    server: S3Server


@contextmanager
def context(folder: Path) -> Iterator[Given]:
    """The lake that all crowds work in, and an S3 server."""
    first, _ = lakes.write_archives(folder)
    lakes.run_steps(lakes.settings_for(f"{folder}/lake/{{layer}}", first), ("ingest", "refine", "features"))
    with serve(folder / "weed") as server:
        yield Given(folder / "lake", server)


def case(seed: int, folder: Path, given: Given) -> int:
    """One crowd; every writer stamps its own start, so that its rows are its own."""
    backend = ("folder", "s3")[seed % 2]
    url = f"{folder}/{{layer}}" if backend == "folder" else f"s3://crowd-{{layer}}/{folder.name}"
    own = {} if backend == "folder" else given.server.flags()
    flags = {**lakes.SERIES, "lake.url": url, **own}
    settings = lakes.settings_for(url, **own)
    if backend == "folder":
        shutil.copytree(given.base, folder, dirs_exist_ok=True)
    else:
        lakes.copy_to_buckets(given.base, settings)
    part = 2 if seed % SEEDS < SMALL else 1
    writers, readers, runs = WRITERS // part, READERS // part, RUNS // part
    days = random.Random(seed).sample(range(2, 28), writers)
    jobs = [
        {"role": "writer", "flags": {**flags, "signals.start": f"2024-11-{day:02d}"}, "runs": runs} for day in days
    ] + [{"role": "reader", "flags": flags, "seed": seed + number} for number in range(readers)]
    said = _crowd(jobs)
    made = [answer for answers in said[:writers] for answer in answers]
    assert len(made) == writers * runs, f"{len(made)} of {writers * runs} executions were acknowledged"
    paths = [answer["path"] for answer in made]
    assert len(set(paths)) == len(paths), (
        f"{len(paths) - len(set(paths))} executions were acknowledged under a name twice"
    )
    assert all(reader and reader[-1]["read"] for reader in said[writers:]), "a reader read nothing"
    lake = Lake.open(settings)
    found = lakes.executions_of(lakes.contents(lake))
    assert len(found) == len(paths), f"{len(found)} executions are there, {len(paths)} were acknowledged"
    for answer in made:
        key = next(key for key in found if answer["path"].endswith(key.partition("/")[2]))
        about = json.loads(found[key][64:])  # after the digest of its rows
        assert [about["rows"], about["first"]] == [answer["rows"], answer["first"]], f"{key} is another's"
    if backend == "s3":
        lakes.remove(lake)
    return len(made)


def _crowd(jobs: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Start a process for each job, let all begin at once, end the readers after the writers; what each said."""
    pipe = subprocess.PIPE
    members = [
        subprocess.Popen(
            [sys.executable, "-m", "torture.member", json.dumps(job)], stdin=pipe, stdout=pipe, stderr=pipe, text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        for job in jobs
    ]  # fmt: skip
    try:
        for member in members:
            assert member.stdout and member.stdin
            ready = member.stdout.readline()
            assert ready, f"a process died before it began: {member.communicate()[1][-2000:]}"
        for member in members:
            assert member.stdin
            member.stdin.write("go\n")
            member.stdin.flush()
        said = []
        for job, member in zip(jobs, members, strict=True):
            out, err = member.communicate()  # closes stdin: that ends a reader
            assert member.returncode == 0, f"{job['role']} ended with {member.returncode}: {err[-2000:]}"
            said.append([json.loads(line) for line in out.splitlines()])
        return said
    finally:
        for member in members:
            member.kill()
            member.wait()
