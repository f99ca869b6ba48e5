"""Metrics of each dataset's last run, in one file for node exporter's textfile collector.

The file is read, changed and replaced under a lock, so several runs may share one. Metrics of other datasets
are kept. The file is local to the machine of the run, even if the lake is not.
"""

import errno
import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging import WARNING
from pathlib import Path

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from hermes.logs import event

LABELS = ("provider", "market", "symbol", "interval", "strategy")
FAILED_NOTICES = "hermes_notices_failed_total"
FIGURES = {
    "hermes_run_last_success_timestamp_seconds": "When the last run that succeeded ended.",
    "hermes_run_last_failure_timestamp_seconds": "When the last run that failed ended.",
    "hermes_run_exit_status": "Of the last run: 0 done, 1 failed, 3 an audit or quality check found a fault.",
    "hermes_run_duration_seconds": "Of the last run.",
    "hermes_rows": "Rows of signals in the last execution.",
    "hermes_last_bar_open_timestamp_seconds": "Open time of the last bar in the last execution.",
    "hermes_signals": "Buy and sell signals in the last execution.",
    "hermes_last_signal_timestamp_seconds": "Open time of the last bar with a signal in the last execution.",
    "hermes_gaps": "Gaps in silver.",
    "hermes_coverage_ratio": "Bars in silver over the bars that there should be.",
    "hermes_live_heartbeat_timestamp_seconds": "When `hermes live` last said that it is alive.",
    "hermes_live_last_bar_open_timestamp_seconds": "Open time of the last bar that `hermes live` decided on.",
    "hermes_live_decision_delay_seconds": "From the last bar's close to its decision, by the exchange's clock.",
    "hermes_live_clock_skew_seconds": "How far this machine's clock is ahead of the exchange's.",
    FAILED_NOTICES: "Notices that the webhook's receiver did not accept.",
}

Series = tuple[str, ...]


def update(path: Path, labels: Series, figures: Mapping[str, float], failed_notices: int = 0) -> None:
    """Replace the metrics of one dataset; others are kept.

    Args:
        labels: the values of `LABELS`.
        figures: by name, see `FIGURES`; times in Unix seconds.
        failed_notices: to add to the counter.

    Raises:
        OSError: the file cannot be written.
    """
    update_all(path, {labels: figures}, {labels: failed_notices})


def update_all(path: Path, figures: Mapping[Series, Mapping[str, float]], failed_notices: Mapping[Series, int]) -> None:
    """`update` for many datasets at once.

    Raises:
        OSError: the file cannot be written.
    """
    if path.exists() and not path.is_file():  # replacing a device would take it away
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with _locked(path):
        known = _read(path)
        for labels in {*figures, *failed_notices}:
            mine = known.setdefault(labels, {})
            mine.update(figures.get(labels, {}))
            mine[FAILED_NOTICES] = mine.get(FAILED_NOTICES, 0) + failed_notices.get(labels, 0)
        registry = CollectorRegistry()
        registry.register(_File(known))
        write_to_textfile(str(path), registry)


class _File:
    def __init__(self, known: Mapping[Series, Mapping[str, float]]) -> None:
        self._known = known

    def collect(self) -> Iterator[Metric]:
        """The metrics for Prometheus' client."""
        for name, text in FIGURES.items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(name, text, labels=LABELS)
            for series, figures in sorted(self._known.items()):
                if name in figures:
                    family.add_metric(series, figures[name])
            yield family


def _read(path: Path) -> dict[Series, dict[str, float]]:
    """The metrics by dataset; empty if the file is missing or another tool's."""
    known: dict[Series, dict[str, float]] = {}
    try:
        families = list(text_string_to_metric_families(path.read_text("utf-8")))
    except FileNotFoundError:
        return known
    except ValueError:
        message = f"{path} is cut or damaged: it is made again, and figures of other datasets come with their next runs"
        event("metrics", level=WARNING, message=message)
        return known
    for sample in (each for family in families for each in family.samples):
        if sample.name in FIGURES and set(sample.labels) == set(LABELS):
            known.setdefault(tuple(sample.labels[name] for name in LABELS), {})[sample.name] = sample.value
    return known


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
