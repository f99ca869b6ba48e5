"""A feature table of any length → signals, chunk by chunk, with nothing lost between two chunks.

Only two things cross a boundary: the last `context_rows` rows, and the position held. So the rows are the same
for any chunk size, any split into files and any number of threads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import chain, repeat
from typing import IO, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from hermes.errors import UsageError
from hermes.schemas import ARROW_SCHEMA
from hermes.stages.signals.plan import signals
from hermes.strategies.base import Strategy

ROW_GROUP_ROWS = 100_000  # of the file that is written, whatever the chunk size


def pieces(frames: Iterable[pl.DataFrame], sizes: Iterator[int]) -> Iterator[pl.DataFrame]:
    """Divide the same rows into pieces of exactly the given sizes; the last may be shorter."""
    size = next(sizes)
    held: list[pl.DataFrame] = []
    height = 0
    for frame in frames:
        rest = frame
        while height + rest.height >= size:
            held.append(rest.head(size - height))
            rest = rest.slice(size - height)
            yield pl.concat(held)
            held, height, size = [], 0, next(sizes)
        if rest.height:
            held.append(rest)
            height += rest.height
    if held:
        yield pl.concat(held)


def signal_chunks(
    rows: pl.LazyFrame, strategy: Strategy, *, chunk_rows: int, context_rows: int, seen: int = 0
) -> Iterator[pl.DataFrame]:
    """Signals of a feature table, one frame per chunk of `chunk_rows` rows (the last may be shorter).

    Args:
        rows: the table in time order, columns of `plan.input_schema`.
        strategy: its rules are applied; the position starts flat.
        chunk_rows: rows per chunk, at least 1.
        context_rows: rows before a chunk that the rules can look back at.
        seen: number of leading rows that are only context.

    Raises:
        UsageError: `context_rows` is less than the strategy looks back.
    """
    check_context(strategy, context_rows)

    read = rows.collect_batches(chunk_size=ROW_GROUP_ROWS, maintain_order=True, engine="streaming")
    cut = pieces(read, chain([seen] if seen else [], repeat(chunk_rows)))
    context = next(cut, None) if seen else None
    position = 0
    for piece in cut:
        # In one piece: rules that shift a column in several would copy both sides of each comparison.
        window = piece.rechunk() if context is None else pl.concat([context, piece], rechunk=True)
        judged = signals(window, strategy, window.height - piece.height, position)
        position = judged["position"][-1]
        context = window.tail(context_rows)
        yield judged


def check_context(strategy: Strategy, context_rows: int) -> None:
    """Refuse a context shorter than the strategy's look-back."""
    if context_rows < strategy.look_back:
        raise UsageError(
            f"context_rows = {context_rows} is less than the {strategy.look_back} bars that {strategy.name} looks back",
            f"set signals.context_rows to {strategy.look_back} or more",
        )


def write_signals(
    given: pl.LazyFrame,
    made: Iterable[pl.DataFrame],
    schema: dict[str, pl.DataType],
    file: IO[bytes],
    metadata: Callable[[], dict[str, str]],
) -> None:
    """Stream rows into one Parquet file (snappy), row groups of a fixed size.

    Args:
        given: the columns of `schema` that Polars copies from file to file unchanged.
        made: the other columns of the same rows, one frame after the other; numbers are brought to the schema's types,
            a text may come as an enum, and is read back as text.
        file: written from its start to its end.
        metadata: called for the footer's entries after the last row.

    An error raised while the frames are made is raised here as it was.
    """
    iterator = iter(made)
    first = next(iterator)
    failures: list[BaseException] = []

    def source(*_: object) -> Iterator[pl.DataFrame]:
        try:
            yield from chain([first], iterator)
        except GeneratorExit:  # Polars wants no more frames: why, is the error that it raises itself
            raise
        except BaseException as error:
            failures.append(error)
            raise

    rows = pl.concat([given, register_io_source(source, schema=first.schema)], how="horizontal")
    columns = (pl.col(name) if dtype == pl.String else pl.col(name).cast(dtype) for name, dtype in schema.items())
    try:
        rows.select(columns).sink_parquet(
            file,
            compression="snappy",
            row_group_size=ROW_GROUP_ROWS,
            metadata=lambda _: {ARROW_SCHEMA: _arrow_schema(schema), **metadata()},
            engine="streaming",
        )
    except BaseException as error:
        raise (failures[0] if failures else error) from None


def _arrow_schema(schema: Mapping[str, pl.DataType]) -> str:
    """The Arrow schema that Polars would write into the footer of a file with these columns."""
    empty = BytesIO()
    pl.DataFrame(schema=schema).write_parquet(empty)
    return pl.read_parquet_metadata(empty.getvalue())[ARROW_SCHEMA]


#: Days or months (numpy's datetime64), from the first to the last one, and how many rows each has.
Calendar = tuple[NDArray[np.datetime64], NDArray[np.intp]]


class Decisions:
    """The signals, conditions and position of every row, one bit each, so that those of any table fit into memory.

    Args:
        columns: names of the signals and conditions.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        position = pl.col("position")  # a byte where it may be -1
        self._bits = [*columns, position if "short_signal" in columns else position.cast(pl.Boolean)]
        self._frames: list[tuple[pl.DataFrame, Calendar]] = []

    def add(self, judged: pl.DataFrame) -> None:
        """Add the next frame, in order of time."""
        self._frames.append((judged.select(self._bits).rechunk(), calendar(judged["datetime"], "M")))

    def stamped(self, same: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The frames again, with the calendar columns, and `same`, the one row of constant columns, on every row.

        Numbers come in the smallest types that hold them, as Polars fetches frames well ahead of what it has written.
        """
        most = max(bits.height for bits, _ in self._frames)
        repeated = same.select(pl.all().repeat_by(most).explode())
        for bits, (months, rows) in self._frames:
            since_1970 = months.astype(np.int64)
            year = pl.Series("year", np.repeat((1970 + since_1970 // 12).astype(np.int16), rows))
            month = pl.Series("month", np.repeat((1 + since_1970 % 12).astype(np.int8), rows))
            yield bits.hstack([year, month, *repeated.head(bits.height)])


def calendar(times: pl.Series, unit: Literal["D", "M"]) -> Calendar:
    """The days or months of ascending times: looked up one by one, as row by row they cost more than all the rules."""
    ticks = times.to_numpy()
    first, last = ticks[[0, -1]].astype(f"datetime64[{unit}]")
    periods = np.arange(first, last + 1)
    return periods, np.diff(np.searchsorted(ticks, periods.astype(ticks.dtype)), append=len(ticks))
