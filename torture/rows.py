"""Archive rows as they should not be: bronze and silver must do with each what an oracle in plain Python says."""

import io
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from random import Random
from unittest.mock import patch

from torture import rows_oracle as oracle

NAME = "rows"
ABOUT = (
    "CSV rows with NaN, infinities, negatives, empty cells, duplicates, disorder, mixed units, ragged lines, quotes, byte-order marks; "
    "each is kept, rejected with its rule, or its file refused, as an oracle in plain Python says, and rows in = rows accounted for"
)
FULL, SAMPLE = 5_000, 150

_HEADER = ",".join(oracle.COLUMNS)
_DAY_S = 86_400
_MONTHS = ("2024-02", "2024-11", "2024-12", "2025-01")

Cells = list[str]
Lines = list[Cells]


def case(seed: int, folder: Path) -> int:
    """One month with zero to three of its days: every row accounted for."""
    from hermes.bronze.klines import read_zip
    from hermes.errors import KlinesRefused, QualityFault
    from hermes.lake.dataset import Dataset
    from hermes.silver import clean as cleaning

    random = Random(seed)
    interval = random.choice(("1h", "4h", "12h", "1d"))
    month = random.choice(_MONTHS)
    series = {
        frequency: Dataset(symbol="SIMUSDT", interval=interval, data_frequency=frequency)
        for frequency in ("monthly", "daily")
    }
    given, expected = [], []
    for frequency, day, data in _archive(random, month, series["monthly"].interval_seconds):
        first = date(*map(int, f"{day}-01".split("-")[:3]))
        dataset = series[frequency]
        file = oracle.File(dataset.archive_stem(first), frequency == "daily", *oracle.period(day))
        try:
            rows, why, perhaps = oracle.read(data, file), "", False
            perhaps = any(row.odd for row in rows)
        except oracle.Refused as error:
            rows, why, perhaps = [], str(error), error.perhaps
        try:
            frame = read_zip(_zipped(file.stem, data), dataset, first)
        except KlinesRefused as error:
            assert why or perhaps, f"{file.stem} is refused without need: {error}\n{data[:2000]!r}"
            continue
        assert not why, f"{file.stem} is read, although it is to be refused: {why}\n{data[:2000]!r}"
        _same_values(frame, rows, data)
        given.append((cleaning.SourceFile(file.stem, frequency, first), frame))
        expected.append((file, rows))
    if not given:
        return 1
    share = random.choice((0.001, 0.2, 1.0))
    said = oracle.judge(expected, share)
    with patch.object(cleaning, "TOLERATED_SHARE", share):
        try:
            made = cleaning.clean(given, series["monthly"])
        except QualityFault as error:
            assert said.faulty, f"no file lost too many bars, yet: {error}"
            assert any(str(error).startswith(f"{stem}:") for stem in said.faulty), f"{error}, not {said.faulty}"
            return 1
    assert not said.faulty, f"{said.faulty} lost too many bars, and passed"
    _compare(made, said, sum(len(rows) for _, rows in expected))
    return 1


def _compare(made, said: oracle.Sorted, rows_in: int) -> None:
    """What clean made is what the oracle says, and every row is accounted for."""
    rejected = [*made.rejects.select("source", "line", "rule").iter_rows()]
    assert rejected == said.rejected, f"rejected {rejected}, the oracle {said.rejected}"
    assert sum(made.tally.rejected.values()) == len(rejected)
    assert made.tally.identical_duplicates == said.identical, f"{made.tally}, the oracle {said.identical}"
    assert made.tally.conflicts == said.conflicts, f"{made.tally}, the oracle {said.conflicts}"
    names = (
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "count",
        "taker_buy_volume",
        "taker_buy_quote_volume",
    )
    kept = [
        (row["datetime"], row["source"], *(row[name] for name in names))
        for row in made.rows.cast({"datetime": int}).to_dicts()
    ]
    wanted = [(time, stem, *(row[name] for name in names)) for time, (stem, row) in sorted(said.kept.items())]
    assert kept == wanted, f"kept {kept}, the oracle {wanted}"
    assert made.rows["zero_volume"].to_list() == [row[6] == 0 for row in wanted]
    accounted = len(kept) + len(rejected) + made.tally.identical_duplicates + said.superseded
    assert rows_in == accounted, f"{rows_in} rows went in, {accounted} are accounted for"


def _same_values(frame, rows: list[oracle.Row], data: bytes) -> None:
    """Bronze holds the numbers of the text, every one."""
    found = [{name: value for name, value in row.items() if name != "ignore"} for row in frame.to_dicts()]
    wanted = [{"line": row.line, **row.cells} for row in rows]
    same = len(found) == len(wanted) and all(
        repr(one[name]) == repr(other[name]) for one, other in zip(found, wanted, strict=True) for name in other
    )
    assert same, f"bronze {found}, the oracle {wanted}\n{data[:2000]!r}"


# --- what the archive serves -----------------------------------------------------------------------------------------


def _archive(random: Random, month: str, step: int) -> list[tuple[str, str, bytes]]:
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
    numbers = (time * unit, open_, high, low, close, volume, (time + step) * unit - 1, volume * close, random.randrange(10**6),
               volume / 2, volume * close / 2)  # fmt: skip
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


_NUMBERS = ("NaN", "nan", "inf", "-inf", "Infinity", "+inf", "-1", "0", "-0.0", "0.00000000", "1e-300", "1e99", "1e100", "1e308",
            "-1e101", "1e400", "", "", " ", "\t ", "null", "None", "N/A", "1,5", "1.5.1", "0x10", "1_000", "+5", " 5", "5 ", "--1",
            "abc", '"5"', "1e", "e5", ".", "-", "5.", ".5", "1d", "1f", "٣", "99999999999999999999999999", "1;2", "\x00")  # fmt: skip


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
    time = random.choice((0, -1, 1_000, 946_684_800 * unit, 4_102_444_800 * unit, 1_500_000_000 * unit, 1_730_000_000 * unit,
                          1_735_689_600 * unit, 2**63 - 1, 2**63, 10**14, 10**14 - 1))  # fmt: skip
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
    random.choice((lambda: cells.pop(), lambda: cells.append("0"), lambda: cells.pop(0), lambda: cells.clear()))()


_ROWS: tuple[Callable[[Random, Lines, int], None], ...] = (
    _odd_cell, _odd_cell, _bad_number, _bad_number, _odd_time, _other_unit, _outside, _repeated, _repeated, _contradicted, _contradicted,
    _disordered, _twisted,
)  # fmt: skip

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
)  # fmt: skip


def _with_byte(random: Random, data: bytes) -> bytes:
    """One more byte anywhere."""
    at = random.randint(0, len(data))
    return data[:at] + random.choice((b"\x00", b"\n", b"\r", b"\xff", b" ", b",", b'"', b"\x1a")) + data[at:]


def _zipped(stem: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{stem}.csv", data)
    return packed.getvalue()


def silent_rejects() -> None:
    """Rejected rows go without a trace."""
    from hermes.silver import clean as cleaning

    clean = cleaning.clean

    def silent(files, dataset):
        made = clean(files, dataset)
        return cleaning.Cleaned(
            made.rows, made.rejects.clear(), made.conflicts, made.tally.model_copy(update={"rejected": {}})
        )

    cleaning.clean = silent


def nan_passes() -> None:
    """NaN, which is not below zero, is taken for a price."""
    from hermes.silver import clean as cleaning

    cleaning._RULES = {name: rule for name, rule in cleaning._RULES.items() if name != "not finite"}


def last_wins() -> None:
    """Of rows that contradict each other, one is kept."""
    from hermes.silver import clean as cleaning

    unique = cleaning._unique

    def kept(bars):
        once, conflicting, identical = unique(bars.unique(["datetime", "daily"], keep="last", maintain_order=True))
        return once, conflicting, identical

    cleaning._unique = kept


MUTANTS = {"silent_rejects": silent_rejects, "nan_passes": nan_passes, "last_wins": last_wins}
