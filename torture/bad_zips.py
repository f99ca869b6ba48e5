"""Zips as an archive should not serve them: each function makes one of the CSV that it should have held."""

import bz2
import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Make = Callable[[str, bytes, Random], bytes]
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


@dataclass(frozen=True)
class Kind:
    """One kind; `loud` where it must be refused, else it may also be read as what it should have been."""

    name: str
    make: Make
    loud: bool = True


def packed(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """A zip of these members."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.comment = comment
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)
    return made.getvalue()


def _sound(stem: str, csv: bytes) -> bytes:
    return packed((f"{stem}.csv", csv))


def _flipped(stem: str, csv: bytes, random: Random) -> bytes:
    made = bytearray(_sound(stem, csv))
    for _ in range(random.randint(1, 3)):
        made[random.randrange(len(made))] ^= 1 << random.randrange(8)
    return bytes(made)


def _cut(stem: str, csv: bytes, random: Random) -> bytes:
    made = _sound(stem, csv)
    return made[: random.choice((0, 1, 4, 22, len(made) - 1, len(made) - 22, random.randrange(len(made))))]


def _zeroed(stem: str, csv: bytes, random: Random) -> bytes:
    made = _sound(stem, csv)
    begin = random.randrange(len(made))
    return made[:begin] + bytes(min(64, len(made) - begin)) + made[begin + 64 :]


def _bomb(stem: str, csv: bytes, random: Random) -> bytes:
    """Sixteen megabytes in sixteen kilobytes: zeros, or the same rows again and again."""
    size = 16 * 2**20
    return packed((f"{stem}.csv", random.choice((bytes(size), csv * (size // len(csv)), b"\n" * size, b"," * size))))


def _lying(stem: str, csv: bytes, random: Random) -> bytes:
    """Sizes or checksums in the local header, the central directory or both are not true."""
    bomb = random.random() < 0.5
    made = bytearray(packed((f"{stem}.csv", csv * 5_000)) if bomb else _sound(stem, csv))
    claim = random.choice((0, 1, len(csv) - 1, len(csv) + 1, len(csv), 2**31, 2**32 - 2, 2**32 - 1))
    places = [(made.find(_LOCAL) + 22, made.find(_CENTRAL) + 24), (made.find(_LOCAL) + 18, made.find(_CENTRAL) + 20)]
    for place in random.choice((places[0], places[0][1:], places[1], places[1][1:], (*places[0], *places[1]))):
        struct.pack_into("<I", made, place, claim)
    return bytes(made)


def _wrong_end(stem: str, csv: bytes, random: Random) -> bytes:
    """The end record lies about entries, the directory's size or its place."""
    made = bytearray(_sound(stem, csv))
    end = made.rfind(_END)
    place, kind = random.choice(((8, "<H"), (10, "<H"), (12, "<I"), (16, "<I"), (20, "<H")))
    struct.pack_into(kind, made, end + place, random.choice((0, 2, 255, 65_535)))
    return bytes(made)


def _member_flags(stem: str, csv: bytes, random: Random) -> bytes:
    """Encrypted, patched, or packed by another method, as the headers say."""
    made = bytearray(_sound(stem, csv))
    field, value = random.choice(((6, 0x1), (6, 0x20), (6, 0x41), (8, 1), (8, 6), (8, 9), (8, 99)))
    struct.pack_into("<H", made, made.find(_LOCAL) + field, value)
    struct.pack_into("<H", made, made.find(_CENTRAL) + field + 2, value)
    return bytes(made)


def _wrong_name(stem: str, csv: bytes, random: Random) -> bytes:
    name = f"{stem}.csv"
    return packed(
        (
            random.choice(
                (
                    f"../{name}",
                    f"../../../../tmp/{name}",
                    f"/{name}",
                    f"/etc/{name}",
                    f"C:\\{name}",
                    f"..\\{name}",
                    f"./{name}",
                    f"a/{name}",
                    name.upper(),
                    name.lower(),
                    f"{stem}.txt",
                    f"{name}/",
                    f"{name} ",
                    f"{name}.",
                    f" {name}",
                    f"{name}\n",
                    stem,
                    "x.csv",
                    f"{'x' * 300}.csv",
                    f"{stem[:-1]}9.csv",
                    f"%2e%2e/{name}",
                    f"{name}:stream",
                    "CON",
                    f"é{name}",
                    f"{name[:3]}\u202e{name[3:]}",
                )
            ),
            csv,
        )
    )


def _nul_name(stem: str, csv: bytes, random: Random) -> bytes:
    """A name that ends, for some readers, at its NUL."""
    name = f"{stem}.csv"
    made = packed((f"{name}@{random.choice(('evil', '../x', ''))}", csv))
    return made.replace(f"{name}@".encode(), f"{name}\0".encode())


def _members(stem: str, csv: bytes, random: Random) -> bytes:
    """None, or two, in either order."""
    name = f"{stem}.csv"
    other = (
        random.choice((name, "other.csv", f"{stem}/", "../evil.csv", "README.md")),
        random.choice((csv, b"", b"x")),
    )
    both = [(name, csv), other]
    random.shuffle(both)
    return random.choice((packed(), packed(*both), packed(*both), packed(*both, other)))


def _no_rows(stem: str, csv: bytes, random: Random) -> bytes:
    return packed(
        (
            f"{stem}.csv",
            random.choice(
                (b"", b"\n\n", b"\0" * 100, csv.split(b"\n")[0][:9], csv[:-40], b"\xff\xfe" + csv, csv[:9] * 99)
            ),
        )
    )


def _other_method(stem: str, csv: bytes, random: Random) -> bytes:
    return packed((f"{stem}.csv", csv), method=random.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))


def _no_zip(stem: str, csv: bytes, random: Random) -> bytes:
    return random.choice(
        (
            b"",
            csv,
            gzip.compress(csv),
            bz2.compress(csv),
            b"<html>404</html>",
            b"PK\x05\x06" + bytes(18),
            random.randbytes(999),
            _sound(stem, csv)[4:],
        )
    )


def _nested(stem: str, csv: bytes, random: Random) -> bytes:
    return packed((f"{stem}.csv", _sound(stem, csv)))


def _wrapped(stem: str, csv: bytes, random: Random) -> bytes:
    """A sound zip with something before or after it, or with a long comment: readers differ on these."""
    made = _sound(stem, csv)
    junk = random.randbytes(random.choice((1, 100, 60_000)))
    return random.choice((junk + made, made + junk, packed((f"{stem}.csv", csv), comment=junk), made + made))


def _stored(stem: str, csv: bytes, random: Random) -> bytes:
    return packed((f"{stem}.csv", csv), method=zipfile.ZIP_STORED)


KINDS = (
    Kind("flipped bits", _flipped, loud=False),
    Kind("cut off", _cut),
    Kind("zeros", _zeroed, loud=False),
    Kind("bomb", _bomb),
    Kind("lying sizes", _lying, loud=False),
    Kind("wrong end record", _wrong_end, loud=False),
    Kind("flags and methods", _member_flags),
    Kind("wrong name", _wrong_name),
    Kind("NUL in the name", _nul_name, loud=False),
    Kind("none or two members", _members),
    Kind("no rows", _no_rows),
    Kind("another method", _other_method),
    Kind("no zip", _no_zip),
    Kind("zip in a zip", _nested),
    Kind("wrapped", _wrapped, loud=False),
    Kind("stored, not packed", _stored, loud=False),
)
