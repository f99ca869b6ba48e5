"""Values of a lake as texts; templates escape them."""

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any
from urllib.parse import quote

import polars as pl

from hermes.pages import format
from hermes.redaction import redact
from hermes.text import exact

CELL, FACT = 160, 2_000  # characters that are shown of a value: in a table, and in a list of facts


def cells(rows: pl.DataFrame) -> list[list[str]]:
    """A frame's rows, as texts."""
    return [[cell(value) for value in row] for row in rows.iter_rows()]


def cell(value: object, longest: int = CELL) -> str:
    """One value as text; secrets are masked."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**12 else str(value)
    if isinstance(value, float):
        return exact(value, 8) if isfinite(value) else str(value)
    if isinstance(value, datetime):
        return format.moment(value)
    return shortened(redact(str(value)), longest)


def shortened(text: str, longest: int = CELL) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def size(count: float) -> str:
    """Bytes: `1.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def percent(value: object) -> str:
    """A measure in percent."""
    return format.percent(value) if isinstance(value, int | float) else "–"


def flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Nested values by dotted names, as texts."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{above}{name}.")
        elif isinstance(value, list | tuple):
            found.append((f"{above}{name}", shortened(redact(", ".join(map(str, value))), FACT) or "–"))
        else:
            found.append((f"{above}{name}", cell(value, FACT)))
    return found


def address_of(name: str, execution: str = "") -> str:
    """The address of a table or an execution on the server."""
    return "/".join(["/tables", *(quote(each, safe="") for each in (name, execution) if each)])
