"""Masks the secrets of this process in all output: errors, tracebacks, logs."""

import re

from hermes.errors import HermesError, first_line

_MASK = "********"
_MIN_LENGTH = 8  # a shorter one is a word, and would mask half of every text; S3 stores take none

# What addresses carry, whoever put it there: user and password before a host, keys and tokens in a query.
_CARRIED = re.compile(
    r"(?<=://)[^\s@'\"]+(?=[@…])|(?<=[?&#])[\w.-]*(?:token|secret|key|password|credential|signature)[\w.-]*=[^\s&'\"]+",
    re.I,
)

_known: set[str] = set()


def remember(secret: str) -> None:
    """Mask `secret` from now on."""
    if len(secret) >= _MIN_LENGTH:
        _known.add(secret)


def redact(text: str) -> str:
    """`text` with every secret in it masked, and users, passwords and queries of addresses."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return _CARRIED.sub(_MASK, text)


def printable(text: str) -> str:
    """`text` with what would move a terminal's cursor, or turn its text around, shown as an escape."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def as_hermes_error(error: BaseException) -> HermesError:
    """`error` as a HermesError to show: one of Hermes' own unchanged, any other in one line, with secrets masked."""
    if isinstance(error, HermesError):
        return error
    what = first_line(redact(str(error)))
    return HermesError(f"unexpected {type(error).__name__}: {what}", "run again with -v and report it")


def open_cause(error: Exception) -> Exception:
    """`error` as the cause of another one: itself, or its text alone where that held a secret."""
    text = str(error)
    said = redact(text)
    return error if said == text else RuntimeError(f"{type(error).__name__}: {said}")
