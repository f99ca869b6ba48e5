"""The audit: what it adds to a run on the real data, and what it holds in memory as the table grows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.measured import Command, Work, measure
from bench.pages import Section, at_most
from bench.places import DATASET, HERMES, long_archive, settings_of
from hermes.dataset import Dataset

STRATEGIES = ("smart_momentum", "ma_cross", "macd_trend", "donchian_breakout", "bollinger_reversion")


def audit(folder: Path, *, quick: bool) -> list[Section]:
    """The quick audit of `hermes run` for each shipped strategy, and long tables."""
    small, large = (20_000, 60_000) if quick else (500_000, 2_000_000)
    lake = str(folder / "audit")
    archive, symbol, text = long_archive(folder)
    made = ("run", symbol, "--interval", "4h", "--lake", f"{lake}/{{layer}}", "--archive", archive, "--no-audit")
    Command([HERMES, *made, "--no-report"]).run()
    lakes = {rows: str(folder / f"audit-{rows}") for rows in (small, large)}
    Work("market:make", {"lakes": {lake: rows for rows, lake in lakes.items()}}).run()

    times = 1 if quick else 5
    one = {name: (times, Work("audits:run", {"lake": lake, "symbol": symbol, "strategy": name})) for name in STRATEGIES}
    tables = {f"{rows:,} rows": (1, Work("audits:run", {"lake": lakes[rows]})) for rows in (small, large)}
    measured = measure({**one, **tables})
    slowest = max(measured[name].seconds for name in STRATEGIES)
    first, last = (measured[name] for name in tables)
    return [
        Section(
            "The audit",
            f"The quick audit of `hermes run` without the process's start: the shipped strategies on {text}, and Smart"
            " Momentum on long simulated tables, of which every stored value that the rules read is compared.",
            ("what", "seconds", "memory, MB", "verdict", "rules"),
            [
                (name, each.time, each.memory, each.facts["verdict"], each.facts["rules"])
                for name, each in measured.items()
            ],
            [
                at_most(f"the slowest shipped strategy on {text}", slowest, 0.5, "s"),
                at_most(f"memory, {large:,} / {small:,} rows", last.peak / first.peak, 1.3),
            ],
        )
    ]


def run(lake: str, symbol: str = "", strategy: str = "smart_momentum") -> Callable[[], dict[str, Any]]:
    """One quick audit."""
    from hermes.lake.store import Lake  # noqa: PLC0415
    from hermes.steps.audit import QUICK_CUTS  # noqa: PLC0415
    from hermes.steps.audit import audit as step  # noqa: PLC0415

    dataset = Dataset(symbol=symbol, interval="4h") if symbol else DATASET
    settings = settings_of(lake, dataset, **{"signals.strategy": strategy})

    def work() -> dict[str, Any]:
        found = step(settings, Lake.open(settings), cuts=QUICK_CUTS)
        return {"verdict": found.verdict, "rules": found.checks["rules"].verdict}

    return work
