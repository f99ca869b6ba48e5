"""Executions: the immutable files of one table of signals or comparisons, in order of publication.

An execution's folder is named after a second that is later than every name that is there, so names sort as executions
were published. Footers say it too, because clocks jump and folders get copied: `sequence` counts the executions of a
table. Those of older versions have none; they come first, in the order of `generated_at`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import WARNING
from pathlib import Path
from typing import Any

from hermes.dataset import (
    Dataset,
    execution_name,
    parse_execution,
    parse_portfolio_table,
    parse_signals_table,
    parse_universe_table,
)
from hermes.errors import AlreadyPublished, HermesError, Misplaced, StoreError
from hermes.lake.files import LakeFile, sha256
from hermes.lake.store import Layer
from hermes.logs import event

#: Main files: without it, there is no execution for a reader.
SIGNALS, COMPARISON, PORTFOLIO = "signals.parquet", "universe.parquet", "portfolio.parquet"
ATTEMPTS = 600  # names that others may take first, while one execution is published
AHEAD_S = 10  # a name further ahead of the clock is worth a warning


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a table.

    Attributes:
        name: its folder in the table.
        lineage: from its footer; empty for another tool's file.
        error: why the footer cannot be read.
    """

    name: str
    file: LakeFile
    lineage: Mapping[str, Any]
    error: HermesError | None = None

    @property
    def sequence(self) -> int:
        """The number of the execution in its table, from 1; 0 if it has none."""
        count = self.lineage.get("sequence")
        return count if isinstance(count, int) else 0

    @property
    def order(self) -> tuple[int, str, str]:
        """The sort key for the order of publication."""
        made = "" if self.sequence else str(self.lineage.get("generated_at") or "")
        return self.sequence, made, self.name


def main_file(table: str) -> str:
    """The name of the main file of a table's executions."""
    if parse_portfolio_table(table):
        return PORTFOLIO
    return COMPARISON if parse_universe_table(table) else SIGNALS


def is_execution(file: LakeFile, name: str = SIGNALS) -> bool:
    """Whether `file` is the main file of an execution."""
    _, folder, *rest = f"{file.key}/".split("/")
    return rest == [name, ""] and parse_execution(folder) is not None


def read_executions(layer: Layer, files: Sequence[LakeFile]) -> list[Execution]:
    """The executions whose main files these are, with what their footers say, oldest first.

    Unreadable ones are sorted by name.
    """

    def read(file: LakeFile) -> Execution:
        name = file.key.split("/")[1]
        try:
            return Execution(name, file, lineage_of(layer, file))
        except HermesError as error:
            return Execution(name, file, {}, error)

    found = layer.map_files(read, files)
    readable = sorted((each for each in found if not each.error), key=lambda each: each.order)
    for each in sorted((each for each in found if each.error), key=lambda each: each.name):
        later = (place for place, other in enumerate(readable) if other.name > each.name)
        readable.insert(next(later, len(readable)), each)
    return readable


def lineage_of(layer: Layer, file: LakeFile) -> dict[str, Any]:
    """The lineage in the footer of an execution's main file; empty for another tool's.

    Raises:
        StoreError: it cannot be read. Misplaced: it is of another table.
    """
    about = layer.footer(file)
    table = file.key.split("/")[0]
    if parse_signals_table(table) and isinstance(about.get("dataset"), dict):
        try:
            own = Dataset(**about["dataset"]).signals_table(about["strategy"])
        except (TypeError, KeyError, HermesError):
            own = "no table at all"
        if own != table:
            raise Misplaced(
                f"{file.location} says that it is of {own}, and was copied to where it is now",
                "remove it, and make the signals again",
            )
    return about


def newest(executions: Sequence[Execution], matches: Callable[[Execution], bool] = lambda _: True) -> Execution | None:
    """The last of these executions (oldest first) that matches, None without one.

    Raises:
        HermesError: a later one cannot be read, so it is unknown whether it matches.
    """
    for each in reversed(executions):
        if each.error:
            raise each.error
        if matches(each):
            return each
    return None


def next_sequence(layer: Layer, table: str, name: str = SIGNALS) -> int:
    """The `sequence` of the next execution of a table."""
    files = [file for file in layer.files(table) if is_execution(file, name)]
    return 1 + max((each.sequence for each in read_executions(layer, files)), default=0)


def publish(layer: Layer, table: str, name: str, staged: Path, made: datetime, digest: str | None = None) -> str:
    """Publish a staged file as the next execution of a table; returns its folder.

    Args:
        name: of its main file.
        made: the instant, by this machine's clock, that it is named after; where the table has that name or a later
            one, it is named after the second that follows the last of them.

    Raises:
        StoreError: no later name is possible, or other processes kept taking the next name.
    """
    digest = digest or sha256(staged)
    at = made
    for _ in range(ATTEMPTS):
        if there := _latest(layer, table):
            at = max(at, _after(there, table))
        folder = f"{table}/{execution_name(at)}"
        try:
            layer.create(f"{folder}/{name}", staged, digest)
        except AlreadyPublished:
            at = _after(at, table)  # that of somebody whose file no listing shows yet
            continue
        if (at - made).total_seconds() > AHEAD_S:
            _warn(folder, at, made)
        return folder
    raise StoreError(f"{table}: others took {ATTEMPTS} names in a row during publishing", "run again")


def _latest(layer: Layer, table: str) -> datetime | None:
    """The second of the latest name in a table, whole executions or not."""
    named = {file.key.split("/")[1] for file in layer.files(table, "") if file.key.count("/") > 1}
    return max((at for each in named if (at := parse_execution(each))), default=None)


def _after(at: datetime, table: str) -> datetime:
    try:
        return at + timedelta(seconds=1)
    except OverflowError:
        raise StoreError(
            f"{table} has an execution named {execution_name(at)}, and no later name is possible",
            "a clock was wrong: move that execution away",
        ) from None


def _warn(folder: str, at: datetime, clock: datetime) -> None:
    ahead = timedelta(seconds=round((at - clock).total_seconds()))
    event(
        "clock",
        level=WARNING,
        message=f"{folder} is named {ahead} ahead of this machine's clock ({clock:%Y-%m-%d %H:%M:%S} UTC), to be later "
        "than those before it: many were published within seconds, or a clock is or was wrong (check it with "
        "`timedatectl`)",
        path=folder,
        ahead_seconds=ahead.total_seconds(),
    )
