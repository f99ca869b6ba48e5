"""Is the record what was written? Every trace that a change leaves in a chain, named; pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl

from hermes.record import ledger
from hermes.record.ledger import ZERO, Chain

Cause = Literal[
    "edited", "rewritten", "removed", "fork", "reordered", "bars", "misplaced", "deleted file", "other head"
]

FILE = "_file"  # which file a row stands in; no column of the record, so not in its hashes


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


def find_faults(rows: pl.DataFrame, *, whole: bool = False) -> list[Fault]:
    """Every fault of some chains, in their order.

    Args:
        rows: of any number of chains, as they are stored; rows with equal hashes count once. Where a column `_file`
            says which file a row stands in, the order of the rows within each file is checked.
        whole: the chains must begin with sequence 0; else they may begin later, as parts do.
    """
    faults: list[Fault] = []
    for names, mine in rows.group_by(Chain._fields, maintain_order=True):
        chain = Chain(*(str(name) for name in names))
        faults += _order(chain, mine)
        unique = mine.unique("hash", keep="first", maintain_order=True).sort("sequence")
        if whole and (first := unique["sequence"][0]):
            detail = f"rows 0 to {first - 1:,} are missing"
            faults.append(Fault("removed", str(chain), first, unique["datetime"][0], detail))
        faults += _links(chain, unique)
    return faults


def _order(chain: Chain, rows: pl.DataFrame) -> list[Fault]:
    """Rows that stand after a later one of the same file."""
    if FILE not in rows.columns:
        rows = rows.with_columns(pl.lit("").alias(FILE))
    step = pl.col("sequence").diff().over(FILE)
    found = (
        rows.filter(step < 0).group_by(FILE, maintain_order=True).agg(pl.len(), pl.col("sequence", "datetime").first())
    )
    return [
        Fault("reordered", file or str(chain), sequence, at, f"{count:,} rows of {chain} stand after later ones")
        for file, count, sequence, at in found.iter_rows()
    ]  # fmt: skip


def _links(chain: Chain, rows: pl.DataFrame) -> list[Fault]:
    """What the hashes say of the rows of one chain, sorted by sequence, each once."""
    own = rows.select(name for name in rows.columns if not name.startswith("_"))
    due = ledger.seals(own)
    checked = rows.select(
        "sequence",
        "datetime",
        edited=pl.col("hash") != pl.Series(due.hashes, dtype=pl.String),
        unlinked=pl.col("previous_hash") != pl.col("hash").shift(1),
        bars=pl.col("bars_sha256") != pl.Series(due.bars_sha256, dtype=pl.String),
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
        # An edited bar is told once, where it was edited.
        "bars": pl.col("bars") & ~pl.col("edited"),
    }
    details = {
        "edited": "its values are not those that were hashed",
        "rewritten": "it does not follow from the row before it: one of the two was written anew",
        "fork": "two rows claim this place",
        "bars": "its bars_sha256 does not follow from the one before it",
    }
    found = []
    for cause, trace in causes.items():
        for sequence, at, step in checked.filter(trace).select("sequence", "datetime", "step").iter_rows():
            gap = f"rows {sequence - (step or 0) + 1:,} to {sequence - 1:,} are missing"
            found.append(Fault(cause, str(chain), sequence, at, details.get(cause, gap)))
    return sorted(found, key=lambda fault: fault.sequence or 0)


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars between two decisions that nothing was decided on: the exchange had none, or they were missed.

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
    decided = rows.filter(pl.col("kind") == "decision").unique("hash")
    for names, mine in decided.group_by(Chain._fields, maintain_order=True):
        chain = Chain(*(str(name) for name in names))
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
        Fault("misplaced", file, sequence, at, f"{count:,} rows were decided on another day than that of their folder")
        for file, count, sequence, at in found.iter_rows()
    ]
