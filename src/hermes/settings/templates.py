"""Templates of notices about signals and failures: texts with names in braces; pure."""

from collections.abc import Mapping
from string import Formatter
from typing import Any

from hermes.text import POSITIONS

#: What a text can name, and what stands there: all are texts but `price` and `position`, which are numbers.
FIELDS = {
    "symbol": "BTCUSDT",
    "interval": "4h",
    "market": "spot",
    "strategy": "smart_momentum",
    "kind": "buy or sell; failure, where a run failed",
    "price": "close of the bar",
    "position": "held after the bar: 1 long, 0 flat, -1 short",
    "holding": "the same as a word: long, flat or short",
    "open_time": "open time of the bar, UTC",
    "close_time": "its close",
    "why": "the conditions that hold on the bar",
    "late": "late, where the decision was made too late",
    "link": "the execution or the file that holds the signal",
    "record_head": "newest hash of the record, where the signal is on record",
    "error": "what failed",
    "cure": "what to do about it",
    "simulated": "SIMULATED, where the market is",
}

#: What is said of a signal unless the settings say something else.
SIGNAL_TEXT = """\
{simulated}
bar closed {close_time}, now {holding} {late}
{strategy}: {why}
{link}
record {record_head}"""

_NUMBERS: Mapping[str, float] = {"price": 1.5, "position": 1}


def check_template(text: str) -> str:
    """`text` itself, if it names nothing but `FIELDS`.

    Raises:
        ValueError: it does not, or its braces do not match.
    """
    for _, name, spec, _ in Formatter().parse(text):
        if name is not None and name not in FIELDS:
            raise ValueError(f"expected only {{{'}, {'.join(FIELDS)}}} in braces, not {{{name}}}")
        format(_NUMBERS.get(name or "", "text"), spec or "")  # raises ValueError, too
    return text


def fill(template: str, told: Mapping[str, Any]) -> str:
    """A template with what a notice says; lines in which no field has a value are left out.

    Args:
        told: a notice, as the webhook is sent it.
    """
    values = _values(told)
    lines = []
    for line in template.splitlines():
        names = [name for _, name, _, _ in Formatter().parse(line) if name is not None]
        if not names or any(values[name] != "" for name in names):
            lines.append(_filled(line, values))
    return "\n".join(lines)


def _values(told: Mapping[str, Any]) -> dict[str, Any]:
    dataset = told.get("dataset", {})
    given = {**dataset, **told, "kind": told.get("kind", told.get("event", ""))}
    given |= {
        "why": ", ".join(told.get("why", ())),
        "link": told.get("link") or told.get("execution") or "",
        "holding": POSITIONS.get(told.get("position", ""), ""),
        "late": "late" if told.get("late") else "",
        "simulated": "SIMULATED" if told.get("simulated") else "",
    }
    return {name: "" if given.get(name) is None else given[name] for name in FIELDS}


def _filled(line: str, values: Mapping[str, Any]) -> str:
    """Numbers take a format like `{price:,.2f}`; what has no value is empty, whatever its format."""
    parts = []
    for literal, name, spec, _ in Formatter().parse(line):
        parts.append(literal)
        if name is not None:
            value = values[name]
            parts.append("" if value == "" else format(value, spec or "") if spec else str(value))
    return "".join(parts).strip()
