"""Validators of settings: each normalizes a value, or raises ValueError with what was expected."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from math import inf, isfinite
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from hermes.dataset import check_strategy_name, normalize_symbol, strategy_file
from hermes.errors import NameRefused

EVENTS = ("signal", "failure")  # what a webhook can be told
_PERIODS = "expected months like 2022-03, days like 2022-03-15 or files like BTCUSDT-4h-2022-03"
_SPLIT = "expected SYMBOL@INSTANT=RATIO, like BTTUSDT@2022-01-18=1000: from then on prices are 1000 times as high"
_INSTANT = "expected a day like 2017-09-01 or an instant like 2017-09-01T04:00"


def instant(value: Any, end: bool) -> Any:
    """A day or an instant as naive UTC; a bare day means its first instant, or its last where it ends a period."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if len(value) > 10 else datetime.fromisoformat(value).date()
        except ValueError:
            raise ValueError(_INSTANT) from None
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        except OverflowError:  # before the first year or after the last one, once it is UTC
            raise ValueError(_INSTANT) from None
    if isinstance(value, date):
        return datetime.combine(value, time.max if end else time.min)
    raise ValueError(_INSTANT)


def open_address(url: str) -> str:
    """Refuse secrets in an address, which is printed and logged."""
    if any(ord(each) < 32 for each in url):
        raise ValueError("expected no control character in the address")
    if carries_secrets(url):
        raise ValueError("expected no user, password or query in the address: use s3.access_key and s3.secret_key")
    return url


def carries_secrets(text: str) -> bool:
    """Whether an address has a user, a password, a query or a fragment, even without a scheme."""
    return re.search(r"://.*[@?#]|^[^/\s]+:[^/\s]+@", text) is not None


def lake_url(url: str) -> str:
    """An address with `{layer}` in it: a folder, or one of S3."""
    open_address(url)
    if "{layer}" not in url:
        raise ValueError("expected {layer} in the address, like ./lake/{layer} or s3://company/hermes/{layer}")
    if "://" in url and not url.startswith("s3://"):
        raise ValueError("expected a folder like ./lake/{layer} or an S3 address like s3://{layer}")
    return url.rstrip("/")


def _check_scheme(url: str, schemes: Sequence[str], expected: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"expected {expected}")


def endpoint(url: str | None) -> str | None:
    """The base of an http(s) address, or nothing."""
    if not url:
        return None
    open_address(url)
    _check_scheme(url, ("http", "https"), "http://host:port, or https://host:port for TLS")
    return url.rstrip("/")


def receiver(url: SecretStr | None) -> SecretStr | None:
    """The address of the webhook, or nothing."""
    if url is None or not url.get_secret_value():
        return None
    _check_scheme(url.get_secret_value(), ("http", "https"), "an address like https://host/path")
    return url


def rest_address(url: str) -> str:
    """The base of the exchange's REST interface, or nothing."""
    return endpoint(url) or ""


def stream_address(url: str) -> str:
    """The base of a websocket, or nothing."""
    open_address(url)
    if url:
        _check_scheme(url, ("ws", "wss"), "ws://host:port, or wss://host:port for TLS")
    return url.rstrip("/")


def proxy(url: SecretStr | None) -> SecretStr | None:
    """The address of a proxy, or nothing."""
    if url is None or not url.get_secret_value():
        return None
    _check_scheme(url.get_secret_value(), ("http",), "http://host:port or http://user:password@host:port")
    return url


def addresses(value: Any) -> Any:
    """Apprise's addresses as one text, which is a secret as a whole."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) and "://" in each for each in value or ()):
        raise ValueError("expected addresses like tgram://TOKEN/CHAT, a list or one text with spaces between them")
    if any(len(each.split()) != 1 for each in value):
        raise ValueError("expected addresses without spaces in them: write %20")
    return SecretStr(" ".join(value)) if value else None


def _items(value: Any) -> Any:
    """The parts of a text with commas between them; anything else as it is."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def events(value: Any) -> Any:
    """Kinds of notices; in the environment one text, like `signal,failure`."""
    names = _items(value)
    if not isinstance(names, list | tuple) or not all(name in EVENTS for name in names):
        raise ValueError(f"expected some of {', '.join(EVENTS)}")
    return tuple(name for name in EVENTS if name in names)


def names(value: Any) -> Any:
    """A list of names; in the environment and on the command line it is one text, like `zscore_20,obv`."""
    names = _items(value)
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("expected names, like zscore_20,obv")
    return tuple(dict.fromkeys(names))


def namespace(name: str) -> str:
    """The name of a namespace of Iceberg, which some catalogs make a folder of."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ValueError("expected up to 64 lower-case letters, digits and '_', a letter first, like hermes")
    return name


def version(name: str) -> str:
    """What a version of a feature set is called."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", name):
        raise ValueError("expected up to 32 letters, digits, '.', '_' and '-', a letter or digit first, like 2")
    return name


def periods(value: Any) -> Any:
    """Archive files to leave out; in the environment they are one text, like `2022-03,BTCUSDT-4h-2021-11`."""
    names = _items(value)
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(_PERIODS)
    for name in names:
        found = re.fullmatch(r"(?:\w+-\w+-)?(\d{4}-\d{2})(-\d{2})?", name)
        try:
            date.fromisoformat(f"{found[1]}{found[2] or '-01'}" if found else name)
        except ValueError:
            raise ValueError(_PERIODS) from None
        if not found:
            raise ValueError(_PERIODS)
    return tuple(names)


def splits(value: Any) -> Any:
    """Known redenominations; in the environment they are one text with commas between them."""
    texts = _items(value)
    if not isinstance(texts, list | tuple):
        raise ValueError(_SPLIT)
    for text in texts:
        parse_split(text)
    return tuple(texts)


def parse_split(text: str) -> tuple[str, datetime, float]:
    """`BTTUSDT@2022-01-18=1000` → symbol, first bar in the new units (naive UTC), new price over old price."""
    found = re.fullmatch(r"\s*([^@\s]+)@([^=\s]+)=([^=\s]+)\s*", text) if isinstance(text, str) else None
    try:
        if found and isfinite(ratio := float(found[3])) and ratio > 0:
            return normalize_symbol(found[1]), instant(found[2], end=False), ratio
    except (ValueError, NameRefused):
        pass
    raise ValueError(_SPLIT)


def strategy(spec: str) -> str:
    """The name of a strategy, or a file that defines one."""
    return spec if strategy_file(spec) else check_strategy_name(spec)


def level(value: Any) -> Any:
    """A fraction above 0 and below 1; several values, as `strategies.grid` parses them, stay a text."""
    return _one(value, float, lambda number: 0 < number < 1, "a fraction above 0 and below 1, like 0.02")


def gain(value: Any) -> Any:
    """A fraction above 0; several of them stay a text."""
    return _one(value, float, lambda number: 0 < number < inf, "a fraction above 0, like 0.06")


def count(value: Any) -> Any:
    """A whole number from 1 on; several of them stay a text."""
    return _one(value, int, lambda number: number >= 1, "a whole number of bars from 1 on, like 24")


def _one(value: Any, kind: type, fits: Callable[[Any], bool], expected: str) -> Any:
    if value is None or value == "":
        return None
    if isinstance(value, str) and any(mark in value for mark in ",:"):
        return value
    try:
        number = kind(value)
        is_one = number == float(value) and not isinstance(value, bool) and fits(number)
    except (TypeError, ValueError, OverflowError):  # TOML has infinity, and integers of any size
        is_one = False
    if not is_one:
        raise ValueError(f"expected {expected}")
    return number


def size(text: str) -> str:
    """The size of an entry; `stages.backtest.account.Size` parses it."""
    kind, _, number = text.strip().partition(":")
    amount = float(number) if re.fullmatch(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?", number) else 0.0
    if text.strip() != "all" and not (
        (kind == "fraction" and 0 < amount <= 1) or (kind in ("value", "volatility") and 0 < amount < inf)
    ):
        raise ValueError("expected all, fraction:0.1 (above 0, at most 1), value:1000 or volatility:0.2 (above 0)")
    return text.strip()
