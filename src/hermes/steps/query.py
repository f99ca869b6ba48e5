"""The tables of a lake, and SQL over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import polars as pl

from hermes.errors import HermesError
from hermes.lake import sql as duck
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import Lake
from hermes.redaction import redact
from hermes.settings import Settings
from hermes.steps.production import overview, production, short_names
from hermes.steps.results import Rows


@dataclass(frozen=True, slots=True)
class Listing(Rows):
    """The tables of a lake.

    Attributes:
        tables: one object for each: its name in SQL, where it is, rows, first and last open time, bytes, executions.
        broken: the errors of those that cannot be read.
    """

    settings: Settings
    tables: Sequence[Mapping[str, Any]]
    broken: Sequence[HermesError]

    def lazy(self) -> pl.LazyFrame:
        """One row for each table."""
        return pl.LazyFrame(self.tables, infer_schema_length=None)

    def as_json(self) -> dict[str, Any]:
        """The tables, and the errors where there are any."""
        errors = [{"error": redact(error.message), "cure": error.cure} for error in self.broken]
        return {"tables": self.tables, **({"errors": errors} if errors else {})}


@dataclass(frozen=True, slots=True)
class Answer(Rows):
    """The rows of a query, with the names of the columns; `more` if a limit cut them off."""

    settings: Settings
    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]
    more: bool = False

    def lazy(self) -> pl.LazyFrame:
        """The rows as a Polars frame."""
        return pl.LazyFrame(self.rows, schema=list(self.columns), orient="row", infer_schema_length=None)

    def as_json(self) -> dict[str, Any]:
        """Columns and rows; NaN, which JSON has no word for, is null."""
        rows = [[None if isinstance(value, float) and isnan(value) else value for value in row] for row in self.rows]
        return {"columns": self.columns, "rows": rows, **({"more": True} if self.more else {})}


def ls(settings: Settings, lake: Lake | None = None) -> Listing:
    """List every table of the lake, bronze first.

    Raises:
        StoreError: the lake cannot be listed; a table that cannot be read is under `broken` instead.
    """
    found, broken = overview(settings, resolve_lake(settings, lake, "ls"))
    return Listing(settings, found, broken)


def sql(settings: Settings, lake: Lake | None = None, *, query: str, limit: int | None = None) -> Answer:
    """Query the lake with DuckDB; filters and columns are pushed down into the Parquet files.

    Args:
        settings: the lake's address.
        lake: the lake; without it the one that the settings name.
        query: DuckDB SQL over the tables that `ls` names; `show tables` lists them.
        limit: maximum number of rows; by default all.

    Raises:
        UsageError: DuckDB refuses the query.
        StoreError: a table cannot be read.
    """
    lake = resolve_lake(settings, lake, "sql")
    found = duck.query(lake, query, production(settings, lake), short_names(settings), limit)
    return Answer(settings, found.columns, found.rows, found.more)


def export_sql(
    settings: Settings, lake: Lake | None = None, *, query: str, path: Path, format: str, limit: int | None = None
) -> int:
    """Write the rows of a query to a file, atomically; returns how many rows.

    Args:
        format: csv, json (one object a line) or parquet.
        limit: maximum number of rows; by default all.

    Raises:
        UsageError: DuckDB refuses the query, or its columns cannot be those of a file.
        StoreError: a table cannot be read, or the file not written.
    """
    lake = resolve_lake(settings, lake, "sql")
    return duck.export(lake, query, path, format, production(settings, lake), short_names(settings), limit)
