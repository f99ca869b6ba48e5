"""Decodes and checks the exchange's answers: an invalid answer is refused, never repaired. Pure."""

import json
import re
from collections.abc import Sequence
from typing import Any

from hermes.errors import ExchangeError
from hermes.live.finality import COLUMNS, Bar
from hermes.live.transport import Answer

_CELL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_LONGEST_WAIT_S = 86_400.0 * 3  # that is believed


def parsed(answer: Answer) -> Any:
    """The body as JSON, with every number as its original text."""
    try:
        return json.loads(answer.body, parse_int=str, parse_float=str)
    except ValueError as error:
        raise ExchangeError(f"the answer is not JSON ({error})") from None


def server_time(found: Any) -> int:
    """Microseconds since 1970."""
    time = found.get("serverTime") if isinstance(found, dict) else None
    if not isinstance(time, str) or not time.isdigit() or len(time) not in (13, 16):
        raise ExchangeError(f"the answer {str(found)[:100]!r} has no serverTime")
    return int(time) * (1000 if len(time) == 13 else 1)


def bars(found: Any) -> Sequence[Bar]:
    """The rows of an answer, each of 12 numbers, as the archive's line has them."""
    if not isinstance(found, list):
        raise ExchangeError(f"the answer {str(found)[:100]!r} is not a list of bars")
    decoded = []
    for row in found:
        sound = isinstance(row, list) and len(row) == COLUMNS and all(isinstance(cell, str) for cell in row)
        if not sound or not all(_CELL.fullmatch(cell) for cell in row):
            raise ExchangeError(f"the row {str(row)[:200]!r} is not a bar of {COLUMNS} numbers")
        if not all(row[at].isdigit() and len(row[at]) in (13, 16) for at in (0, 6)):
            raise ExchangeError(f"the row {str(row)[:200]!r} has invalid times")
        decoded.append(Bar(tuple(row)))
    return decoded


def funding(found: Any, symbol: str, start: int) -> list[tuple[int, float]]:
    """The rows of an answer: each names the contract, and has a time and a rate from -1 to 1."""
    if not isinstance(found, list):
        raise ExchangeError(f"the answer {str(found)[:100]!r} is not a list of funding rates")
    rows, last = [], start - 1
    for row in found:
        cells = row if isinstance(row, dict) else {}
        time, rate = (str(cells.get(name, "")) for name in ("fundingTime", "fundingRate"))
        sound = cells.get("symbol") == symbol and time.isdigit() and len(time) == 13 and _CELL.fullmatch(rate)
        if not sound or int(time) <= last or abs(float(rate)) > 1:
            raise ExchangeError(f"the row {str(row)[:200]!r} is not a later funding rate of {symbol}")
        last = int(time)
        rows.append((last, float(rate)))
    return rows


def complaint(body: bytes) -> tuple[int, str]:
    """The exchange's code and message of an error."""
    try:
        found = json.loads(body)
        return int(found["code"]), str(found["msg"])[:200]
    except (ValueError, KeyError, TypeError):
        return 0, ""


def retry_after(answer: Answer) -> float:
    """Seconds that the exchange asks to wait."""
    said = answer.headers.get("retry-after", "")
    return min(float(said), _LONGEST_WAIT_S) if said.isdigit() else 60.0
