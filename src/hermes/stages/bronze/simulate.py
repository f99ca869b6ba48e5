"""A simulated market in the archive's own format, the same bytes on every run: for the demo, tests and measurements."""

import hashlib
import io
import math
import random
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path

from hermes.dataset import Dataset
from hermes.errors import UsageError
from hermes.files import replacing
from hermes.stages.bronze.klines import epoch

#: The market's moods: drift and volatility of the log price per day, mean length in days.
REGIMES = {
    "bull": (0.0045, 0.022, 40),
    "bear": (-0.0050, 0.030, 25),
    "sideways": (0.0, 0.014, 25),
}
FIRST_PRICE = 20_000_00  # cents
DAY_VOLUME = 30_000.0  # base asset, over all trades of a mean day
MAINTENANCE = 32 * 3600  # seconds without any bar, once
GAP_ODDS, STILL_ODDS = 0.0006, 0.0012  # per bar: not in the archive at all; there, but without one trade
MONDAY = 4 * 86400  # first Monday after 1970-01-01: the grid of every interval up to a week starts there

MICROSECONDS_FROM = date(2025, 1, 1)  # spot only
_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def write_archive(root: Path, dataset: Dataset, start: date, months: int, seed: int = 7) -> int:
    """Write one zip and its CHECKSUM for each month into the archive at `root`, atomically.

    The price wanders through bull, bear and sideways regimes. As in the real archive a few bars are missing, one
    maintenance leaves a hole of 32 hours a third of the way in, some bars have no trade, and spot times turn from
    milliseconds to microseconds with 2025. Symbol, interval and seed together decide every value.

    Args:
        root: the archive's folder; `data/…` is made in it.
        dataset: a monthly series at any interval but 1mo.
        start: a day of the first month.
        months: number of months.
        seed: of the random numbers.

    Returns:
        Number of bars written.

    Raises:
        UsageError: a series of daily files or of monthly bars.
    """
    if dataset.data_frequency != "monthly" or dataset.interval == "1mo":
        raise UsageError(
            f"no market is simulated for {dataset.data_frequency} files of interval {dataset.interval}",
            "use monthly files and an interval from 1s to 1w",
        )
    folder = root / dataset.archive_folder
    folder.mkdir(parents=True, exist_ok=True)
    first, end = _add_months(start, 0), _add_months(start, months)
    hole = epoch(_add_months(start, months // 3)) + 7 * 86400
    bars = _bars(random.Random(f"{seed} {dataset}"), dataset.interval_seconds, epoch(first), epoch(end), hole)
    rows = 0
    for period, in_month in groupby(bars, key=_month):
        rows += _write_month(folder, dataset, period, in_month)
    return rows


@dataclass(frozen=True, slots=True)
class _Bar:
    """One bar: open time in seconds, prices in cents, volume in the base asset, the takers' share of it."""

    time: int
    open: int
    high: int
    low: int
    close: int
    volume: float
    taker_share: float


def _bars(rng: random.Random, step: int, first: int, end: int, hole: int) -> Iterator[_Bar]:
    """The bars that the archive holds, of a market that also moves while none are recorded."""
    days = step / 86400
    close, mood_days = FIRST_PRICE, 0.0
    for time in range(first + (MONDAY - first) % step, end, step):
        if mood_days <= 0:
            drift, volatility, length = REGIMES[rng.choice(tuple(REGIMES))]
            mood_days = length * rng.uniform(0.4, 1.6)
        mood_days -= days
        if rng.random() < STILL_ODDS:
            bar = _Bar(time, close, close, close, close, 0.0, 0.0)
        else:
            bar = _traded(rng, time, close, days=days, drift=drift, volatility=volatility)
        close = bar.close
        if rng.random() >= GAP_ODDS and not hole <= time < hole + MAINTENANCE:
            yield bar


def _traded(rng: random.Random, time: int, open_: int, *, days: float, drift: float, volatility: float) -> _Bar:
    """A bar that opens at the last close; its wicks and its volume grow with its move."""
    swing = volatility * math.sqrt(days)
    move = drift * days + swing * rng.gauss(0, 1)
    close = max(1, round(open_ * math.exp(move)))
    high = round(max(open_, close) * (1 + swing * 0.4 * rng.random()))
    low = max(1, round(min(open_, close) * (1 - swing * 0.4 * rng.random())))
    volume = round(DAY_VOLUME * days * rng.lognormvariate(0, 0.4) * (0.7 + 0.4 * abs(move) / swing), 5)
    return _Bar(time, open_, high, min(low, open_, close), close, volume, rng.uniform(0.4, 0.6))


def _write_month(folder: Path, dataset: Dataset, period: date, bars: Iterable[_Bar]) -> int:
    """Writes the zip and the CHECKSUM of one month; returns the number of bars."""
    unit = 1_000_000 if dataset.market == "spot" and period >= MICROSECONDS_FROM else 1_000
    lines = [_line(bar, dataset.interval_seconds, unit) for bar in bars]
    header = [] if dataset.market == "spot" else [_HEADER]
    stem = dataset.archive_stem(period)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        member = zipfile.ZipInfo(f"{stem}.csv")  # its time is 1980-01-01, not now
        archive.writestr(member, "\n".join([*header, *lines, ""]), zipfile.ZIP_DEFLATED)
    with replacing(folder / f"{stem}.zip") as beside:
        beside.write_bytes(packed.getvalue())
    sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
    with replacing(folder / f"{stem}.zip.CHECKSUM") as beside:
        beside.write_text(f"{sha256}  {stem}.zip\n")
    return len(lines)


def _line(bar: _Bar, step: int, unit: int) -> str:
    """The bar's line in the CSV; `unit` is time units in a second. The quote volume is at the bar's mean price."""
    mean = (bar.open + bar.high + bar.low + bar.close) / 400
    taken = round(bar.volume * bar.taker_share, 5)
    prices = f"{bar.open / 100:.8f},{bar.high / 100:.8f},{bar.low / 100:.8f},{bar.close / 100:.8f}"
    return (
        f"{bar.time * unit},{prices},{bar.volume:.8f},{(bar.time + step) * unit - 1},{bar.volume * mean:.8f},"
        f"{math.ceil(bar.volume * 25)},{taken:.8f},{taken * mean:.8f},0"
    )


def _month(bar: _Bar) -> date:
    return (date(1970, 1, 1) + timedelta(bar.time // 86400)).replace(day=1)


def _add_months(start: date, months: int) -> date:
    """First day of the month `months` after that of `start`."""
    years, month = divmod(start.month - 1 + months, 12)
    return date(start.year + years, month + 1, 1)
