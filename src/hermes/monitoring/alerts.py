"""Short texts for people about signals and failures, to any service that Apprise knows: Telegram, Slack, e-mail …

`[notify] urls` are Apprise's addresses (extra `alerts`). An address often holds a token or a password, so it is never
printed: messages name a receiver by its place in the list and its service, like `notify.urls[0] (tgram)`.
"""

import logging
import re
from collections.abc import Mapping
from string import Formatter
from typing import Any

from hermes.errors import NoticeRefused

#: What a text can name, and what stands there: all are texts but `price` and `position`, which are numbers.
FIELDS = {
    "symbol": "BTCUSDT",
    "interval": "4h",
    "market": "spot",
    "strategy": "smart_momentum",
    "kind": "buy or sell; failure, where a run failed",
    "price": "close of the bar",
    "position": "held after the bar: 1 long, 0 flat, -1 short",
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


def send(address: str, place: int, title: str, text: str) -> None:
    """Send one text to one receiver.

    Args:
        address: Apprise's, secret; place: its number in `notify.urls`, for messages.

    Raises:
        NoticeRefused: nobody took it, or the address or the extra is missing.
    """
    name = receiver_name(address, place)
    try:
        import apprise  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise NoticeRefused(f"{name} needs the extra alerts", "pip install 'hermes[alerts]'") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its messages show addresses
    sender = apprise.Apprise()
    if not sender.add(address):
        raise NoticeRefused(
            f"{name} is no address that Apprise knows", "write it as Apprise's documentation of the service does"
        )
    if not sender.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT):
        raise NoticeRefused(f"{name} did not take a notice", "check notify.urls; it is kept and sent again")


def receiver_name(address: str, place: int) -> str:
    """How a receiver is called in messages: without anything of its address but the service."""
    service = re.match(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)", address)
    return f"notify.urls[{place}]" + (f" ({service[0].lower()})" if service else "")


def _values(told: Mapping[str, Any]) -> dict[str, Any]:
    dataset = told.get("dataset", {})
    given = {**dataset, **told, "kind": told.get("kind", told.get("event", ""))}
    given |= {
        "why": ", ".join(told.get("why", ())),
        "link": told.get("link") or told.get("execution") or "",
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
