"""The sections of the page: what is compared, and which figures are to be reached."""

import sys
from dataclasses import replace
from pathlib import Path

from bench.account_sections import account
from bench.audits import audit
from bench.measured import Command, Measured, Work, measure, same_facts
from bench.pages import Section, at_least, at_most
from bench.places import HERMES, REAL_ARCHIVE, long_archive
from bench.recorded import record
from bench.scale import long, universe
from bench.stages import COPY, STAGES, WHOLE

CHUNKS = 50  # of the notebook's way at 5 million rows
IMPORTS = (
    "import hermes.cli, hermes.cli.views.steps, hermes.pipeline"  # what a command has loaded before it reads a file
)
PEERS = ("peer", "seconds", "memory, MB", "time, Hermes = 1")

_PEERS = (
    "rows of 31 columns in month files to one file of signals. *Hermes*: `hermes signals` without the process's start:"
    " two passes, order checked, a backtest with both fills, lineage, hash, publishing. *Polars copy*: scans the"
    " finished signals file and sinks it with the same codec and row groups: the least that writing these rows can"
    " cost. *pandas*: the same rules, only the needed columns, files given in order; no check, no backtest."
)


def _against(measured: dict[str, Measured], mine: str) -> list[tuple[str, ...]]:
    """A row for each peer, and how its time compares."""
    return [
        (name, each.time, each.memory, f"{each.seconds / measured[mine].seconds:.2f}")
        for name, each in measured.items()
    ]


def pipeline(folder: Path, *, quick: bool) -> list[Section]:
    """Whole processes: the pipeline over the real archive, and how long commands take to start."""
    real = REAL_ARCHIVE.is_dir() and not quick
    if real:
        archive, symbol, start = str(REAL_ARCHIVE), "BTCUSDT", "2017-09-01"
        files, text = 97, "the 97 real BTCUSDT files"
    else:
        files = 6 if quick else 97
        Work("archive:make", {"root": str(folder / "archive"), "months": files}).run()
        archive, symbol, start = str(folder / "archive"), "SIMUSDT", "2017-08-18"
        why = "" if quick else f", as the real ones are not at {REAL_ARCHIVE}"
        text = f"{files} simulated monthly files{why}"
    times = 1 if quick else 3
    lakes = [str(folder / f"pipeline-{i}" / "{layer}") for i in range(times)]
    common = [symbol, "--interval", "4h", "--start", start, "--json", "--lake"]
    first = [Command([HERMES, "run", *common, lake, "--archive", archive]) for lake in lakes]
    import_polars = Command([sys.executable, "-c", "import polars"])
    fresh = _merged([measure({"archive to signals, empty lake": (1, command)}) for command in first])
    again = measure(
        {
            "archive to signals again, nothing new": (times, first[0]),
            "signals alone (the notebook's job)": (2 * times + 1, Command([HERMES, "signals", *common, lakes[0]])),
            "hermes --help": (2 * times + 1, Command([HERMES, "--help"])),
            "python, with all that signals import": (2 * times + 1, Command([sys.executable, "-c", IMPORTS])),
            "python, nothing": (2 * times + 1, Command([sys.executable, "-c", "pass"])),
            'python -c "import polars"': (2 * times + 1, import_polars),
        }
    )
    measured = fresh | again
    base = again['python -c "import polars"'].seconds
    rows = [(name, each.time, each.memory, f"{each.seconds / base:.2f}") for name, each in measured.items()]
    job = again["signals alone (the notebook's job)"].seconds / base
    return [
        Section(
            "The pipeline, whole processes",
            f"`hermes run` over {text} at 4 h (bronze, silver, 23 indicators, signals, every file checked, hashed and"
            " synced), `hermes signals` on what it made, and starting up; beside the time that Python takes to import"
            " polars. Process start included, cold.",
            ("command", "seconds", "memory, MB", "time, import polars = 1"),
            rows,
            [at_most("time, the notebook's own job / `import polars`", job, 3)],
        )
    ]


def _merged(runs: list[dict[str, Measured]]) -> dict[str, Measured]:
    """Single runs of one command, each with other arguments, as one measurement."""
    (name,) = runs[0]
    samples = sorted((run[name] for run in runs), key=lambda run: run.seconds)
    middle = samples[len(samples) // 2]
    return {name: replace(middle, fastest=samples[0].seconds, slowest=samples[-1].seconds, repetitions=len(samples))}


def features(folder: Path, *, quick: bool) -> list[Section]:
    """Indicators against TA-Lib."""
    rows, times = (200_000, 1) if quick else (5_000_000, 3)
    measured = measure(
        {
            "Hermes": (times, Work("columns:hermes", {"rows": rows})),
            "TA-Lib, column by column": (times, Work("columns:ta_lib", {"rows": rows})),
        }
    )
    same_facts(measured, *measured)
    speeds = [f"{rows / each.seconds / 1e6:.2f}" for each in measured.values()]
    lines = [(*row, speed) for row, speed in zip(_against(measured, "Hermes"), speeds, strict=True)]
    return [
        Section(
            "Features",
            f"All 23 indicators of {rows:,} simulated bars in memory: Hermes' plan, and TA-Lib's Python binding called"
            " once for each column, on one thread as it is. Both end on the same values; Hermes also turns the warm-up"
            " into nulls and makes a table.",
            (*PEERS, "million rows/s"),
            lines,
        )
    ]


def signals(folder: Path, *, quick: bool) -> list[Section]:
    """The heart: signals against a bare copy, the notebook, and pandas; time and memory as the table grows."""
    small, middle, large = (20_000, 50_000, 200_000) if quick else (2_000_000, 5_000_000, 20_000_000)
    lakes = {rows: str(folder / f"signals-{rows}") for rows in (small, middle, large)}
    print(f"  making {large:,} rows of features", file=sys.stderr, flush=True)
    Work("market:make", {"lakes": {lake: rows for rows, lake in lakes.items()}}).run()
    for lake in lakes.values():
        Work("peers:hermes", {"lake": lake}).run()  # the finished file that is copied; and the table is in memory now
    target = str(folder / "peer.parquet")

    def hermes(rows: int, times: int) -> tuple[int, Work]:
        return times, Work("peers:hermes", {"lake": lakes[rows]})

    def other(peer: str, rows: int, times: int, **given: int) -> tuple[int, Work]:
        return times, Work(f"peers:{peer}", {"lake": lakes[rows], "target": target, **given})

    chunk_rows, only = middle // CHUNKS, 10
    at_middle = measure(
        {
            "Hermes": hermes(middle, 5),
            "Polars copy": other("copy", middle, 5),
            "pandas": other("in_pandas", middle, 3),
            "notebook, unchunked": other("notebook", middle, 1 if quick else 2, chunk_rows=middle),
            "notebook, chunked": other("notebook", middle, 1, chunk_rows=chunk_rows, only=only),
        }
    )
    at_large = measure(
        {
            "Hermes": hermes(large, 5),
            "Polars copy": other("copy", large, 5),
            "pandas": other("in_pandas", large, 1),
        }
    )
    smallest = measure({"Hermes": hermes(small, 5)})["Hermes"]
    profile = {rows: Work("stages:stages", {"lake": lakes[rows], "target": target}) for rows in (middle, large)}
    spent = {rows: work.run().facts for rows, work in profile.items()}
    same_facts(at_middle, "Hermes", "pandas", "notebook, unchunked")
    facts = same_facts(at_large, "Hermes", "pandas")

    chunked = at_middle.pop("notebook, chunked")
    whole = chunked.seconds * CHUNKS / only
    mine, copy, pandas = (at_middle[name] for name in ("Hermes", "Polars copy", "pandas"))
    largest, largest_copy, largest_pandas = at_large.values()
    return [
        Section(
            f"Signals, {middle:,} rows",
            f"{middle:,} {_PEERS} *notebook*: the original's loop with its context corrected, DuckDB sorting the whole"
            f" table for every chunk; unchunked, and in chunks of {chunk_rows:,} rows.",
            PEERS,
            [
                *_against(at_middle, "Hermes"),
                ("notebook, chunked", f"{whole:.0f} (estimated)", chunked.memory, f"{whole / mine.seconds:.0f}"),
            ],
            [
                at_most("time, Hermes / Polars copy", mine.seconds / copy.seconds, 1.25),
                at_least(
                    "time, notebook unchunked / Hermes", at_middle["notebook, unchunked"].seconds / mine.seconds, 8
                ),
                at_least("time, notebook chunked / Hermes", whole / mine.seconds, 100),
                at_least("time, pandas / Hermes", pandas.seconds / mine.seconds, 3),
                at_most("memory, Hermes / pandas", mine.peak / pandas.peak, 0.5),
            ],
            f"Hermes, pandas and the unchunked notebook wrote the same numbers of buys and sells. Of the notebook's"
            f" {CHUNKS} chunks {only}, evenly spread, were measured ({chunked.seconds:.1f} s, without the final write)"
            f" and multiplied by {CHUNKS // only}.",
        ),
        Section(
            f"Signals, {large:,} rows",
            f"{large:,} {_PEERS}",
            PEERS,
            _against(at_large, "Hermes"),
            [
                at_most("time, Hermes / Polars copy", largest.seconds / largest_copy.seconds, 1.25),
                at_least("time, pandas / Hermes", largest_pandas.seconds / largest.seconds, 3),
                at_most("memory, Hermes / pandas", largest.peak / largest_pandas.peak, 0.5),
            ],
            f"Hermes and pandas found {facts['buys']:,} buys and {facts['sells']:,} sells.",
        ),
        Section(
            "Where the time of signals goes",
            "In one process, medians of five runs in turns with the copy; CPU seconds are of all threads. What keeps"
            " both cores busy all the time takes half of its CPU seconds.",
            ("stage", *(f"{unit}, {rows:,} rows" for rows in spent for unit in ("seconds", "CPU seconds"))),
            [
                (stage, *(f"{seconds:.2f}" for each in spent.values() for seconds in each[stage]))
                for stage in (*STAGES.values(), WHOLE, COPY)
            ],
        ),
        Section(
            "What the copy leaves room for",
            "A bare copy of the finished file does none of the work of signals. Where even the copy does not reach a"
            " figure, nothing that writes this file with Polars can.",
            ("ratio", "to reach", "Hermes", "the copy in its place"),
            [
                (what, f"≥ {bound} x", f"{theirs / mine.seconds:.2f} x", f"{theirs / copy.seconds:.2f} x")
                for what, theirs, bound in (
                    ("time of the notebook unchunked", at_middle["notebook, unchunked"].seconds, 8),
                    ("time of the notebook chunked", whole, 100),
                    ("time of pandas", pandas.seconds, 3),
                )
            ],
        ),
        Section(
            "Signals as the table grows",
            "Hermes alone, from the same run as above.",
            ("rows", "seconds", "memory, MB", "million rows/s"),
            [
                (f"{rows:,}", each.time, each.memory, f"{rows / each.seconds / 1e6:.2f}")
                for rows, each in ((small, smallest), (middle, mine), (large, largest))
            ],
            [
                at_most(f"time, {large:,} / {small:,} rows", largest.seconds / smallest.seconds, 11),
                at_most(f"memory at {large:,} rows", largest.peak / 1e9, 1, "GB"),
                at_most(f"memory, {large:,} / {middle:,} rows", largest.peak / mine.peak, 1.3),
            ],
        ),
    ]


def backtest(folder: Path, *, quick: bool) -> list[Section]:
    """Signals and all measures against vectorbt."""
    rows, times = (50_000, 1) if quick else (5_000_000, 3)
    lake = str(folder / f"backtest-{rows}")
    Work("market:make", {"lakes": {lake: rows}}).run()
    measured = measure(
        {
            "Hermes": (times + 2, Work("backtests:hermes", {"lake": lake})),
            "vectorbt": (times, Work("backtests:vectorbt", {"lake": lake, "work_from": "files"})),
            "vectorbt, signals in memory": (times, Work("backtests:vectorbt", {"lake": lake, "work_from": "signals"})),
        }
    )
    facts = same_facts(measured, *measured)
    mine, theirs = measured["Hermes"], measured["vectorbt"]
    return [
        Section(
            "Signals and all measures",
            f"{rows:,} rows from the feature files to every measure. *Hermes*: `hermes backtest` without the process's"
            " start; the same pass measures the `next_open` fill too. *vectorbt*: reads the needed columns and applies"
            " the rules with pandas, then `Portfolio.from_signals`, `stats` and its trades, compiled and warm; and only"
            " the latter, with the signals in memory before the clock starts.",
            PEERS,
            _against(measured, "Hermes"),
            [
                at_least("time, vectorbt / Hermes", theirs.seconds / mine.seconds, 10),
                at_most("memory, Hermes / vectorbt", mine.peak / theirs.peak, 0.25),
            ],
            f"All found {facts['buys']:,} buys and {facts['trades']:,} trades, and the same return, drawdown and Sharpe"
            " to nine digits.",
        )
    ]


def sweep(folder: Path, *, quick: bool) -> list[Section]:
    """A thousand combinations of parameters with all measures against vectorbt."""
    lake = str(folder / "sweep")
    archive, symbol, text = long_archive(folder)
    Command([HERMES, "run", symbol, "--interval", "4h", "--lake", f"{lake}/{{layer}}", "--archive", archive]).run()
    given, times = {"lake": lake, "symbol": symbol}, 1 if quick else 3
    measured = measure(
        {
            "Hermes": (times + 2, Work("sweeps:hermes", given)),
            "Hermes, overfitting and page too": (times, Work("sweeps:hermes", given | {"out": str(folder / "out")})),
            "vectorbt": (times, Work("sweeps:vectorbt", given)),
        }
    )
    facts = same_facts(measured, *measured)
    mine, theirs = measured["Hermes"], measured["vectorbt"]
    return [
        Section(
            "A sweep of 1,000 combinations",
            f"Smart Momentum, ten fast times ten slow EMAs times ten SuperTrend multipliers, over {text}, from the"
            " feature files to all measures of each combination, one run. *Hermes*: `hermes sweep` without the"
            " process's start, and without or with overfitting and page; indicators that the table lacks are derived,"
            " the rules are the strategy's own expressions. *vectorbt*: TA-Lib once for each column, the rules in"
            " numpy, one `from_signals` over all columns, each measure over all columns at once, compiled and warm.",
            PEERS,
            _against(measured, "Hermes"),
            [
                at_least("time, vectorbt / Hermes", theirs.seconds / mine.seconds, 10),
                at_most("memory, Hermes / vectorbt", mine.peak / theirs.peak, 0.25),
            ],
            f"All found {facts['trades']:,} trades, and the same sums of returns and of Sharpe ratios to nine digits.",
        )
    ]


def live(folder: Path, *, quick: bool) -> list[Section]:
    """Live bars; imported here alone, as what this process holds would count in the memory of every command."""
    from bench.live import section  # noqa: PLC0415

    return section(folder, quick=quick)


SECTIONS = {
    "pipeline": pipeline,
    "features": features,
    "signals": signals,
    "backtest": backtest,
    "account": account,
    "sweep": sweep,
    "audit": audit,
    "universe": universe,
    "long": long,
    "record": record,
    "live": live,
}
