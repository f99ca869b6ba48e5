"""The sections of size: many datasets, one long series, and what the whole exchange would take."""

import sys
from pathlib import Path

from bench.measured import Command, Measured, Work, measure, same_facts
from bench.pages import Section, at_least, at_most
from bench.places import HERMES

SYMBOLS, YEARS, MINUTES = 3_000, 4, 525_600  # spot pairs, a guess at their mean age, minutes of a year


def universe(folder: Path, *, quick: bool) -> list[Section]:
    """Many datasets at once: threads against workers of a Dask cluster."""
    symbols, few, times = (4, 2, 1) if quick else (200, 50, 2)
    root = str(folder / "universe")
    print(f"  making {symbols} symbols", file=sys.stderr, flush=True)
    Work("universe:make", {"root": root, "symbols": symbols}).run()

    def work(source: str, count: int = symbols, **given: int) -> Work:
        return Work("universe:run", {"root": root, "symbols": count, "source": source, **given})

    measured = measure(
        {
            "silver, threads": (times, work("silver")),
            "silver, one worker": (times, work("silver", workers=1)),
            "silver, two workers": (times, work("silver", workers=2)),
            f"silver, two workers, {few} datasets": (1, work("silver", few, workers=2)),
            f"zips, threads, {few} datasets": (times, work("archive", few)),
            f"zips, two workers, {few} datasets": (times, work("archive", few, workers=2)),
        }
    )
    sums = measure({str(n): (times, Work("universe:arithmetic", {"processes": n})) for n in (1, 2)})
    cores = sums["1"].seconds / sums["2"].seconds
    for names in ([n for n in measured if f" {few} " in n], [n for n in measured if f" {few} " not in n]):
        same_facts(measured, *names)
    counts = {name: few if f" {few} " in name else symbols for name in measured}
    speed = {name: 60 * counts[name] / each.seconds for name, each in measured.items()}
    one, two, threads = (measured[f"silver, {name}"] for name in ("one worker", "two workers", "threads"))
    best_from_zips = max(speed[f"zips, {where}, {few} datasets"] for where in ("threads", "two workers"))
    return [
        Section(
            f"{symbols} datasets at once",
            f"{symbols} simulated symbols of 96 months at 4 h, from silver or from zips (96 each) to"
            " features, signals and every measure, written, hashed and synced, no audit and no page (`hermes run --all"
            " --from silver --no-audit --no-report`). *Threads*: one process. *Workers*: processes of one thread each,"
            " under Dask, whose start is not counted; memory is that of the largest worker.",
            ("from, where", "seconds", "memory, MB", "datasets a minute", "cores busy"),
            [
                (name, each.time, each.memory, f"{speed[name]:,.0f}", f"{each.cpu / each.seconds:.2f}")
                for name, each in measured.items()
            ],
            [
                at_least("datasets a minute from silver, threads", speed["silver, threads"], 400, ""),
                at_least("datasets a minute from zips", best_from_zips, 150, ""),
                at_least("speed, two workers / one", one.seconds / two.seconds, 1.7),
                at_most("time, two workers / threads", two.seconds / threads.seconds, 1.25),
                at_most("memory of a worker", max(one.peak, two.peak) / 1e9, 1, "GB"),
            ],
            f"All found the same trades. Two processes that only add numbers are here {cores:.2f} times as fast as one."
            f" A worker of one thread keeps {one.cpu / one.seconds:.2f} cores busy, with Polars' threads for files and"
            " with Dask's scheduler beside it: if two workers kept both cores busy all the time, for as many CPU"
            f" seconds as now, they would be {2 * one.seconds / two.cpu:.2f} times as fast.",
        )
    ]


def long(folder: Path, *, quick: bool) -> list[Section]:
    """The steps of one long series: time and memory as it grows."""
    small, large = (50_000, 200_000) if quick else (6_000_000, 24_000_000)
    lakes = {str(folder / f"long-{rows}"): rows for rows in (small, large)}
    for lake, rows in lakes.items():
        Work("long:make", {"lakes": {lake: rows}}).run()
    steps = ("refine", "features", "signals")
    found = {(step, rows): _step(lake, step, rows) for step in steps for lake, rows in lakes.items()}
    lines = [
        (step, f"{rows:,}", each.time, each.memory, f"{rows / each.seconds / 1e6:.2f}", f"{size:.0f}")
        for (step, rows), (each, size) in found.items()
    ]
    growth = max(found[step, large][0].peak / found[step, small][0].peak for step in steps)
    total = SYMBOLS * YEARS * MINUTES
    cost = [
        (
            step,
            f"{total / 1e9:.1f} thousand million",
            f"{total * each.seconds / large / 3600:.1f}",
            f"{total * each.seconds / large / 3600 / 32:.1f}",
            f"{total * size / 1e12:.2f}",
        )
        for step in steps
        for each, size in (found[step, large],)
    ]
    return [
        Section(
            "One long series of seconds",
            f"A simulated 1s series of {small:,} and of {large:,} bars ({large / 86_400:,.0f} days) from bronze to"
            " signals, each step a whole process. Above 4 million bars `features` works in blocks.",
            ("step", "rows", "seconds", "memory, MB", "million rows/s", "bytes a row on disk"),
            lines,
            [at_most(f"memory of any step, {large:,} / {small:,} rows", growth, 1.3)],
        ),
        Section(
            "The whole exchange at 1m, extrapolated",
            f"Not measured: {SYMBOLS:,} symbols x {YEARS} years x {MINUTES:,} minutes, times the seconds and bytes of a"
            f" row of the {large:,} rows above. Hours on 64 cores assume that 32 such machines with one lake are 32"
            " times as fast. Fetching is left out.",
            ("step", "rows", "hours, this machine", "hours, 64 cores", "TB on disk"),
            cost,
        ),
    ]


def _step(lake: str, step: str, rows: int) -> tuple[Measured, float]:
    """One step as a whole process, and the bytes a row of what it wrote."""
    name = f"{step}, {rows:,} rows"
    words = [HERMES, step, "SIMUSDT", "--interval", "1s", "--lake", f"{lake}/{{layer}}", "--json"]
    return measure({name: (1, Command(words))})[name], _bytes_per_row(lake, step, rows)


def _bytes_per_row(lake: str, step: str, rows: int) -> float:
    made = {"refine": "silver/binance", "features": "gold/gold_features*", "signals": "gold/trading_signals*"}[step]
    files = [file for folder in Path(lake).glob(made) for file in folder.rglob("*.parquet")]
    return sum(file.stat().st_size for file in files) / rows
