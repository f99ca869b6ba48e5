"""The section of the accounts with stops: one long series, one cash over many symbols, a sweep over stops."""

import subprocess
import sys
from pathlib import Path

from bench.measured import Work, measure
from bench.pages import Figure, Section, at_least, at_most

PEERS = ("peer", "seconds", "memory, MB", "trades")


def account(folder: Path, *, quick: bool) -> list[Section]:
    """Stops, one cash and a sweep against vectorbt, and against raptorbt in an environment of its own."""
    rows, symbols, bars, times = (50_000, 20, 2_000, 1) if quick else (5_000_000, 200, 17_500, 3)
    long, many = {"rows": rows}, {"symbols": symbols, "rows": bars}
    grid = {"rows": bars, "stops": 4 if quick else 40, "targets": 5 if quick else 25}
    raptor = folder / "raptorbt"
    subprocess.run([sys.executable, "-m", "venv", str(raptor)], check=True)
    subprocess.run([raptor / "bin" / "pip", "install", "--quiet", "numpy", "raptorbt>=0.13,<0.14"], check=True)
    rust_python = str(raptor / "bin" / "python")
    found = measure(
        {
            "stops: Hermes": (times + 2, Work("accounts:hermes", long)),
            "stops: vectorbt": (times, Work("accounts:vectorbt", long)),
            "stops: raptorbt": (times, Work("accounts:raptorbt", long, rust_python)),
            "one cash: Hermes": (times, Work("accounts:hermes_portfolio", many)),
            "one cash, shared results: Hermes": (times, Work("accounts:hermes_portfolio", {**many, "shared": True})),
            "one cash: vectorbt": (times, Work("accounts:vectorbt_portfolio", many)),
            "one cash: raptorbt": (times, Work("accounts:raptorbt_portfolio", many, rust_python)),
            "sweep: Hermes": (times, Work("accounts:hermes_sweep", grid)),
            "sweep: vectorbt": (1, Work("accounts:vectorbt_sweep", grid)),
            "sweep: raptorbt": (times, Work("accounts:raptorbt_sweep", grid, rust_python)),
        }
    )

    def times_as_fast(what: str, peer: str, least: float, results: str = "") -> Figure:
        ratio = found[f"{what}: {peer}"].seconds / found[f"{what}{results}: Hermes"].seconds
        return at_least(f"{what}{results}: time, {peer} / Hermes", ratio, least)

    memory = found["stops: Hermes"].peak / found["stops: vectorbt"].peak
    return [
        Section(
            "Accounts with stops and targets",
            f"*Stops*: {rows:,} bars with a stop loss, a take profit and every measure, signals in memory. *One cash*:"
            f" {symbols} symbols of {bars:,} bars. *Sweep*: {grid['stops'] * grid['targets']:,} combinations of stops"
            f" and targets on {bars:,} bars, with the measures of each; most of these levels no entry reaches,"
            " and Hermes trades what comes to the same once. All are warm, vectorbt is compiled.",
            PEERS,
            [(name, each.time, each.memory, f"{each.facts['trades']:,}") for name, each in found.items()],
            [
                times_as_fast("stops", "vectorbt", 10),
                at_most("stops: memory, Hermes / vectorbt", memory, 0.25),
                times_as_fast("stops", "raptorbt", 2),
                times_as_fast("one cash", "vectorbt", 10, ", shared results"),
                times_as_fast("one cash", "vectorbt", 10),
                times_as_fast("one cash", "raptorbt", 1, ", shared results"),
                times_as_fast("one cash", "raptorbt", 1),
                times_as_fast("sweep", "vectorbt", 5),
                times_as_fast("sweep", "raptorbt", 2),
            ],
            "Hermes and vectorbt find the same trades and returns; raptorbt orders the events of a bar otherwise."
            " *Shared results* are those that the portfolios of both others have as well: the fills, the equity of"
            " every bar, the measures, trades and profit of each symbol. The whole portfolio of Hermes also has"
            " correlations, intervals, the benchmark of equal parts, months, and the table of trades.",
        )
    ]
