"""Verifies the record: finds every trace that a change leaves in a chain; pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl

from hermes.record import ledger
from hermes.record.ledger import ZERO, Chain, by_chain
from hermes.text import counted

Cause = Literal[
    "edited", "rewritten", "removed", "fork", "reordered", "bars", "misplaced", "deleted file", "other head"
]

FILE = "_file"  # which file a row stands in; no column of the record, so not in its hashes
_EDITED, _BAR = "_edited", "_bar"
# Rows without a hash are not equal, nor is a row to one that only claims its hash.
_once = pl.struct("hash", _EDITED).is_first_distinct() | pl.col("hash").is_null()
_SEALS = ("bars_sha256", "previous_hash", "hash")
_LINKS = (*Chain._fields, "kind", "sequence", "datetime", "position", "server_time", *_SEALS)
_BARS_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One trace of a change.

    Attributes:
        cause: edited (a value differs from what was hashed), rewritten (a row does not follow from the one before it),
            removed (rows are missing), fork (two rows claim one place), reordered (rows of a file stand in another
            order), bars (the digest of the bars does not follow), misplaced (a row stands in another day's folder),
            deleted file (a file that was published is gone), other head (a hash that was kept is not in the record).
        where: the chain or the file.
        sequence: of the first row concerned, where there is one.
        datetime: open time of that row's bar.
        detail: one line for people.
    """

    cause: Cause
    where: str
    sequence: int | None
    datetime: datetime | None
    detail: str

    def as_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        at = None if self.datetime is None else self.datetime.isoformat()
        return {"cause": self.cause, "where": self.where, "sequence": self.sequence, "datetime": at} | {
            "detail": self.detail
        }


def links(rows: pl.DataFrame) -> pl.DataFrame:
    """Check each row against its hash, and keep what links the rows: a quarter of the bytes.

    Args:
        rows: of any chains, as they are stored.

    Returns:
        The same rows with the columns that link them, `_file` where it is there, `_edited` (their values are not those
        that were hashed) and `_bar` (the text of their bar).
    """
    due = ledger.due(rows.select(name for name in rows.columns if not name.startswith("_")))
    return rows.select(
        *_LINKS,
        *(name for name in (FILE,) if name in rows.columns),
        pl.col("hash").ne_missing(pl.Series(due.hashes, dtype=pl.String)).alias(_EDITED),
        pl.Series(_BAR, due.bars, pl.String),
    )


def find_faults(rows: pl.DataFrame, *, whole: bool = False) -> list[Fault]:
    """Every fault of some chains, in their order.

    Args:
        rows: of any number of chains, as they are stored, or what `links` made of them; sound rows with equal hashes
            count once. Where a column `_file` says which file a row stands in, the order of the rows within each file
            is checked.
        whole: the chains must begin with sequence 0; else they may begin later, as parts do.
    """
    if _EDITED not in rows.columns:
        rows = links(rows)
    faults: list[Fault] = []
    for chain, mine in by_chain(rows):
        faults += _order(chain, mine)
        unique = mine if mine["hash"].is_unique().all() else mine.filter(_once)
        if not unique["sequence"].is_sorted():
            unique = unique.sort("sequence")
        if whole and (first := unique["sequence"][0]):
            detail = f"rows 0 to {first - 1:,} are missing"
            faults.append(Fault("removed", str(chain), first, unique["datetime"][0], detail))
        faults += _links(chain, unique)
    return faults


def _order(chain: Chain, rows: pl.DataFrame) -> list[Fault]:
    """Rows that follow a later one in the same file."""
    if FILE not in rows.columns:
        rows = rows.with_columns(pl.lit("").alias(FILE))
    step = pl.col("sequence").diff().over(FILE)
    found = (
        rows.filter(step < 0).group_by(FILE, maintain_order=True).agg(pl.len(), pl.col("sequence", "datetime").first())
    )
    return [
        Fault("reordered", file or str(chain), sequence, at, f"{chain}: {counted(count, 'row')} after later ones")
        for file, count, sequence, at in found.iter_rows()
    ]  # fmt: skip


def _links(chain: Chain, rows: pl.DataFrame) -> list[Fault]:
    """Check the hashes of the rows of one chain (see `links`), sorted by sequence, each once."""
    checked = rows.select(
        "sequence",
        "datetime",
        edited=pl.col(_EDITED),
        unlinked=pl.col("previous_hash").ne_missing(pl.col("hash").shift(1)),
        bars=_unlike_their_bars(rows),
        step=pl.col("sequence").diff(),
    ).with_columns(
        unlinked=pl.when(pl.col("step").is_null())
        .then((pl.col("sequence") == 0) & (rows["previous_hash"][0] != ZERO))
        .otherwise(pl.col("unlinked") & (pl.col("step") == 1)),
        bars=pl.col("bars") & (pl.col("step") == 1),
    )
    causes: dict[Cause, pl.Expr] = {
        "edited": pl.col("edited"),
        "rewritten": pl.col("unlinked") & ~pl.col("edited").shift(1, fill_value=False),
        "removed": pl.col("step") > 1,
        "fork": pl.col("step") == 0,
        # An edited bar is reported once, where it was edited.
        "bars": pl.col("bars") & ~pl.col("edited"),
    }
    details = {
        "edited": "its values are not those that were hashed",
        "rewritten": "it does not follow from the row before it: one of the two was rewritten",
        "fork": "two rows claim this place",
        "bars": "its bars_sha256 does not follow from the one before it",
    }
    found = []
    for cause, trace in causes.items():
        for sequence, at, step in checked.filter(trace).select("sequence", "datetime", "step").iter_rows():
            gap = f"rows {sequence - (step or 0) + 1:,} to {sequence - 1:,} are missing"
            found.append(Fault(cause, str(chain), sequence, at, details.get(cause, gap)))
    return sorted(found, key=lambda fault: fault.sequence or 0)


def _unlike_their_bars(rows: pl.DataFrame) -> pl.Series:
    """Whether the `bars_sha256` of each row does not follow from the row before it."""
    before, found = ZERO, [pl.Series(dtype=pl.Boolean)]
    for piece in rows.select(_BAR, "bars_sha256").iter_slices(_BARS_AT_ONCE):
        digests = piece["bars_sha256"].to_list()
        due = map(ledger.bar_digest, piece[_BAR].to_list(), [before, *digests[:-1]])
        found.append(piece["bars_sha256"].ne_missing(pl.Series(list(due), dtype=pl.String)))
        before = digests[-1]
    return pl.concat(found)


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars between two decisions without a decision: the exchange had none, or they were missed.

    Attributes:
        first: open time of the first absent bar; last: of the last one; bars: how many.
    """

    chain: Chain
    first: datetime
    last: datetime
    bars: int


def find_gaps(rows: pl.DataFrame) -> list[Gap]:
    """Bars without a row between the first and the last decision of each chain."""
    gaps = []
    decided = rows.lazy().filter(pl.col("kind") == "decision").select(*Chain._fields, "datetime").collect()
    for chain, mine in by_chain(decided):
        times = mine.select(pl.col("datetime").unique().sort())
        due = pl.col("datetime").dt.offset_by(chain.interval)
        after = pl.col("datetime").shift(-1)
        for first, after_it in (
            times.select(due.alias("due"), after.alias("after")).filter(pl.col("after") > pl.col("due")).iter_rows()
        ):
            absent = pl.datetime_range(first, after_it, chain.interval, closed="left", eager=True)
            gaps.append(Gap(chain, first, absent[-1], len(absent)))
    return gaps


def misplaced(rows: pl.DataFrame) -> list[Fault]:
    """Rows whose file (`_file`) is in the folder of another day than that of their `server_time`."""
    day = pl.col("server_time").dt.strftime("year=%Y/month=%m/day=%d")
    wrong = rows.filter(~pl.col(FILE).str.contains(day, literal=True))
    found = wrong.group_by(FILE, maintain_order=True).agg(pl.len(), pl.col("sequence", "datetime").first())
    return [
        Fault(
            "misplaced", file, sequence, at, f"{counted(count, 'row')} decided on another day than that of the folder"
        )
        for file, count, sequence, at in found.iter_rows()
    ]
