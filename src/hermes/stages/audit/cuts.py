"""Where the data is cut: right after events, because look-ahead shows there, and at random."""

from collections.abc import Sequence
from random import Random

import polars as pl

MOST_QUICK = 40
MOST_EDGES = 200


def turning_cuts(judged: pl.DataFrame, rules: Sequence[str], *, quick: bool) -> tuple[list[int], int]:
    """Cuts right after the position changed or a rule became true.

    A rule that needed a later bar to be true is not true without that bar, so however rare it is, a cut right
    after it shows it.

    Args:
        judged: signals of all bars, with `position` and the rules' Boolean columns.
        rules: conditions and signals, names of Boolean columns.
        quick: at most `MOST_QUICK` of all, spread evenly, half of them at turns of the position where there are so
            many; otherwise every turn of the position, and at most `MOST_EDGES` bars on which a rule became true.

    Returns:
        How many bars each cut keeps, ascending, and how many such bars there are.
    """
    turned = judged["position"].diff().fill_null(judged["position"].head(1)) != 0
    became = pl.any_horizontal(pl.col(name) & ~pl.col(name).shift(1, fill_value=False) for name in rules)
    turns = [int(row) + 1 for row in turned.arg_true()]
    edges = sorted({int(row) + 1 for row in judged.select(became=became)["became"].arg_true()} - set(turns))
    some = spread(turns, max(MOST_QUICK // 2, MOST_QUICK - len(edges))) if quick else turns
    most = MOST_QUICK - len(some) if quick else MOST_EDGES
    return sorted([*some, *spread(edges, most)]), len(turns) + len(edges)


def random_cuts(rows: int, count: int, random: Random) -> list[int]:
    """Cuts at `count` random bars, or at all bars if there are fewer; each keeps and drops at least one bar."""
    return random.sample(range(1, rows), min(count, rows - 1))


def spread(values: Sequence[int], most: int) -> list[int]:
    """At most `most` of the values, evenly spaced from the first to the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / max(most - 1, 1))] for place in range(most)]
