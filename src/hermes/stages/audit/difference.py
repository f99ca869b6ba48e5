"""The first difference between two tables that should be equal."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl


@dataclass(frozen=True, slots=True)
class Difference:
    """The first value that differs.

    Attributes:
        column: the first column of the table that differs on this bar.
        bar: open time of its bar, naive UTC.
        expected, found: both values.
    """

    column: str
    bar: datetime
    expected: object
    found: object

    def __str__(self) -> str:
        return f"{self.column} at {self.bar}: {self.found} instead of {self.expected}"


def first_difference(expected: pl.DataFrame, found: pl.DataFrame) -> Difference | None:
    """The first bar, and on it the first column, on which two tables of the same rows differ; nulls equal nulls.

    Args:
        expected, found: the same columns, `datetime` among them, and the same number of rows.
    """
    if expected.equals(found):
        return None
    first: tuple[int, str] | None = None
    for name in expected.columns:
        rows = expected[name].ne_missing(found[name]).arg_true()
        if len(rows) and (first is None or rows[0] < first[0]):
            first = (int(rows[0]), name)
    if first is None:  # values that compare equal but are of other types
        raise ValueError(f"the tables differ in their types: {expected.schema} and {found.schema}")
    row, name = first
    return Difference(name, expected["datetime"][row], expected[name][row], found[name][row])
