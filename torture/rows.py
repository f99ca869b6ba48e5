"""Archive rows as they should not be: bronze and silver must do with each what an oracle in plain Python says."""

import io
import zipfile
from datetime import date
from pathlib import Path
from random import Random
from unittest.mock import patch

from torture import rows_oracle as oracle
from torture.bad_rows import MONTHS, archive

ABOUT = (
    "CSV rows with NaN, infinities, negatives, empty cells, duplicates, disorder, mixed units, ragged lines, "
    "quotes, byte-order marks; each is kept, rejected with its rule, or its file refused, as an oracle in plain Python "
    "says, and rows in = rows accounted for"
)
FULL, SAMPLE = 5_000, 150


def case(seed: int, folder: Path) -> int:
    """One month with zero to three of its days: every row accounted for."""
    from hermes.dataset import Dataset
    from hermes.errors import KlinesRefused
    from hermes.stages.bronze.klines import read_zip
    from hermes.stages.silver import clean as cleaning

    random = Random(seed)
    interval = random.choice(("1h", "4h", "12h", "1d"))
    month = random.choice(MONTHS)
    series = {
        frequency: Dataset(symbol="SIMUSDT", interval=interval, data_frequency=frequency)
        for frequency in ("monthly", "daily")
    }
    given, expected = [], []
    for frequency, day, data in archive(random, month, series["monthly"].interval_seconds):
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
        made = cleaning.clean(given, series["monthly"])
    refused = [*made.tally.refused]
    assert refused == sorted(said.faulty), f"{refused} are left out, and {said.faulty} lost too many bars"
    sound = [(file, rows) for file, rows in expected if file.stem not in said.faulty]
    theirs = [row for row in said.rejected if row[0] in said.faulty]
    rest = oracle.judge(sound, share)
    rest.rejected = sorted([*rest.rejected, *theirs], key=lambda row: row[:2])
    _compare(made, rest, sum(len(rows) for _, rows in sound) + len(theirs))
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


def _zipped(stem: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{stem}.csv", data)
    return packed.getvalue()


def silent_rejects() -> None:
    """Rejected rows go without a trace."""
    from hermes.stages.silver import clean as cleaning

    clean = cleaning.clean

    def silent(files, dataset):
        made = clean(files, dataset)
        return cleaning.Cleaned(
            made.rows, made.rejects.clear(), made.conflicts, made.tally.model_copy(update={"rejected": {}})
        )

    cleaning.clean = silent


def nan_passes() -> None:
    """NaN, which is not below zero, is taken for a price."""
    from hermes.stages.silver import clean as cleaning

    cleaning._RULES = {name: rule for name, rule in cleaning._RULES.items() if name != "not finite"}


def last_wins() -> None:
    """Of rows that contradict each other, one is kept."""
    from hermes.stages.silver import clean as cleaning

    unique = cleaning._unique

    def kept(bars):
        once, conflicting, identical = unique(bars.unique(["datetime", "rank"], keep="last", maintain_order=True))
        return once, conflicting, identical

    cleaning._unique = kept


MUTANTS = {"silent_rejects": silent_rejects, "nan_passes": nan_passes, "last_wins": last_wins}
