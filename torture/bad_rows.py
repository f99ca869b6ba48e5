"""CSV files as an archive should not serve them: a month and some of its days, with rows and text gone wrong."""

from collections.abc import Callable
from datetime import date
from random import Random

from torture import rows_oracle as oracle

_HEADER = ",".join(oracle.COLUMNS)
_DAY_S = 86_400
MONTHS = ("2024-02", "2024-11", "2024-12", "2025-01")

Cells = list[str]
Lines = list[Cells]


def archive(random: Random, month: str, step: int) -> list[tuple[str, str, bytes]]:
    """Frequency, month or day, and CSV of one monthly file and up to three daily ones."""
    begin, end = oracle.period(month)
    unit = random.choice((1_000, 1_000_000))
    bars = random.randint(1, 40)
    start = begin + random.randrange(max(1, (end - begin) // step - bars)) * step
    rows = {time: _bar(random, time, step, unit) for time in range(start, min(end, start + bars * step), step)}
    made = [("monthly", month, _spoiled(random, [[*row] for row in rows.values()], unit))]
    days = sorted({time // _DAY_S for time in rows})
    for day in random.sample(days, min(len(days), random.choice((0, 0, 1, 3)))):
        lines = []
        for time, row in rows.items():
            if time // _DAY_S == day:
                differs = random.random() < 0.2
                lines.append([*_bar(random, time, step, unit)] if differs else [*row])
        stamp = date.fromordinal(date(1970, 1, 1).toordinal() + day).isoformat()
        made.append(("daily", stamp, _spoiled(random, lines, unit)))
    return made


def _bar(random: Random, time: int, step: int, unit: int) -> Cells:
    open_, close = (random.uniform(1, 70_000) for _ in range(2))
    high, low = max(open_, close) * random.uniform(1, 1.1), min(open_, close) * random.uniform(0.9, 1)
    volume = random.choice((0.0, random.uniform(0, 1e6)))
    numbers = (
        time * unit,
        open_,
        high,
        low,
        close,
        volume,
        (time + step) * unit - 1,
        volume * close,
        random.randrange(10**6),
        volume / 2,
        volume * close / 2,
    )
    return [*(str(number) if isinstance(number, int) else f"{number:.8f}" for number in numbers), "0"]


def _spoiled(random: Random, lines: Lines, unit: int) -> bytes:
    """The rows after zero to four things went wrong with them, and with the text."""
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 4))):
        random.choice(_ROWS)(random, lines, unit)
    if random.random() < 0.06:
        _ragged(random, lines)
    newline = random.choice(("\n", "\n", "\n", "\r\n"))
    text = newline.join(",".join(cells) for cells in lines)
    text += random.choice(("", newline, newline * 2))
    if random.random() < 0.3:
        text = (
            random.choice((_HEADER, _HEADER.upper(), _HEADER.replace("_", " ").title(), f'"{_HEADER}"'))
            + newline
            + text
        )
    if random.random() < 0.12:
        return random.choice(_TEXTS)(random, text)
    return text.encode()


def _set(random: Random, lines: Lines, column: int, value: str) -> None:
    random.choice(lines)[column] = value


_NUMBERS = (
    "NaN",
    "nan",
    "inf",
    "-inf",
    "Infinity",
    "+inf",
    "-1",
    "0",
    "-0.0",
    "0.00000000",
    "1e-300",
    "1e99",
    "1e100",
    "1e308",
    "-1e101",
    "1e400",
    "",
    "",
    " ",
    "\t ",
    "null",
    "None",
    "N/A",
    "1,5",
    "1.5.1",
    "0x10",
    "1_000",
    "+5",
    " 5",
    "5 ",
    "--1",
    "abc",
    '"5"',
    "1e",
    "e5",
    ".",
    "-",
    "5.",
    ".5",
    "1d",
    "1f",
    "٣",
    "99999999999999999999999999",
    "1;2",
    "\x00",
)


def _odd_cell(random: Random, lines: Lines, _: int) -> None:
    _set(random, lines, random.randrange(12), random.choice(_NUMBERS))


def _bad_number(random: Random, lines: Lines, _: int) -> None:
    """A number that a reader takes and a rule refuses."""
    _set(
        random,
        lines,
        random.choice((1, 2, 3, 4, 5, 7, 9, 10)),
        random.choice(("NaN", "inf", "-inf", "-1", "0", "-0.5", "1e200", "")),
    )


def _odd_time(random: Random, lines: Lines, unit: int) -> None:
    time = random.choice(
        (
            0,
            -1,
            1_000,
            946_684_800 * unit,
            4_102_444_800 * unit,
            1_500_000_000 * unit,
            1_730_000_000 * unit,
            1_735_689_600 * unit,
            2**63 - 1,
            2**63,
            10**14,
            10**14 - 1,
        )
    )
    _set(random, lines, random.choice((0, 0, 0, 6)), str(time))


def _other_unit(random: Random, lines: Lines, unit: int) -> None:
    """One row, or all from one on, in the other unit: the file mixes them."""
    at = random.randrange(len(lines))
    for cells in lines[at : random.choice((at + 1, len(lines)))]:
        for column in (0, 6):
            if cells[column].lstrip("-").isdigit():
                cells[column] = cells[column] + "000" if unit == 1_000 else cells[column][:-3]


def _outside(random: Random, lines: Lines, unit: int) -> None:
    """A row of a month or two before or after."""
    cells = random.choice(lines)
    if cells[0].lstrip("-").isdigit():
        cells[0] = str(int(cells[0]) + random.choice((-62, -31, 31, 62)) * _DAY_S * unit)


def _repeated(random: Random, lines: Lines, _: int) -> None:
    """A row once or twice more, right after it or anywhere."""
    cells = random.choice(lines)
    for _again in range(random.choice((1, 1, 2))):
        lines.insert(random.choice((lines.index(cells) + 1, random.randint(0, len(lines)))), [*cells])


def _contradicted(random: Random, lines: Lines, _: int) -> None:
    """A row again with one other cell: a value, or one that does not matter."""
    cells = [*random.choice(lines)]
    column = random.choice((5, 7, 9, 10, 6, 11))
    cells[column] = str(int(random.uniform(1, 1e6)))
    lines.insert(random.randint(0, len(lines)), cells)


def _disordered(random: Random, lines: Lines, _: int) -> None:
    random.choice((random.shuffle, list.reverse))(lines)


def _twisted(random: Random, lines: Lines, _: int) -> None:
    """High and low change places, or a wick ends inside the body."""
    cells = random.choice(lines)
    one, other = random.choice(((2, 3), (2, 1), (3, 4), (1, 2)))
    cells[one], cells[other] = cells[other], cells[one]


def _ragged(random: Random, lines: Lines) -> None:
    """A line with a cell too few or too many, or an empty one."""
    cells = random.choice(lines)
    random.choice((cells.pop, cells.clear, lambda: cells.append("0"), lambda: cells.pop(0)))()


_ROWS: tuple[Callable[[Random, Lines, int], None], ...] = (
    _odd_cell,
    _odd_cell,
    _bad_number,
    _bad_number,
    _odd_time,
    _other_unit,
    _outside,
    _repeated,
    _repeated,
    _contradicted,
    _contradicted,
    _disordered,
    _twisted,
)

_TEXTS: tuple[Callable[[Random, str], bytes], ...] = (
    lambda _, text: b"\xef\xbb\xbf" + text.encode(),
    lambda _, text: text.encode("utf-16"),
    lambda _, text: text.replace("\n", "\r").encode(),
    lambda random, text: text.encode()[: random.randrange(len(text.encode()) + 1)],
    lambda _, text: ("# a comment\n" + text).encode(),
    lambda _, text: text.replace(",", ";").encode(),
    lambda _, text: "".join(f'"{cell}"' if cell not in ",\n\r" else cell for cell in text).encode(),
    lambda _, text: ("\n" + text).encode(),
    lambda random, text: _with_byte(random, text.encode()),
    lambda _, text: b"",
    lambda _, text: (_HEADER + "\n" + text).encode(),
)


def _with_byte(random: Random, data: bytes) -> bytes:
    """One more byte anywhere."""
    at = random.randint(0, len(data))
    return data[:at] + random.choice((b"\x00", b"\n", b"\r", b"\xff", b" ", b",", b'"', b"\x1a")) + data[at:]
