"""Messages through the standard `logging` (logger `hermes`), and how commands write them to stderr.

As a library Hermes only logs, and whoever imports it decides what becomes of that. The command line writes for people,
who see warnings here and progress bars elsewhere, or one JSON object a line for schedulers: `time` (UTC), `level`,
`event`, and what there is of `dataset`, `step`, `rows`, `seconds`, `message`, `error`, `cure` …
"""

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, TextIO

from hermes.redaction import printable, redact

_logger = logging.getLogger("hermes")
_logger.addHandler(logging.NullHandler())  # a library that nobody listens to is silent


def event(name: str, *, level: int = logging.INFO, message: str = "", **facts: Any) -> None:
    """Log one event.

    Args:
        name: what happened, one word that a filter can ask for: `step`, `end` …
        message: the same for people; only warnings and errors need one.
        facts: what there is to know of it. Never a secret.
    """
    _logger.log(level, message or name, extra={"hermes_event": name, "hermes_facts": facts})


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """For people; errors have a line of their own already."""
        return printable(redact(f"warning: {record.getMessage()}"))


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One JSON object, on one line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        name, message = getattr(record, "hermes_event", record.name), record.getMessage()
        told = {"time": at, "level": record.levelname.lower(), "event": name}
        told |= {"message": message} if message != name else {}
        told |= getattr(record, "hermes_facts", {})
        return redact(json.dumps(told, ensure_ascii=False, default=str))


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what is stderr at that moment: progress bars put themselves in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def to_stderr(format: str) -> None:
    """Write what is logged to stderr: `text` (warnings, for people) or `json` (everything)."""
    for handler in [handler for handler in _logger.handlers if isinstance(handler, _Stderr)]:
        _logger.removeHandler(handler)
    handler = _Stderr()
    handler.setFormatter(_JsonLines() if format == "json" else _Text())
    if format != "json":
        handler.addFilter(lambda record: record.levelno == logging.WARNING)
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)


def as_json() -> bool:
    """Whether stderr takes JSON lines only."""
    return any(isinstance(handler.formatter, _JsonLines) for handler in _logger.handlers)


def wanted(line: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> str:
    """The format that the command line or the environment asks for, known before either was checked."""
    words = " ".join(sys.argv if line is None else line).replace("--log-format=", "--log-format ").split()
    given = [after for word, after in pairwise(words) if word == "--log-format"]
    return given[-1] if given else (os.environ if environ is None else environ).get("HERMES_LOG__FORMAT", "text")
