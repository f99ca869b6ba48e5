"""One published execution, with its lineage and measures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hermes.freshness import Freshness
from hermes.lake import catalog
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import Lake
from hermes.lineage import Lineage
from hermes.settings import Settings
from hermes.steps.production import find_execution
from hermes.steps.warnings import freshness_of, warnings_now


@dataclass(frozen=True, slots=True)
class Shown:
    """One execution.

    Attributes:
        execution: its folder's name; path: address of its signals.
        lineage: from its footer.
        freshness: how old the newest bar is now.
    """

    settings: Settings
    execution: str
    path: str
    lineage: Lineage
    freshness: Freshness

    @property
    def fills(self) -> Mapping[str, Mapping[str, Any]]:
        """The measures with each fill; executions of older versions have only the configured one."""
        return self.lineage.fills or {self.lineage.backtest["fill"]: self.lineage.metrics}

    @property
    def warnings(self) -> list[str]:
        """Warnings about these signals and their measures, as of now."""
        return warnings_now(self.settings.dataset, self.lineage.warnings, self.freshness)

    def as_json(self) -> dict[str, Any]:
        """The lineage by name, with `execution` and `path`."""
        return {"execution": self.execution, "path": self.path, **self.lineage.as_json()}


def show(settings: Settings, lake: Lake | None = None, *, execution: str | None = None) -> Shown:
    """Show one execution of the settings' dataset and strategy.

    Args:
        settings: the lake, the dataset and the strategy.
        lake: the lake; without it the one that the settings name.
        execution: its folder's name; without it the one that production reads.

    Raises:
        MissingTable: there is no such execution.
        StoreError: it was made by another tool, or cannot be read.
    """
    lake = resolve_lake(settings, lake, "show")
    found = find_execution(settings, lake, execution)
    lineage = Lineage.read(catalog.checked_lineage(lake.gold, found), found.file.location)
    fresh = freshness_of(settings.dataset, lake, lineage.newest_bar)
    return Shown(settings, found.name, found.file.location, lineage, fresh)
