"""The record as a single file, to be verified without Hermes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hermes.errors import MissingTable, UsageError
from hermes.files import replacing
from hermes.lake.store import Lake
from hermes.record import ledger
from hermes.record.ledger import Chain, Head, chain_of, head_json
from hermes.record.table import DecisionsTable
from hermes.settings import Settings
from hermes.strategies import strategy_name

Format = Literal["csv", "parquet"]


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported file with the record of some symbols."""

    path: Path
    rows: int
    symbols: int
    heads: dict[Chain, Head]

    def as_json(self) -> dict[str, Any]:
        """The JSON object of the command line."""
        chains = [{**chain._asdict(), **head_json(head)} for chain, head in sorted(self.heads.items())]
        return {"path": str(self.path), "rows": self.rows, "chains": chains}


def export(settings: Settings, lake: Lake, path: Path, kind: Format, symbols: Sequence[str] = ()) -> Exported:
    """Write the record of some symbols, or of all, to a file: CSV holds canonical texts, Parquet typed values.

    Raises:
        MissingTable: nothing is on record for them.
        UsageError: the file cannot be written.
    """
    table = DecisionsTable.of(lake, chain_of(settings.dataset, strategy_name(settings.signals.strategy)))
    rows = table.read(symbols or None)
    if rows.is_empty():
        raise MissingTable(
            f"nothing is on record in {table.name} at {lake.gold.address}"
            + (f" of {', '.join(symbols)}" if symbols else ""),
            "run `hermes live` first, or pass the --strategy, --market and --interval that it was run with",
        )
    ordered = rows.select(ledger.in_order(rows.columns))
    try:
        with replacing(path) as beside:
            if kind == "csv":
                beside.write_bytes(ledger.to_csv(ordered))
            else:
                ordered.write_parquet(beside)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", "name a file in an existing folder") from None
    return Exported(path, ordered.height, ordered["symbol"].n_unique(), ledger.heads(ordered))
