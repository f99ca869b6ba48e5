"""Features of one block of a long series, in memory that does not grow with the history.

Every indicator forgets: of an exponential average over n bars less than 1e-16 is left after 20 n bars, a SuperTrend
starts anew with every turn. How far back a block must look is found out on its own bars: a lead is long enough when
twice as long a lead says the same just before the block begins, no column is in its warm-up any more, and the
SuperTrend has turned within it: two that both began in a stretch without trades agree on nothing but how they began.
That rule reads nothing but the bars before the block, so a block has the same values whenever it is made, and bars
after it change nothing.
"""

from collections.abc import Callable, Sequence

import polars as pl

from hermes.schemas import INDICATORS
from hermes.stages.gold.features import features

BLOCK_ROWS = 3_000_000  # that are computed at once: a month of seconds
LEAD = 20_000  # bars, the first try
TOLERANCE = 1e-9  # relative: rounding in TA-Lib's running sums differs with where they began
_COMPARED = 500  # bars before the block on which two leads must agree
_OSCILLATORS = ("rsi_", "stoch_")  # from 0 to 100; everything else is in units of the price

#: Reads the bars of the series from a first row up to, not including, an end.
Read = Callable[[int, int], pl.DataFrame]
#: Gives bars their columns, as if they were the whole series.
Compute = Callable[[pl.DataFrame], pl.DataFrame]


def block_features(read: Read, begin: int, end: int) -> pl.DataFrame:
    """The rows from `begin` up to `end` of the whole series' feature table.

    Args:
        read: bars as `schemas.SILVER`, in time order.

    Returns:
        The columns of `schemas.FEATURES`. SuperTrend's direction is that of the whole series, every other value
        agrees to `TOLERANCE` of itself or of the price, both as far as the bars before `begin` can tell.
    """
    lead = proven_lead(read, begin, lambda bars: features(bars.lazy()).collect(), list(INDICATORS))
    return features(read(begin - lead, end).lazy()).collect().slice(lead)


def proven_lead(read: Read, begin: int, compute: Compute, columns: Sequence[str]) -> int:
    """How many bars before row `begin` these columns need, so that earlier ones change nothing; at most all.

    Args:
        compute: gives bars their columns, from the first of them on.
        columns: those of them that are compared.
    """
    lead = LEAD
    while lead < begin and not _enough(read, begin, lead, compute, columns):
        lead *= 2
    return min(lead, begin)


def _enough(read: Read, begin: int, lead: int, compute: Compute, columns: Sequence[str]) -> bool:
    bars = read(max(begin - 2 * lead, 0), begin)
    whole = [compute(each) for each in (bars, bars.tail(lead))]
    # Two leads that end within a warm-up agree on nothing, either: `ema_50@1d` needs 50 days of minutes.
    early = whole[1].head(-min(_COMPARED, lead // 2))
    if any(early[name].null_count() == early.height for name in columns):
        return False
    far, near = (each.tail(lead // 2) for each in whole)
    states = [name for name in columns if not near.schema[name].is_float()]
    turned = all(near[name].n_unique() > 1 and near[name].equals(far[name]) for name in states)
    far, near = far.tail(_COMPARED), near.tail(_COMPARED)
    return turned and all(_agree(far, near, name) for name in columns)


def _agree(far: pl.DataFrame, near: pl.DataFrame, name: str) -> bool:
    if not far.schema[name].is_float() or far[name].null_count():
        return far[name].equals(near[name])
    # A difference of averages crosses zero: what is small there is small beside the price.
    unit = 1.0 if name.startswith(_OSCILLATORS) else far["close"]
    scale = pl.select(pl.max_horizontal(far[name].abs(), unit)).to_series()
    return bool(((far[name] - near[name]).abs() <= TOLERANCE * scale).all(ignore_nulls=False))
