"""Tests the store of each layer, with a cure for every problem."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hermes.dataset import LAYERS
from hermes.errors import HermesError, UsageError
from hermes.lake.probe import Finding
from hermes.lake.resolve import resolve_lake
from hermes.lake.store import Lake
from hermes.progress import SILENT, Progress
from hermes.settings import Settings


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Every finding, in the order of the layers."""

    settings: Settings
    findings: Sequence[Finding]

    @property
    def healthy(self) -> bool:
        """Whether all checks passed."""
        return all(finding.ok for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The result by name."""
        findings = [asdict(each) for each in self.findings]
        return {"lake": self.settings.lake.url, "healthy": self.healthy, "findings": findings}


def diagnose(settings: Settings, lake: Lake | None = None, *, progress: Progress = SILENT) -> Diagnosis:
    """Test every layer of the settings' lake; problems become findings, not errors."""
    findings: list[Finding] = []
    try:
        lake = resolve_lake(settings, lake, "diagnose")
    except UsageError:
        raise
    except HermesError as error:
        return Diagnosis(settings, [Finding("lake", "address", False, error.message, error.cure)])
    layers = [getattr(lake, name) for name in LAYERS]
    with progress.task("doctor", len(LAYERS), "layers") as advance:
        # One after the other: folders above the layers that one makes and removes again would be missed by another.
        for name, layer in zip(LAYERS, layers, strict=True):
            findings += layer.probe(name)
            advance(1, "")
    return Diagnosis(settings, findings)
