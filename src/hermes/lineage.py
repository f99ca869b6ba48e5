"""The lineage of an execution: its inputs, its settings and its results, as JSON in the footer of every signals file.

Every field has a role, which says what a difference in that field means:

- `identity`: another execution, not a newer one of the same: strategy, parameters, start and end, account.
- `input`: the same execution, to be made again: Hermes, the strategy's source, the files that it reads.
- `setup`: nothing, as the rows do not depend on it.
- `result`: the counts and measures of the rows.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hermes.errors import StoreError

Role = Literal["identity", "input", "setup", "result"]


def _has(role: Role, **options: Any) -> Any:
    return Field(json_schema_extra={"role": role}, **options)


class Source(BaseModel):
    """One file that was read."""

    model_config = ConfigDict(frozen=True, extra="allow")

    path: str
    size: int
    fingerprint: str
    version: str | None
    rows: int


class Lineage(BaseModel):
    """The lineage of one execution. Times are ISO 8601; those of bars are UTC without an offset."""

    model_config = ConfigDict(frozen=True, extra="allow")  # a later Hermes may have written more

    format: int = _has("setup", default=1)  # of the file, see `lake.store.FORMAT`
    hermes: str = _has("input")
    python: str = _has("setup")
    libraries: dict[str, str] = _has("setup")
    layer: str = _has("setup")
    dataset: dict[str, str] = _has("identity")
    strategy: str = _has("identity")
    strategy_source: str = _has("input")
    columns: dict[str, str] = _has("setup")
    derived_columns: list[str] = _has("setup")
    parameters: dict[str, Any] = _has("identity")
    start: str | None = _has("identity")
    end: str | None = _has("identity")
    backtest: dict[str, Any] = _has("identity")
    account: dict[str, Any] | None = _has("identity", default=None)  # older executions have none: long or flat, all in
    feature_set: str | None = _has("identity", default=None)  # whose columns were read beside production's
    trial: dict[str, Any] | None = _has("setup", default=None)
    indicators: dict[str, str] = _has("input", default_factory=dict)  # of the user's own: column → source
    measures_revision: int = _has("input", default=1)  # of their formulas, see `measures.REVISED`
    chunk_rows: int = _has("setup")
    context_rows: int = _has("setup")
    sources: list[Source] = _has("input")
    audit: dict[str, Any] | None = _has("result", default=None)
    sequence: int = _has("result", default=0)
    rows: int = _has("result")
    first: str = _has("result")
    last: str = _has("result")
    unique_days: int = _has("result")
    buy_signals: int = _has("result")
    sell_signals: int = _has("result")
    total_signals: int = _has("result")
    generated_at: str = _has("result")
    metrics: dict[str, Any] = _has("result")
    fills: dict[str, dict[str, Any]] = _has("result", default_factory=dict)  # older executions have the configured one
    splits: list[list[Any]] = _has("result", default_factory=list)  # that the features were adjusted for
    freshness: dict[str, Any] = _has("result", default_factory=dict)
    warnings: list[str] = _has("result", default_factory=list)
    seconds: float = _has("result", default=0.0)

    @classmethod
    def read(cls, footer: Mapping[str, Any], path: str) -> Self:
        """The lineage that a footer holds.

        Raises:
            StoreError: the file at `path` was made by another tool, or its lineage is not whole.
        """
        if "metrics" not in footer:
            raise StoreError(f"{path} has no lineage of Hermes", "name an execution that Hermes made")
        try:
            return cls.model_validate(footer)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            what = f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
            raise StoreError(f"the lineage in {path} is incomplete: {what}", "make the signals again") from None

    @classmethod
    def footer(cls, made: Mapping[str, Any]) -> dict[str, Any]:
        """What goes into the footer of a new execution: every field, and no other."""
        assert made.keys() == cls.model_fields.keys(), "name a new field in Lineage, and say its role"
        return cls.model_validate(made).as_json()

    def as_json(self) -> dict[str, Any]:
        """What the footer holds."""
        return self.model_dump()

    @property
    def newest_bar(self) -> datetime:
        """Open time of the newest bar of the features, naive UTC; of an older execution, of its own last bar."""
        return datetime.fromisoformat(self.freshness.get("newest_bar", self.last).removesuffix("Z"))

    def inputs(self) -> dict[str, Any]:
        """The fields whose role is `input`; of a file, its address and its version."""
        told = {name: getattr(self, name) for name in fields_with("input")}
        return {**told, "sources": source_versions((each.path, each.version) for each in self.sources)}


def fields_with(role: Role) -> list[str]:
    """The fields that have a role."""
    return [name for name, field in Lineage.model_fields.items() if _role(field.json_schema_extra) == role]


def source_versions(files: Any) -> Sequence[tuple[str, str | None]]:
    """Files by address and version, sorted so that equal sets compare equal."""
    return sorted(files)


def _role(extra: Any) -> Role | None:
    return extra.get("role") if isinstance(extra, dict) else None


assert all(_role(field.json_schema_extra) in get_args(Role) for field in Lineage.model_fields.values())
