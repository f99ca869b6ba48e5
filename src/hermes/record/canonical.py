"""The canonical text of the record's rows, which is hashed; `docs/record-format.md` specifies it."""

from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256

import polars as pl
import polars.selectors as cs

from hermes.errors import TableRefused


def canonical(rows: pl.DataFrame) -> pl.DataFrame:
    """Every value as canonical text; null stays null.

    Floats are the shortest decimals that read back as the same float, without an exponent and without `.0`.
    """
    written = rows.with_columns(
        cs.datetime().dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        cs.float().cast(pl.String).str.strip_suffix(".0"),  # has an exponent where that is shorter
        (~cs.datetime() - cs.float() - cs.string()).cast(pl.String),  # a Boolean is true or false
    )
    floats = [name for name, kind in rows.schema.items() if kind.is_float()]
    if not floats:
        return written
    has_exponent = written.select(pl.col(floats).str.contains("e", literal=True).any())
    for name in floats:
        if has_exponent[name][0]:
            plain = pl.Series(name, [_plain(text) for text in written[name]], pl.String)
            written.replace_column(written.get_column_index(name), plain)
    return written


def texts(written: pl.DataFrame, groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """For each group of columns the text of each row: one line per value, sorted by name."""
    made = []
    for number, names in enumerate(groups):
        pieces: list[pl.Expr] = []
        literal = ""  # what stands between the last value and the next one
        for name in sorted(names):
            value, label = pl.col(name), f"{name}="
            # In one flat row of few pieces where it can be: nested ones take three times as long.
            if written[name].null_count():
                pieces += [pl.lit(literal), pl.concat_str(pl.lit(label), value, pl.lit("\n"))]
                literal = ""
            else:
                pieces += [pl.lit(literal + label), value]
                literal = "\n"
        text = pl.concat_str(*pieces, pl.lit(literal), ignore_nulls=True)
        made.append(text.alias(str(number)))
    return [column.to_list() for column in written.select(made)]


def digest(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


def check_values(rows: pl.DataFrame) -> None:
    """Refuse values without a canonical text."""
    for name in rows.columns:
        if any(sign in name for sign in "=\n\r"):
            raise TableRefused(f"a column is called {name!r}", "a record needs names without '=' and line ends")
    floats = [name for name, kind in rows.schema.items() if kind.is_float()]
    strings = [name for name, kind in rows.schema.items() if kind == pl.String]
    found = rows.select(pl.col(floats).is_finite().not_().any(), pl.col(strings).str.contains(r"^$|[\r\n]").any())
    for name in (name for name in found.columns if found[name][0]):
        raise TableRefused(
            f"{name} of {rows['symbol'][0]} has a value that a record cannot hold",
            "numbers must be finite, texts must be one line and not empty",
        )


def _plain(text: str | None) -> str | None:
    """A decimal without its exponent."""
    return format(Decimal(text), "f") if text and "e" in text else text
