"""The sections of the settings: every name, its type, default and meaning."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from math import inf, isfinite
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from hermes.dataset import check_feature_set, check_strategy_name, normalize_symbol, strategy_file
from hermes.errors import NameRefused
from hermes.settings.templates import SIGNAL_TEXT, check_template

PUBLIC_ARCHIVE = "s3://data.binance.vision"
EVENTS = ("signal", "failure")  # what a webhook can be told
_PERIODS = "expected months like 2022-03, days like 2022-03-15 or files like BTCUSDT-4h-2022-03"
_SPLIT = "expected SYMBOL@INSTANT=RATIO, like BTTUSDT@2022-01-18=1000: from then on prices are 1000 times as high"
_INSTANT = "expected a day like 2017-09-01 or an instant like 2017-09-01T04:00"


def _instant(value: Any, end: bool) -> Any:
    """A day or an instant as naive UTC; a bare day means its first instant, or its last where it ends a period."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if len(value) > 10 else datetime.fromisoformat(value).date()
        except ValueError:
            raise ValueError(_INSTANT) from None
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime.combine(value, time.max if end else time.min)
    raise ValueError(_INSTANT)


def _open_address(url: str) -> str:
    """An address is printed and logged: it must not carry secrets."""
    if any(ord(each) < 32 for each in url):
        raise ValueError("expected no control character in the address")
    if _carries_secrets(url):
        raise ValueError("expected no user, password or query in the address: use s3.access_key and s3.secret_key")
    return url


def _carries_secrets(text: str) -> bool:
    """Whether an address has a user, a password, a query or a fragment; also one whose scheme was forgotten."""
    return re.search(r"://.*[@?#]|^[^/\s]+:[^/\s]+@", text) is not None


def _lake_url(url: str) -> str:
    _open_address(url)
    if "{layer}" not in url:
        raise ValueError("expected {layer} in the address, like ./lake/{layer} or s3://company/hermes/{layer}")
    if "://" in url and not url.startswith("s3://"):
        raise ValueError("expected a folder like ./lake/{layer} or an S3 address like s3://{layer}")
    return url.rstrip("/")


def _endpoint(url: str | None) -> str | None:
    if not url:
        return None
    _open_address(url)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected http://host:port, or https://host:port for TLS")
    return url.rstrip("/")


def _receiver(url: SecretStr | None) -> SecretStr | None:
    """Where notices are sent to; an empty one is none."""
    if url is None or not url.get_secret_value():
        return None
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address like https://host/path")
    return url


def _rest_address(url: str) -> str:
    """The base of the exchange's REST interface, or nothing."""
    return _endpoint(url) or ""


def _stream_address(url: str) -> str:
    """The base of a websocket, or nothing."""
    _open_address(url)
    parts = urlsplit(url)
    if url and (parts.scheme not in ("ws", "wss") or not parts.hostname):
        raise ValueError("expected ws://host:port, or wss://host:port for TLS")
    return url.rstrip("/")


def _proxy(url: SecretStr | None) -> SecretStr | None:
    """A proxy that requests go through; an empty one is none."""
    if url is None or not url.get_secret_value():
        return None
    parts = urlsplit(url.get_secret_value())
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("expected http://host:port or http://user:password@host:port")
    return url


def _addresses(value: Any) -> Any:
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


def _events(value: Any) -> Any:
    """What is told about; in the environment it is one text, like `signal,failure`."""
    names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(name in EVENTS for name in names):
        raise ValueError(f"expected some of {', '.join(EVENTS)}")
    return tuple(name for name in EVENTS if name in names)


def _names(value: Any) -> Any:
    """A list of names; in the environment and on the command line it is one text, like `zscore_20,obv`."""
    names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("expected names, like zscore_20,obv")
    return tuple(dict.fromkeys(names))


def _periods(value: Any) -> Any:
    """Archive files to leave out; in the environment they are one text, like `2022-03,BTCUSDT-4h-2021-11`."""
    names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
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


def _splits(value: Any) -> Any:
    """Known redenominations; in the environment they are one text with commas between them."""
    texts = [text.strip() for text in value.split(",") if text.strip()] if isinstance(value, str) else value
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
            return normalize_symbol(found[1]), _instant(found[2], end=False), ratio
    except (ValueError, NameRefused):
        pass
    raise ValueError(_SPLIT)


def _strategy(spec: str) -> str:
    """The name of a strategy, or a file that defines one."""
    return spec if strategy_file(spec) else check_strategy_name(spec)


class _Section(BaseModel):
    """Base of every section; the text below each setting becomes its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class LakeSettings(_Section):
    """Where the lake is: an address with `{layer}` in it."""

    url: Annotated[str, AfterValidator(_lake_url)] = "./lake/{layer}"
    """A folder like ./lake/{layer} or an S3 address like s3://company/hermes/{layer}."""


class S3Settings(_Section):
    """How to reach the S3 store; TLS is on where `endpoint` says https, and on AWS itself (no endpoint)."""

    endpoint: Annotated[str | None, AfterValidator(_endpoint)] = None
    """http://host:port, or https://host:port for TLS; none on AWS itself."""
    access_key: SecretStr | None = None
    """The user that MinIO knows; better in the environment than in a file."""
    secret_key: SecretStr | None = None
    """Its password; never printed or logged."""
    session_token: SecretStr | None = None
    """What goes with temporary keys; never printed or logged."""
    region: str = "us-east-1"
    """The region that requests are signed for."""
    path_style: bool = True
    """Buckets in the path (MinIO), not in the host's name."""
    ca_file: Annotated[str | None, AfterValidator(lambda path: path or None)] = None
    """PEM file of a private authority that signed the store's certificate; added to those that the system trusts."""


class ArchiveSettings(_Section):
    """Where the exchange's archive is: a folder, an http(s) address or an S3 address."""

    url: Annotated[str, AfterValidator(_open_address)] = PUBLIC_ARCHIVE
    """A folder, an http(s) address or an S3 address that is laid out as the exchange's archive."""
    exclude: Annotated[tuple[str, ...], BeforeValidator(_periods)] = ()
    """Files to leave out on purpose: months like 2022-03, days like 2022-03-15, files like BTCUSDT-4h-2022-03."""


class LiveSettings(_Section):
    """How bars are read from the exchange as they close."""

    url: Annotated[str, AfterValidator(_rest_address)] = ""
    """Base of the REST interface; empty: the market's own host, which needs no keys."""
    stream: bool = False
    """Whether a websocket wakes the reader at a close (extra live); bars are read over REST in any case."""
    stream_url: Annotated[str, AfterValidator(_stream_address)] = ""
    """Base of the websocket; empty: the market's own host."""
    settle_seconds: Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)] = 2.0
    """A bar without a successor is closed when a second reading, so long after the first, is the same."""
    poll_seconds: Annotated[float, Field(ge=0.1, le=600, allow_inf_nan=False)] = 30.0
    """Longest sleep: how soon a suspended machine, a clock that was set or a lost network is noticed."""
    consolidate: Literal["auto", "close", "hourly", "never"] = "auto"
    """When silver, features and a signals execution follow: auto is at every close from 1h up, and hourly below."""
    proxy: Annotated[SecretStr | None, AfterValidator(_proxy)] = None
    """http://host:port, with user:password@ where it asks for them; empty: what HTTPS_PROXY says. Never printed."""


class QualitySettings(_Section):
    """What is known of the bars that no archive says."""

    splits: Annotated[tuple[str, ...], BeforeValidator(_splits)] = ()
    """Known redenominations, like BTTUSDT@2022-01-18=1000: prices before are multiplied by the ratio, in gold."""

    def of(self, symbol: str) -> list[tuple[datetime, float]]:
        """The splits of one symbol: first instant in the new units (naive UTC), new price over old price."""
        return sorted((at, ratio) for name, at, ratio in map(parse_split, self.splits) if name == symbol)


class FeaturesSettings(_Section):
    """Indicators of one's own, and a feature set: columns under trial in a table beside the production one."""

    indicators: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    """Python files that define indicators, like ./my_indicators.py."""
    feature_set: Annotated[str, AfterValidator(lambda name: check_feature_set(name) if name else name)] = ""
    """A feature set, like test: its columns are read beside the production table's. Empty: production alone."""
    columns: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    """The columns of the feature set, like zscore_20,ema_50@1d; `hermes features` writes them."""
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")] = "1"
    """Version of the feature set, kept in its column features_version."""


class IcebergSettings(_Section):
    """Where `hermes export iceberg` registers the lake's tables."""

    catalog: str = ""
    """A catalog of pyiceberg's own configuration (.pyiceberg.yaml or PYICEBERG_CATALOG__*); empty: a SQLite file."""
    namespace: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] = "hermes"
    """The namespace of the tables in the catalog."""


class SignalsSettings(_Section):
    """How signals are made; `start` and `end` are inclusive, naive UTC.

    `strategy` is a name, or a file like `./mine.py:Breakout`; `strategies.registry.strategy_name` tells the name in it.
    """

    strategy: Annotated[str, AfterValidator(_strategy)] = "smart_momentum"
    """A strategy's name, or a file like ./mine.py:Breakout."""
    chunk_rows: Annotated[int, Field(ge=1)] = 100_000
    """Rows of one chunk; the result does not depend on it, memory does."""
    context_rows: Annotated[int, Field(ge=1)] = 50
    """Rows before a chunk that the rules can look back at."""
    start: Annotated[datetime | None, BeforeValidator(lambda v: _instant(v, end=False))] = None
    """First bar written; the bars before are still seen."""
    end: Annotated[datetime | None, BeforeValidator(lambda v: _instant(v, end=True))] = None
    """Last bar written; a day counts to its end."""


class BacktestSettings(_Section):
    """The account that the strategy is measured on; `fees` is a fraction of the traded value on each side."""

    initial_cash: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10_000.0
    """Cash to start with, in the quote currency."""
    fees: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """Fraction of the traded value on each side: 0.001 is 0.1 %."""
    slippage_bps: Annotated[float, Field(ge=0, lt=10_000)] = 0.0
    """Basis points that each fill is worse than the bar's price."""
    fill: Literal["close", "next_open"] = "close"
    """At the signal bar's close, or at the open of the next bar."""


def _level(value: Any) -> Any:
    """A fraction above 0 and below 1; several of them, as `strategies.grid` reads them, stay a text."""
    return _one(value, float, lambda number: 0 < number < 1, "a fraction above 0 and below 1, like 0.02")


def _gain(value: Any) -> Any:
    return _one(value, float, lambda number: 0 < number < inf, "a fraction above 0, like 0.06")


def _count(value: Any) -> Any:
    return _one(value, int, lambda number: number >= 1, "a whole number of bars from 1 on, like 24")


def _one(value: Any, kind: type, fits: Callable[[Any], bool], expected: str) -> Any:
    if value is None or value == "":
        return None
    if isinstance(value, str) and any(mark in value for mark in ",:"):
        return value
    try:
        number = kind(value)
    except (TypeError, ValueError):
        number = None
    if number is None or isinstance(value, bool) or number != float(value) or not fits(number):
        raise ValueError(f"expected {expected}")
    return number


def _size(text: str) -> str:
    """How much an entry is for; `stages.backtest.account.Size` reads it."""
    kind, _, number = text.strip().partition(":")
    amount = float(number) if re.fullmatch(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?", number) else 0.0
    if text.strip() != "all" and not (
        (kind == "fraction" and 0 < amount <= 1) or (kind in ("value", "volatility") and 0 < amount < inf)
    ):
        raise ValueError("expected all, fraction:0.1 (above 0, at most 1), value:1000 or volatility:0.2 (above 0)")
    return text.strip()


class AccountSettings(_Section):
    """How the account trades the signals: which side, how much, and when it gets out by itself.

    `stop_loss`, `take_profit`, `trailing_stop` and `max_bars` may be several values, like `0.01:0.05:0.01` or
    `0.02,0.05`, for `sweep` and `walkforward`.
    """

    side: Literal["long", "short", "both"] = "long"
    """What is entered: long, short or both."""
    size: Annotated[str, AfterValidator(_size)] = "all"
    """Of an entry: all, fraction:0.1 of the equity, value:1000, or volatility:0.2 of a year; never above the equity."""
    stop_loss: Annotated[float | str | None, BeforeValidator(_level)] = None
    """Fraction of the entry's fill at which a loss is cut: 0.02 is 2 %."""
    take_profit: Annotated[float | str | None, BeforeValidator(_gain)] = None
    """Fraction of the entry's fill at which a profit is taken: 0.06 is 6 %."""
    trailing_stop: Annotated[float | str | None, BeforeValidator(_level)] = None
    """Fraction below the best price since the entry at which the position is closed."""
    max_bars: Annotated[int | str | None, BeforeValidator(_count)] = None
    """Most bars that a position is held for."""
    min_order: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """An entry worth less, in the quote currency, is dropped."""
    lot_step: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Entries are rounded down to a multiple of it, in the base currency (cm: in the quote currency)."""


class ClusterSettings(_Section):
    """Certificates (PEM) for a Dask cluster that is reached over TLS, as in `--cluster tls://host:8786`."""

    ca_file: str | None = None
    """The authority that signed the cluster's certificates; Dask's own setting where there is none."""
    cert_file: str | None = None
    """The certificate that shows the scheduler who connects."""
    key_file: str | None = None
    """The private key of cert_file; keep it readable by its owner only."""


class LogSettings(_Section):
    """How the command line tells what it does, on stderr."""

    format: Literal["text", "json"] = "text"
    """text: progress bars and messages for people; json: one JSON object a line, for schedulers."""


class UpkeepSettings(_Section):
    """What a scheduler's `hermes run` leaves for those who watch it."""

    metrics_file: Annotated[str | None, AfterValidator(lambda path: path or None)] = None
    """Figures of the last run of each dataset for node exporter's textfile collector, like /var/lib/…/hermes.prom."""


class NotifySettings(_Section):
    """Who is told of new signals and of failures: an address that takes a signed POST, see `upkeep.webhook`."""

    url: Annotated[SecretStr | None, AfterValidator(_receiver)] = None
    """An http(s) address; often a secret in itself, so better in the environment than in a file, and never printed."""
    secret: SecretStr | None = None
    """Signs each notice; with whsec_ before it, it is base64 as in Standard Webhooks. Never printed or logged."""
    on: Annotated[tuple[str, ...], BeforeValidator(_events)] = EVENTS
    """What to tell: signal (one on a bar later than those told before), failure (a run that failed)."""
    urls: Annotated[SecretStr | None, BeforeValidator(_addresses)] = None
    """Apprise's addresses, like tgram://…: a list, or one text with spaces between them; never printed."""
    signal_title: Annotated[str, AfterValidator(check_template)] = "{symbol} {interval}: {kind} at {price}"
    """Title of what `urls` are told of a signal; {names} in braces are replaced."""
    signal_text: Annotated[str, AfterValidator(check_template)] = SIGNAL_TEXT
    """Its text; a line whose names have no value is left out."""
    failure_title: Annotated[str, AfterValidator(check_template)] = "Hermes failed: {symbol} {interval}"
    """Title of what `urls` are told of a failed run."""
    failure_text: Annotated[str, AfterValidator(check_template)] = "{error}\n{cure}"
    """Its text."""

    @property
    def addresses(self) -> list[str]:
        """What `urls` lists, secrets each of them."""
        return self.urls.get_secret_value().split() if self.urls else []


class RecordSettings(_Section):
    """The record of what `hermes live` decided."""

    late_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """A decision is late when made so long after its bar closed, or one interval after it where that is shorter."""
