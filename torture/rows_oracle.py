"""What must become of archive rows, in plain Python: written from the documented rules, sharing no code with Hermes."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

COLUMNS = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
WHOLE = frozenset({"open_time", "close_time", "count"})
PRICES = ("open", "high", "low", "close")
AMOUNTS = ("volume", "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume")
VALUES = PRICES + AMOUNTS
CONFLICTING = "conflicting duplicate"

_PLAIN = re.compile(r"-?\d{1,25}(\.\d{0,25})?([eE][+-]?\d{1,2})?")
_PLAIN_WHOLE = re.compile(r"-?\d{1,18}")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_WORDS = re.compile(r'[ \t"]*[A-Za-z][A-Za-z _"\t]*')


class Refused(Exception):
    """The whole file; `perhaps` where Hermes may also read it, as long as it reads the right values."""

    def __init__(self, why: str, *, perhaps: bool = False) -> None:
        super().__init__(why)
        self.perhaps = perhaps


@dataclass(frozen=True)
class Row:
    """One line: its number and its cells as numbers, None where empty; `odd` where a cell may as well be refused."""

    line: int
    cells: Mapping[str, float | int | None]
    odd: bool = False

    def __getitem__(self, name: str) -> float | int | None:
        return self.cells[name]


@dataclass(frozen=True)
class File:
    """An archive file: its stem, whether it is a daily one, and its period in seconds."""

    stem: str
    daily: bool
    begin: int
    end: int


@dataclass
class Sorted:
    """What must become of the rows of some files."""

    kept: dict[int, tuple[str, Row]] = field(default_factory=dict)  # by open time in microseconds
    rejected: list[tuple[str, int, str]] = field(default_factory=list)  # source, line, rule
    identical: int = 0
    superseded: int = 0  # monthly rows that a daily one stands in for
    conflicts: int = 0  # of those, the ones that differ
    faulty: list[str] = field(default_factory=list)  # files that lost too many bars


def read(data: bytes, file: File) -> list[Row]:
    """Rows of one file; raises Refused."""
    text = data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    if not text:
        raise Refused("empty")
    if any(byte > 127 for byte in text):
        raise Refused("not plain text")
    lines = [line.removesuffix("\r") for line in text.decode("ascii").split("\n")]
    if any(line.count(",") != len(COLUMNS) - 1 for line in lines):
        raise Refused("ragged")
    cells = lines[0].split(",")
    header = not re.search(r"\d", lines[0]) and any(_WORDS.fullmatch(cell) for cell in cells)
    if header and not _NOT_FINITE.search(lines[0]) and len(lines) == 1:
        raise Refused("only a header")
    rows = [_row(number, line.split(",")) for number, line in enumerate(lines, 1) if number > 1 or not header]
    times = [int(row["open_time"]) for row in rows if row["open_time"] is not None]
    if not times:
        raise Refused("no time at all")
    unit = 1_000 if max(times) < 10**14 else 1_000_000
    if (min(times) < 10**14) != (unit == 1_000):
        raise Refused("mixed units")
    first, last = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2017, datetime.now(UTC).year + 2))
    if min(times) < first * unit or max(times) >= last * unit:
        raise Refused("a year that cannot be")
    if not any(file.begin * unit <= time < file.end * unit for time in times):
        raise Refused("no row of its period")
    return rows


def _row(number: int, cells: Sequence[str]) -> Row:
    found: dict[str, float | int | None] = {}
    odd = False
    for name, cell in zip(COLUMNS, cells, strict=True):
        if name == "ignore":
            continue
        plain = _PLAIN_WHOLE if name in WHOLE else _PLAIN
        if not cell.strip(" \t"):
            found[name] = None
            odd |= cell != ""
        elif plain.fullmatch(cell):
            found[name] = int(cell) if name in WHOLE else float(cell)
        elif name not in WHOLE and _NOT_FINITE.fullmatch(cell):
            found[name] = float(cell)
            odd |= cell.lower() not in ("nan", "inf", "-inf")  # some spellings may be no number to a reader
        elif (number_there := _number(cell, name)) is not None:
            found[name] = number_there  # " 1", "+1", "1e300": to be refused, or read as what it says
            odd = True
        else:
            raise Refused(f"{cell!r} in {name}")
    return Row(number, found, odd)


def _number(cell: str, name: str) -> float | int | None:
    if "_" in cell:
        return None
    try:
        return int(cell) if name in WHOLE else float(cell)
    except ValueError:
        return None


def judge(files: Iterable[tuple[File, Sequence[Row]]], share: float) -> Sorted:
    """What must become of these rows; `share` of a file's rows (and at least one) may be bad bars."""
    made = Sorted()
    sound: dict[tuple[int, bool], list[tuple[str, Row]]] = defaultdict(list)
    lost: Counter[str] = Counter()
    heights = {}
    for file, rows in files:
        heights[file.stem] = len(rows)
        newest = max((int(row["open_time"]) for row in rows if row["open_time"] is not None), default=0)
        unit = 1_000 if newest < 10**14 else 1_000_000
        for row in rows:
            if rule := _broken(row, file, unit):
                made.rejected.append((file.stem, row.line, rule))
                lost[file.stem] += 1
            else:
                sound[int(row["open_time"]) * (1_000_000 // unit), file.daily].append((file.stem, row))
    alone = {}
    for (time, daily), group in sound.items():
        if len({tuple(row[name] for name in VALUES) for _, row in group}) > 1:
            made.rejected += [(stem, row.line, CONFLICTING) for stem, row in group]
            for stem in {stem for stem, _ in group}:
                lost[stem] += 1
        else:
            alone[time, daily] = group
            made.identical += len(group) - 1
    for (time, daily), group in alone.items():
        if not daily and (time, True) in alone:
            other = alone[time, True][0][1]
            made.superseded += 1
            made.conflicts += any(other[name] != group[0][1][name] for name in VALUES)
        else:
            made.kept[time] = group[0]
    made.rejected.sort()
    made.faulty = [stem for stem, bars in lost.items() if bars > max(1, share * heights[stem])]
    return made


def _broken(row: Row, file: File, unit: int) -> str | None:
    """The first rule that a row breaks."""
    numbers = [row[name] for name in VALUES]
    if None in numbers or row["open_time"] is None or row["close_time"] is None:
        return "missing value"
    if not all(math.isfinite(number) and abs(number) < 1e100 for number in numbers):
        return "not finite"
    if min(row[name] for name in PRICES) <= 0:
        return "price not above zero"
    if min(row[name] for name in AMOUNTS) < 0:
        return "negative volume"
    if row["high"] < max(row["open"], row["close"], row["low"]):
        return "high below the body"
    if row["low"] > min(row["open"], row["close"]):
        return "low above the body"
    if not file.begin * unit <= row["open_time"] < file.end * unit:
        return "outside the file's period"
    return None


def period(stem_day: str) -> tuple[int, int]:
    """Begin and end, in seconds, of `2024-11` or `2024-11-05`."""
    parts = [int(part) for part in stem_day.split("-")]
    begin = date(*parts, 1) if len(parts) == 2 else date(*parts)
    following = date(begin.year + begin.month // 12, begin.month % 12 + 1, 1) if len(parts) == 2 else None
    end = following or date.fromordinal(begin.toordinal() + 1)
    return tuple(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) for day in (begin, end))
