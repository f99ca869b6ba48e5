"""The section of the accounts with stops: one long series, one cash over many symbols, a sweep over stops."""

import subprocess
import sys
from pathlib import Path

from bench.measured import Work, measure
from bench.pages import Section, at_least, at_most

PEERS = ("peer", "seconds", "memory, MB", "trades")


def account(folder: Path, *, quick: bool) -> list[Section]:
    """Stops, one cash and a sweep against vectorbt, and stops against raptorbt, in an environment of its own."""
    rows, symbols, bars, times = (50_000, 20, 2_000, 1) if quick else (5_000_000, 200, 17_500, 3)
    long, many = {"rows": rows}, {"symbols": symbols, "rows": bars}
    grid = {"rows": bars, "stops": 4 if quick else 40, "targets": 5 if quick else 25}
    raptor = folder / "raptorbt"
    subprocess.run([sys.executable, "-m", "venv", str(raptor)], check=True)
    subprocess.run([raptor / "bin" / "pip", "install", "--quiet", "numpy", "raptorbt>=0.13,<0.14"], check=True)
    found = measure(
        {
            "stops: Hermes": (times + 2, Work("accounts:hermes", long)),
            "stops: vectorbt": (times, Work("accounts:vectorbt", long)),
            "stops: raptorbt": (times, Work("accounts:raptorbt", long, str(raptor / "bin" / "python"))),
            "one cash: Hermes": (times, Work("accounts:hermes_portfolio", many)),
            "one cash: vectorbt": (times, Work("accounts:vectorbt_portfolio", many)),
            "sweep: Hermes": (times, Work("accounts:hermes_sweep", grid)),
            "sweep: vectorbt": (1, Work("accounts:vectorbt_sweep", grid)),
        }
    )
    long_one, theirs, rust = (found[f"stops: {name}"] for name in ("Hermes", "vectorbt", "raptorbt"))
    return [
        Section(
            "Accounts with stops and targets",
            f"*Stops*: {rows:,} bars with a stop loss, a take profit and every measure, signals in memory. *One cash*:"
            f" {symbols} symbols of {bars:,} bars. *Sweep*: {grid['stops'] * grid['targets']:,} combinations of stops"
            f" and targets on {bars:,} bars, with the measures of each. vectorbt is compiled and warm.",
            PEERS,
            [(name, each.time, each.memory, f"{each.facts['trades']:,}") for name, each in found.items()],
            [
                at_least("stops: time, vectorbt / Hermes", theirs.seconds / long_one.seconds, 10),
                at_most("stops: memory, Hermes / vectorbt", long_one.peak / theirs.peak, 0.25),
                at_least("stops: time, raptorbt / Hermes", rust.seconds / long_one.seconds, 2),
                at_least(
                    "one cash: time, vectorbt / Hermes",
                    found["one cash: vectorbt"].seconds / found["one cash: Hermes"].seconds,
                    10,
                ),
                at_least(
                    "sweep: time, vectorbt / Hermes",
                    found["sweep: vectorbt"].seconds / found["sweep: Hermes"].seconds,
                    5,
                ),
            ],
            "Hermes and vectorbt find the same trades and returns; raptorbt orders the events of a bar otherwise.",
        )
    ]
