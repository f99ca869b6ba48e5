"""No false alarms: what is honest passes the audit, on markets of every mood."""

from datetime import date
from pathlib import Path
from random import Random

from hermes import pipeline
from hermes.dataset import Dataset
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.stages.bronze.simulate import write_archive
from hermes.steps.audit import QUICK_CUTS
from hermes.strategies.registry import STRATEGIES

ABOUT = "the shipped strategies on simulated markets, a quick audit of each: no fault, all rules proven"
FULL, SAMPLE = 250, 5
MONTHS = 24


def case(seed: int, folder: Path) -> None:
    """One strategy on one market that the seed decides."""
    random = Random(seed)
    interval = random.choice(("1h", "4h", "1d"))
    dataset = Dataset(symbol="SIMUSDT", interval=interval)
    write_archive(folder / "archive", dataset, date(2021, 1, 1), MONTHS, seed)
    names = sorted(STRATEGIES)
    flags = {
        "dataset.symbol": dataset.symbol,
        "dataset.interval": interval,
        "archive.url": str(folder / "archive"),
        "lake.url": f"{folder}/{{layer}}",
        "signals.strategy": names[seed % len(names)],
    }
    settings = Settings.load(flags, environ={})
    lake = Lake.open(settings)
    pipeline.ingest(settings, lake)
    pipeline.refine(settings, lake)
    pipeline.features(settings, lake)
    found = pipeline.audit(settings, lake, cuts=QUICK_CUTS)
    assert not found.faults, f"{settings.signals.strategy} on {dataset}: {found.faults}"
    assert found.checks["rules"].verdict == "proven", f"{settings.signals.strategy}: {found.checks['rules'].detail}"
