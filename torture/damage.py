"""Ways in which a published Parquet file can go bad. Each takes its path and a random generator, and changes it."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import polars as pl

from hermes.lake.store import FOOTER

Change = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Damage:
    """One way: `change` makes bytes of bytes.

    Attributes:
        loud: whether every read that the damage can reach must say so; what only a hash can see is not loud.
    """

    name: str
    change: Change
    loud: bool


def flipped(data: bytes, random: Random) -> bytes:
    """One to four bits, anywhere."""
    made = bytearray(data)
    for _ in range(random.randint(1, 4)):
        made[random.randrange(len(made))] ^= 1 << random.randrange(8)
    return bytes(made) if bytes(made) != data else flipped(data, random)


def flipped_footer(data: bytes, random: Random) -> bytes:
    """One to four bits in the last part of the file, where schema, offsets and sizes stand."""
    body = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return data[:body] + flipped(data[body:], random)


def zeroed(data: bytes, random: Random) -> bytes:
    """A run of zeros, as a lost sector leaves it."""
    begin = random.randrange(len(data) - 8)
    end = min(len(data), begin + random.choice((16, 512, 4096)))
    made = data[:begin] + bytes(end - begin) + data[end:]
    return made if made != data else zeroed(data, random)


def cut(data: bytes, random: Random) -> bytes:
    """The end is missing, or all of it."""
    return data[: random.choice((0, 3, 4, 8, 12, len(data) - 1, len(data) - 8, random.randrange(len(data))))]


def beheaded(data: bytes, random: Random) -> bytes:
    """The beginning is missing: the footer is whole, every offset in it is wrong."""
    return data[random.randrange(1, len(data) - 12) :]


def broken_footer(data: bytes, random: Random) -> bytes:
    """The footer is noise, lies about its length, or has lost its magic."""
    body = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    length = random.choice((0, 1, 7, len(data), 2**31 - 1, 2**31, 2**32 - 1, random.getrandbits(32)))
    return random.choice(
        (
            data[:body] + random.randbytes(len(data) - 8 - body) + data[-8:],
            data[:-8] + length.to_bytes(4, "little") + data[-4:],
            data[:-4] + random.choice((b"PAR2", b"PARE", b"\0\0\0\0", b"par1")),
        )
    )


def foreign(data: bytes, random: Random) -> bytes:
    """Something else altogether, as a proxy or a person leaves it."""
    return random.choice(
        (
            b"<html><body>503 Service Unavailable</body></html>",
            b"PAR1" + random.randbytes(len(data) - 8) + b"PAR1",
            b"PAR1PAR1",
            random.randbytes(len(data)),
            b"datetime,open\n2024-01-01,1\n",
            bytes(len(data)),
        )
    )


def without_column(data: bytes, random: Random) -> bytes:
    """One column is gone."""
    frame, about = _read(data)
    return _written(frame.drop(random.choice(frame.columns)), about)


def mistyped(data: bytes, random: Random) -> bytes:
    """One column holds values of another kind."""
    frame, about = _read(data)
    name = random.choice(frame.columns)
    column = frame[name]
    text = column.cast(pl.String)
    kinds = [
        text.str.slice(0, 3) if column.dtype == pl.String else text,
        pl.Series(name, [[1]] * len(column)),
        pl.Series(name, [{"a": 1}] * len(column)),
        pl.Series(name, [b"\x00\xff"] * len(column)),
    ]
    if column.dtype != pl.Boolean:
        kinds.append(pl.Series(name, [True] * len(column)))
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        kinds.append(pl.Series(name, [None] * len(column), pl.Date))
    else:
        kinds.append(pl.Series(name, [1.5] * len(column)))
    changed = random.choice([kind for kind in kinds if kind.dtype != column.dtype])
    return _written(frame.with_columns(changed.alias(name)), about)


def with_column(data: bytes, random: Random) -> bytes:
    """One column more than the contract has, in any place."""
    frame, about = _read(data)
    extra = random.choice((pl.Series("note", ["x"] * len(frame)), pl.Series("close2", [1.0] * len(frame))))
    return _written(frame.insert_column(random.randint(0, frame.width), extra), about)


def other_rows(data: bytes, random: Random) -> bytes:
    """A sound file whose rows are not those that were published: some gone, some twice, or one value another."""
    frame, about = _read(data)
    row = random.randrange(len(frame))
    name = random.choice([name for name, dtype in frame.schema.items() if dtype.is_float()])
    other = pl.when(pl.int_range(pl.len()) == row).then(12345.678).otherwise(pl.col(name))
    made = random.choice(
        (
            frame.head(row),
            pl.concat([frame, frame.slice(row, 1)]),
            frame.reverse(),
            frame.with_columns(other.alias(name)),
        )
    )
    return _written(made, about)


KINDS = (
    Damage("flipped bits", flipped, loud=False),
    Damage("flipped bits in the footer", flipped_footer, loud=False),
    Damage("a run of zeros", zeroed, loud=False),
    Damage("other rows", other_rows, loud=False),
    Damage("extra column", with_column, loud=False),
    Damage("cut off", cut, loud=True),
    Damage("beheaded", beheaded, loud=True),
    Damage("broken footer", broken_footer, loud=True),
    Damage("another file", foreign, loud=True),
    Damage("missing column", without_column, loud=True),
    Damage("mistyped column", mistyped, loud=True),
)


def spoil(path: Path, damage: Damage, random: Random) -> None:
    """Put damaged bytes in the file's place, in a file of their own: the old one may be linked elsewhere."""
    data = damage.change(path.read_bytes(), random)
    path.unlink()
    path.write_bytes(data)


def _read(data: bytes) -> tuple[pl.DataFrame, str]:
    return pl.read_parquet(io.BytesIO(data)), pl.read_parquet_metadata(io.BytesIO(data))[FOOTER]


def _written(frame: pl.DataFrame, about: str) -> bytes:
    made = io.BytesIO()
    frame.write_parquet(made, metadata={FOOTER: about})
    return made.getvalue()
