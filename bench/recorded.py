"""The section about the record."""

from pathlib import Path

from bench.measured import Work, measure
from bench.pages import Section, at_most


def record(folder: Path, *, quick: bool) -> list[Section]:
    """What the record costs: at each close, and when it is checked."""
    symbols, closes, year, million = (50, 20, 20_000, 30_000) if quick else (500, 200, 525_600, 1_000_000)
    kept, long = str(folder / "kept"), str(folder / "long")
    appended = Work("records:append", {"root": str(folder / "append"), "symbols": symbols, "closes": closes}).run()
    measured = measure(
        {
            "verify": (3, Work("records:verify", {"root": kept, "rows": year})),
            "reconcile": (3, Work("records:reconciled", {"root": long, "rows": million})),
        }
    )
    checked, again = measured["verify"], measured["reconcile"]
    middle, slow, cpu, synced, seal, bare = (
        1000 * appended.facts[name] for name in ("median", "p99", "worked", "fsync", "seal", "bare")
    )
    return [
        Section(
            "The record",
            f"*Append*: {symbols} symbols decided on at one close, sealed and published in one file of a folder, over"
            f" {closes:,} closes. *Verify*: a year of minutes of one symbol, {year:,} rows in a file a day, from files"
            f" to faults. *Reconcile*: {million:,} rows decided on again from bars in memory, every difference with its"
            " cause, and the paper account beside the backtest.",
            ("work", "seconds", "memory, MB"),
            [
                ("append, median", f"{middle / 1000:.4f}", f"{appended.peak / 1e6:.0f}"),
                ("append, 99th percentile", f"{slow / 1000:.4f}", ""),
                ("of an append, CPU", f"{cpu / 1000:.4f}", ""),
                ("of an append, in fsync", f"{synced / 1000:.4f}", ""),
                ("of an append, sealing", f"{seal / 1000:.4f}", ""),
                ("one bare write and fsync of the same bytes", f"{bare / 1000:.4f}", ""),
                ("verify", checked.time, checked.memory),
                ("reconcile", again.time, again.memory),
            ],
            [
                at_most(f"append at {symbols} symbols a file", middle, 10, "ms"),
                at_most(f"verify {year:,} rows", checked.seconds, 5, "s"),
                at_most(f"reconcile {million:,} rows", again.seconds, 60, "s"),
            ],
            f"An append takes {middle / bare:.1f} times as long as one bare write and fsync of its file on this disk."
            f" Verifying found {checked.facts['faults']} faults and {checked.facts['gaps']} gaps, reconciling"
            f" {again.facts['differences']} differences in {again.facts['rows']:,} rows with"
            f" {again.facts['trades']:,} trades.",
        )
    ]
