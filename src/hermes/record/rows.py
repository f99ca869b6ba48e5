"""Reads the rows of the record's files, whatever their columns, and checks that they belong to the table."""

from collections.abc import Callable, Collection, Mapping, Sequence

import polars as pl

from hermes.errors import StoreError
from hermes.lake.batches import whole_batches
from hermes.lake.files import LakeFile
from hermes.lake.store import DAMAGE_CURE, Layer
from hermes.record import ledger
from hermes.record.verification import FILE

Make = Callable[[pl.DataFrame], pl.DataFrame]

_PIECE_ROWS = 20_000
_FROM_BACKUP = "take it from a backup"


class RowReader:
    """Reads files of one table of decisions.

    Args:
        name: of the table.
        of: column → the value that every row of the table has.
    """

    def __init__(self, gold: Layer, name: str, of: Mapping[str, str]) -> None:
        self._gold, self._name, self._of = gold, name, of

    def read(
        self,
        files: Sequence[LakeFile],
        symbols: Collection[str] | None,
        columns: Collection[str] | None,
        each: Make | None = None,
    ) -> pl.DataFrame:
        """The rows of these files, in their order, with the file of each row in a column `_file`.

        Args:
            symbols: only theirs; None means all.
            columns: only those of them that exist; None means all.
            each: applied to every piece of rows as it is read, so that the whole record is never in memory.

        Raises:
            StoreError: a file cannot be read, or is not part of this table.
        """
        try:
            parts = self._parts(files, symbols, columns, each)
        except StoreError as error:
            if error.cure == DAMAGE_CURE:  # of many files at once; each alone is named
                for file in files:
                    with self._gold.errors(file.location):
                        self._gold.scan([file]).collect()
            raise
        rows = (
            pl.concat([part for group in parts for part in group], how="diagonal_relaxed") if parts else pl.DataFrame()
        )
        if rows.is_empty():
            return rows
        ordered = [FILE, *ledger.in_order(name for name in rows.columns if name != FILE)]
        if len(parts) == 1:
            return rows.select(ordered)
        places = {file.location: number for number, file in enumerate(files)}
        place = pl.col(FILE).replace_strict(places, return_dtype=pl.Int64)
        return rows.select(ordered).sort(place, maintain_order=True)

    def _parts(
        self,
        files: Sequence[LakeFile],
        symbols: Collection[str] | None,
        columns: Collection[str] | None,
        each: Make | None,
    ) -> list[list[pl.DataFrame]]:
        """For each group of files of equal columns their rows, or of each piece of them what `each` makes."""
        groups: dict[tuple[tuple[str, pl.DataType], ...], list[LakeFile]] = {}
        for file, schema in zip(files, self._gold.schemas(files), strict=True):
            if alien := ledger.find_alien(schema):
                raise StoreError(f"{file.location} is not a file of the record: {alien}", _FROM_BACKUP)
            groups.setdefault(tuple(schema.items()), []).append(file)
        parts: list[list[pl.DataFrame]] = []
        with self._gold.errors():
            for kinds, group in groups.items():
                plan = self._gold.scan(group, include_file_paths=FILE)
                if symbols is not None:
                    plan = plan.filter(pl.col("symbol").is_in(list(symbols)) | pl.col("symbol").is_null())
                if columns is not None:
                    plan = plan.select(*(name for name, _ in kinds if name in columns), FILE)
                if each is None:
                    parts.append([self._own(plan.collect())])
                else:
                    pieces = whole_batches(plan, self._name, _PIECE_ROWS)
                    parts.append([each(self._own(piece)) for piece in pieces])
        return parts

    def _own(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`rows` themselves.

        Raises:
            StoreError: one lacks a value that every row of the record has, or is of another table.
        """
        present = {*rows.columns}
        strange = [
            (f"has no {name}", pl.col(name).is_null()) for name in ledger.ALWAYS & present if rows[name].has_nulls()
        ]
        strange += [
            (f"is of another {name}", pl.col(name) != value) for name, value in self._of.items() if name in present
        ]
        for what, where in strange:
            if files := rows.filter(where).head(1)[FILE].to_list():
                raise StoreError(f"{files[0]} is not a file of the record: a row of it {what}", _FROM_BACKUP)
        return rows
