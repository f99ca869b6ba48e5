"""The n-th I/O of a step fails, once or for good; files cannot grow, cannot be opened, or the disk is full."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hermes.errors import HermesError
from hermes.lake.store import Lake
from torture import faults, lakes
from torture.baseline import Baseline
from torture.lake_mutants import error_swallowed, no_staging

ABOUT = (
    "the n-th I/O of each step fails (EIO, ENOSPC, EMFILE; once and for good; n = 1 … until it passes), files cannot"
    " grow or be opened, the disk is full; passes when the step is done right or fails with one clear line, earlier"
    " data is intact, nothing stays in staging, and running again makes what an undisturbed run makes"
)
TROUBLES: tuple[tuple[int | str, bool], ...] = (
    *((number, for_good) for number in (errno.EIO, errno.ENOSPC, errno.EMFILE) for for_good in (False, True)),
    ("file size", True), ("open files", True), ("small disk", True),
)  # fmt: skip
STRIDE = 10  # a case tries every tenth n, so that ten cases try them all
COMBINATIONS = len(TROUBLES) * len(lakes.STEPS)
FULL, SAMPLE = COMBINATIONS * STRIDE, COMBINATIONS
MUTANTS = {"no_staging": no_staging, "error_swallowed": error_swallowed}
PAGE = 4096


@dataclass(frozen=True)
class Given:
    """The pipeline step by step; whether a file system can be mounted here."""

    baseline: Baseline
    mounts: bool


@contextmanager
def context(folder: Path) -> Iterator[Given]:
    """The lake before and after every step."""
    try:
        with faults.small_disk(folder / "disk", PAGE):
            mounts = True
    except PermissionError:
        mounts = False
    yield Given(Baseline.recorded(folder), mounts)


def case(seed: int, folder: Path, given: Given) -> int:
    """Every tenth n of one step and one kind of trouble, until the step passes untroubled."""
    steps = list(lakes.STEPS)
    trouble, for_good = TROUBLES[seed % len(TROUBLES)]
    step = steps[seed // len(TROUBLES) % len(steps)]
    first = seed // COMBINATIONS % STRIDE
    if trouble == "small disk" and not given.mounts:
        trouble = "file size"  # no file system can be mounted here
    lakes.run_steps(
        lakes.settings_for(f"{folder}/warm/{{layer}}", given.baseline.archive)
    )  # threads and their files are there now
    n, tried = first, 0
    while True:
        tried += 1
        try:
            if not _try(step, trouble, for_good, n, folder / str(n), given):
                return tried
        except Exception as error:
            name = errno.errorcode[trouble] if isinstance(trouble, int) else trouble
            raise AssertionError(f"{step}, {name}, {'for good' if for_good else 'once'}, n = {n}: {error}") from error
        n += STRIDE


def _try(step: str, trouble: int | str, for_good: bool, n: int, folder: Path, given: Given) -> bool:
    """One n; says whether the step met any trouble."""
    with ExitStack() as stack:
        if trouble == "small disk":
            stack.enter_context(faults.small_disk(folder, 64 * 1024**2))
        else:
            folder.mkdir()
        shutil.copytree(given.baseline.before_step(step), folder / "lake")
        settings = lakes.settings_for(f"{folder}/lake/{{layer}}", given.baseline.archive)
        lake = Lake.open(settings)
        met = True
        try:
            with _trouble(trouble, for_good, n, folder) as faulty:
                lakes.STEPS[step](settings, lake)
            met = faulty is not None and faulty.hit
            done = True
        except HermesError as error:
            done = False
            assert error.exit_code == 1, f"exit code {error.exit_code}: {error}"
            assert len(str(error).splitlines()) == 1 and error.cure, f"not one line with a cure: {error!r}"
            assert "unexpected" not in str(error), f"not foreseen: {error}"
        given.baseline.check(step, lakes.contents(lake), done=done)
        if trouble != errno.EIO:  # which also fails what cleans up
            _check_staging(folder)
        (folder / "ballast").unlink(missing_ok=True)
        lakes.STEPS[step](settings, Lake.open(settings))
        given.baseline.check(step, lakes.contents(lake), done=True, runs=1 + done)
    shutil.rmtree(folder, ignore_errors=True)
    return met


@contextmanager
def _trouble(trouble: int | str, for_good: bool, n: int, folder: Path) -> Iterator[faults.Faulty | None]:
    if trouble == "file size":
        with faults.file_size_limit(256 * n):
            yield None
    elif trouble == "open files":
        with faults.open_files_limit(n):
            yield None
    elif trouble == "small disk":
        faults.fill(folder, PAGE * n)
        yield None
    else:
        assert isinstance(trouble, int)
        faulty = faults.Faulty(folder / "lake", trouble, n + 1, for_good=for_good)
        with faulty.planted():
            yield faulty


def _check_staging(folder: Path) -> None:
    left = [str(path) for path in (folder / "lake" / "_staging").rglob("*") if path.is_file()]
    assert not left, f"left in staging: {left}"
