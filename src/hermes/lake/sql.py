"""SQL over the tables of the lake with DuckDB, and nothing else."""

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from hermes.errors import HermesError, StoreError, UsageError
from hermes.files import replacing
from hermes.lake import catalog
from hermes.lake.catalog import Choose, LakeTable
from hermes.lake.executions import Execution, read_executions
from hermes.lake.store import DAMAGE_CURE, Lake, Layer
from hermes.text import is_unicode, one_of

if TYPE_CHECKING:
    import duckdb

FORMATS = ("table", "csv", "json", "parquet")
NAMED = 5  # tables that an error names
BATCH_ROWS = 100_000  # written to a file at once
# A query reads the lake's tables and nothing else: no file, no network, no variable of this process.
_CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
}
_FROM_POLARS = "exporting a stream from the object registered as"  # how DuckDB begins what Polars told it
EXECUTIONS = "executions"  # the view of what every execution was made from
#: Its columns; `parameters` is JSON. Without a feature set only production's features were read.
_MADE_FROM = ("table_name", "execution", "strategy", "symbol", "generated_at", "parameters", "feature_set",
              "features_version", "features_columns", "hermes", "error")  # fmt: skip
_READ = "read_by_default"  # whether a query of its table reads this execution
_SHOW_TABLES = re.compile(r"\s*show\s+(all\s+)?tables\s*;?\s*", re.I)


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a query, with their column names; `more` if a limit cut them off."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    more: bool = False


def query(
    lake: Lake, sql: str, choose: Choose | None = None, strategy: str = catalog.DEFAULT, limit: int | None = None
) -> Answer:
    """Run SQL over the tables that it names; filters and columns are pushed down into the Parquet files.

    `executions` is no table of the lake, but what the footers of all executions say that they were made from.

    Args:
        choose: selects the execution of a table to read; by default the newest.
        strategy: its tables have the short names, if nothing is promoted.
        limit: maximum number of rows.

    Raises:
        UsageError: DuckDB refuses the query.
        MissingTable: from `choose`.
    """
    if _SHOW_TABLES.fullmatch(sql):
        known = catalog.tables(lake, strategy)
        rows: list[tuple[Any, ...]] = [(each.name, each.alias or None, each.layer, each.folder) for each in known]
        if any(each.executions for each in known):
            rows.append((EXECUTIONS, None, "gold", ""))
        return Answer(["name", "also", "layer", "folder"], rows)
    with _answered(lake, sql, choose, strategy) as found:
        columns = [column[0] for column in found.description or []]
        if limit is None:
            return Answer(columns, found.fetchall())
        some = found.fetchmany(limit + 1)
        return Answer(columns, some[:limit], more=len(some) > limit)


def export(
    lake: Lake,
    sql: str,
    path: Path,
    format: str,
    choose: Choose | None = None,
    strategy: str = catalog.DEFAULT,
    limit: int | None = None,
) -> int:
    """Run SQL and write all its rows to a file atomically, in batches.

    Args:
        format: csv, json (one object a line) or parquet.

    Returns:
        How many rows were written.

    Raises:
        UsageError: as `query`; or the columns cannot be those of a file.
        StoreError: the file cannot be written.
    """
    try:
        with replacing(path) as beside, _answered(lake, sql, choose, strategy) as found:
            names = [column[0] for column in found.description or []]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise UsageError(f"two columns are called {twice[0]!r}", "name one of them with AS")
            return _write(found, beside, format, limit)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}", "name another file with --out") from error


def _write(found: "duckdb.DuckDBPyConnection", path: Path, format: str, limit: int | None) -> int:
    import pyarrow.parquet as pq  # noqa: PLC0415 - only a file needs it

    with warnings.catch_warnings():  # of a copy of the rows that DuckDB 2.0 makes: in batches it costs little
        warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)
        reader = found.to_arrow_reader(BATCH_ROWS)
    assert reader is not None
    rows = 0
    with path.open("wb") as file:
        writer = pq.ParquetWriter(file, reader.schema, compression="snappy") if format == "parquet" else None
        if format == "csv":
            file.write(pl.from_arrow(reader.schema.empty_table()).write_csv().encode())  # type: ignore[union-attr]
        for each in reader:
            batch = each if limit is None else each.slice(0, max(0, limit - rows))
            if not batch.num_rows:
                continue
            rows += batch.num_rows
            if writer:
                writer.write_batch(batch)
                continue
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            text = frame.write_csv(include_header=False) if format == "csv" else frame.write_ndjson()
            file.write(text.encode())
        if writer:
            writer.close()
    return rows


@contextmanager
def _answered(lake: Lake, sql: str, choose: Choose | None, strategy: str) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Run a query in DuckDB; its errors, including those while reading rows, become Hermes' errors."""
    import duckdb  # noqa: PLC0415 - only SQL needs it

    if not is_unicode(sql):
        raise UsageError(f"{sql!a} is not Unicode text", "write the query in UTF-8")
    wanted = {name.lower() for name in re.findall(r"\w+", sql)}  # SQL names are the same in any case
    connection = duckdb.connect(config=_CLOSED)
    known = catalog.tables(lake, strategy)
    try:
        for table in known:
            for name in {table.name, table.alias} - {""}:
                if name.lower() in wanted:
                    connection.register(name, _readable(lake, table, choose))
        if EXECUTIONS in wanted:
            connection.register(EXECUTIONS, _executions(lake, known, choose))
        found = connection.execute(sql)
        if found is None:
            raise UsageError(f"{sql!r} holds no SQL statement", "write one like 'select count(*) from …'")
        yield found
    except duckdb.CatalogException as error:
        raise UsageError(str(error).splitlines()[0], _near(str(error), known)) from None
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        if _FROM_POLARS in first:
            raise StoreError(f"a file cannot be read: {first.partition(_FROM_POLARS)[2]}", DAMAGE_CURE) from error
        raise UsageError(first, "see duckdb.org/docs/sql for the dialect") from None
    finally:
        connection.close()


def _near(error: str, known: Sequence[LakeTable]) -> str:
    """Similar names to a missing one."""
    names = sorted({each.alias or each.name for each in known} | {each.name for each in known})
    if not names:
        return "the lake has no tables yet: run `hermes demo` or `hermes run SYMBOL`"
    if len(names) <= NAMED:
        return f"the lake's tables are {', '.join(names)}"
    asked = re.search(r"name (\S+?) does not exist", error)
    near = get_close_matches(asked[1], names, n=NAMED, cutoff=0.5) if asked else []
    listed = "`hermes sql 'show tables'` lists all tables"
    return f"did you mean {' or '.join(near)}? {listed}" if near else listed


def _executions(lake: Lake, known: Sequence[LakeTable], choose: Choose | None) -> pl.DataFrame:
    """What every execution was made from, oldest first in each table; `error` where its footer cannot be read."""
    rows = []
    for table in known:
        if table.executions:
            read = _read_by_default(lake, table, choose)
            found = read_executions(lake.gold, table.files)
            rows += [(*_made_from(table, each), each.name == read) for each in found]
    return pl.DataFrame(rows, schema={**dict.fromkeys(_MADE_FROM, pl.String), _READ: pl.Boolean}, orient="row")


def _read_by_default(lake: Lake, table: LakeTable, choose: Choose | None) -> str | None:
    """The execution that a query of the table reads; None if it would be refused."""
    try:
        chosen = catalog.chosen(lake, table, choose)
    except HermesError:
        return None
    return chosen.name if chosen else None


def _made_from(table: LakeTable, execution: Execution) -> list[str | None]:
    about = execution.lineage
    trial = about["trial"] if isinstance(about.get("trial"), Mapping) else {}  # another tool may call anything so
    values: list[Any] = [
        table.name,
        execution.name,
        table.strategy,
        table.dataset and table.dataset.symbol,
        about.get("generated_at"),
        json.dumps(about["parameters"], default=str) if "parameters" in about else None,
        about.get("feature_set"),
        trial.get("version"),
        ", ".join(map(str, trial.get("columns") or ())) or None,
        about.get("hermes"),
        execution.error and execution.error.message,
    ]
    return [None if value is None else str(value) for value in values]


def _readable(lake: Lake, table: LakeTable, choose: Choose | None) -> pl.LazyFrame:
    """The table's plan, with its schema known to be readable: DuckDB would say it in words of its own."""
    layer: Layer = getattr(lake, table.layer)
    chosen = catalog.chosen(lake, table, choose)
    with layer.errors():
        plan = catalog.scan(lake, table, chosen)
        plan.collect_schema()
        return plan


def check_format(format: str | None, path: Path | None) -> str:
    """The format that was asked for, by its name or by the ending of a file's.

    Raises:
        UsageError: there is no such format, or it is none for what it is to be written to.
    """
    known = format or (path.suffix.lstrip(".").lower() if path else "table")
    if known not in FORMATS or (path and known == "table"):
        what = f"a format of files like {path.name}" if path else "a format"
        raise UsageError(f"{known!r} is not {what}", f"give --format {one_of(FORMATS[1:] if path else FORMATS)}")
    if known == "parquet" and path is None:
        raise UsageError("--format parquet goes to a file", "add --out FILE")
    return known
