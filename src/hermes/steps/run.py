"""The options and the result of one run of the pipeline."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from hermes.steps.audit import Audited
from hermes.steps.feature_set import features_read
from hermes.steps.features import Featured
from hermes.steps.ingest import Ingested
from hermes.steps.lineage import Unchanged
from hermes.steps.refine import Refined
from hermes.steps.signals import Signalled

if TYPE_CHECKING:
    from hermes.steps.report import Reported


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The part of the pipeline to run for every dataset; see `pipeline.run`."""

    source: str = "archive"
    frequencies: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    audited: bool = True
    reported: bool = True
    fresh_after: datetime | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """The results of the steps of one run; None for a skipped step."""

    ingested: Ingested | None
    refined: Refined | None
    featured: Featured | None
    audited: Audited | None
    signalled: Signalled | Unchanged
    reported: "Reported | None"

    @property
    def is_new(self) -> bool:
        """Whether signals were made, or existing ones reused."""
        return isinstance(self.signalled, Signalled)

    @property
    def report(self) -> str | None:
        """Address of the execution's page, None without one."""
        if self.reported:
            return self.reported.path
        return self.signalled.report if isinstance(self.signalled, Unchanged) else None

    @property
    def verdict(self) -> dict[str, Any] | None:
        """The JSON object of the audit before these signals, None without one."""
        if self.audited:
            return self.audited.as_json()
        return self.signalled.lineage.audit if isinstance(self.signalled, Unchanged) else None

    def as_json(self) -> dict[str, Any]:
        """The JSON object of one dataset, and what the earlier steps wrote."""
        verdict = self.verdict
        return {
            **self.signalled.as_json(),
            **features_read(self.signalled.trial),
            "written": {
                "bronze": self.ingested.written if self.ingested else 0,
                "silver": len(self.refined.written) if self.refined else 0,
                "features": len(self.featured.written) if self.featured else 0,
                "executions": int(self.is_new),
            },
            "unchanged": not self.is_new,
            "report": self.report,
            "audit": verdict and verdict["verdict"],
            "checks": verdict and verdict["checks"],
            "quality": self.refined and self.refined.quality.model_dump(mode="json", exclude={"gaps"}),
        }

    def __repr__(self) -> str:
        """The signals' summary as text."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.text("Run", self.as_json())

    def _repr_html_(self) -> str:
        """The signals' summary and what was written, as HTML for notebooks."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.run(self.as_json())
