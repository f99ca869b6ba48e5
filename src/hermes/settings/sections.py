"""The sections of the settings: every name, its type, default and meaning."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from hermes.dataset import check_feature_set
from hermes.settings import values
from hermes.settings.templates import SIGNAL_TEXT, check_template
from hermes.settings.values import EVENTS

PUBLIC_ARCHIVE = "s3://data.binance.vision"


class Section(BaseModel):
    """Base of all sections; the text below each setting is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LakeSettings(Section):
    """Where the lake is: an address with `{layer}` in it."""

    url: Annotated[str, AfterValidator(values.lake_url)] = "./lake/{layer}"
    """A folder like ./lake/{layer} or an S3 address like s3://company/hermes/{layer}."""


class S3Settings(Section):
    """How to reach the S3 store; TLS is on where `endpoint` says https, and on AWS itself (no endpoint)."""

    endpoint: Annotated[str | None, AfterValidator(values.endpoint)] = None
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

    def credentials(self) -> Iterator[tuple[str, str]]:
        """The keys in plain text, by the names that S3 clients share; none where no pair is set."""
        if self.access_key and self.secret_key:
            yield "access-key-id", self.access_key.get_secret_value()
            yield "secret-access-key", self.secret_key.get_secret_value()
            if self.session_token:
                yield "session-token", self.session_token.get_secret_value()


class ArchiveSettings(Section):
    """Where the exchange's archive is: a folder, an http(s) address or an S3 address."""

    url: Annotated[str, AfterValidator(values.open_address)] = PUBLIC_ARCHIVE
    """A folder, an http(s) address or an S3 address that is laid out as the exchange's archive."""
    exclude: Annotated[tuple[str, ...], BeforeValidator(values.periods)] = ()
    """Files to leave out on purpose: months like 2022-03, days like 2022-03-15, files like BTCUSDT-4h-2022-03."""


class LiveSettings(Section):
    """How bars are read from the exchange as they close."""

    url: Annotated[str, AfterValidator(values.rest_address)] = ""
    """Base of the REST interface; empty: the market's own host, which needs no keys."""
    stream: bool = False
    """Whether a websocket wakes the reader at a close (extra live); bars are read over REST in any case."""
    stream_url: Annotated[str, AfterValidator(values.stream_address)] = ""
    """Base of the websocket; empty: the market's own host."""
    settle_seconds: Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)] = 2.0
    """A bar without a successor is closed when a second reading, so long after the first, is the same."""
    poll_seconds: Annotated[float, Field(ge=0.1, le=600, allow_inf_nan=False)] = 30.0
    """Longest sleep: how soon a suspended machine, a clock that was set or a lost network is noticed."""
    consolidate: Literal["auto", "close", "hourly", "never"] = "auto"
    """When silver, features and a signals execution follow: auto is at every close from 1h up, and hourly below."""
    proxy: Annotated[SecretStr | None, AfterValidator(values.proxy)] = None
    """http://host:port, with user:password@ where it asks for them; empty: what HTTPS_PROXY says. Never printed."""


class QualitySettings(Section):
    """Facts about the bars that the archive does not contain."""

    splits: Annotated[tuple[str, ...], BeforeValidator(values.splits)] = ()
    """Known redenominations, like BTTUSDT@2022-01-18=1000: prices before are multiplied by the ratio, in gold."""

    def of(self, symbol: str) -> list[tuple[datetime, float]]:
        """The splits of one symbol: first instant in the new units (naive UTC), new price over old price."""
        return sorted((at, ratio) for name, at, ratio in map(values.parse_split, self.splits) if name == symbol)


class FeaturesSettings(Section):
    """Custom indicators, and the feature set: columns under trial in a table beside the production one."""

    indicators: Annotated[tuple[str, ...], BeforeValidator(values.names)] = ()
    """Python files that define indicators, like ./my_indicators.py."""
    feature_set: Annotated[str, AfterValidator(lambda name: check_feature_set(name) if name else name)] = ""
    """A feature set, like test: its columns are read beside the production table's. Empty: production alone."""
    columns: Annotated[tuple[str, ...], BeforeValidator(values.names)] = ()
    """The columns of the feature set, like zscore_20,ema_50@1d; `hermes features` writes them."""
    version: Annotated[str, AfterValidator(values.version)] = "1"
    """Version of the feature set, kept in its column features_version."""


class IcebergSettings(Section):
    """Where `hermes export iceberg` registers the lake's tables."""

    catalog: str = ""
    """A catalog of pyiceberg's own configuration (.pyiceberg.yaml or PYICEBERG_CATALOG__*); empty: a SQLite file."""
    namespace: Annotated[str, AfterValidator(values.namespace)] = "hermes"
    """The namespace of the tables in the catalog."""


class SignalsSettings(Section):
    """How signals are made; `start` and `end` are inclusive, naive UTC.

    `strategy` is a name, or a file like `./mine.py:Breakout`; `strategies.registry.strategy_name` tells the name in it.
    """

    strategy: Annotated[str, AfterValidator(values.strategy)] = "smart_momentum"
    """A strategy's name, or a file like ./mine.py:Breakout."""
    chunk_rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100_000
    """Rows of one chunk; the result does not depend on it, memory does."""
    context_rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 50
    """Rows before a chunk that the rules can look back at."""
    start: Annotated[datetime | None, BeforeValidator(lambda v: values.instant(v, end=False))] = None
    """First bar written; the bars before are still seen."""
    end: Annotated[datetime | None, BeforeValidator(lambda v: values.instant(v, end=True))] = None
    """Last bar written; a day counts to its end."""


class BacktestSettings(Section):
    """The account that the strategy is measured on; `fees` is a fraction of the traded value on each side."""

    initial_cash: Annotated[float, Field(gt=0, le=1e18, allow_inf_nan=False)] = 10_000.0
    """Cash to start with, in the quote currency."""
    fees: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """Fraction of the traded value on each side: 0.001 is 0.1 %."""
    slippage_bps: Annotated[float, Field(ge=0, lt=10_000)] = 0.0
    """Basis points that each fill is worse than the bar's price."""
    fill: Literal["close", "next_open"] = "close"
    """At the signal bar's close, or at the open of the next bar."""


class AccountSettings(Section):
    """How the account trades the signals: sides, sizes and exits.

    `stop_loss`, `take_profit`, `trailing_stop` and `max_bars` may be several values, like `0.01:0.05:0.01` or
    `0.02,0.05`, for `sweep`.
    """

    side: Literal["long", "short", "both"] = "long"
    """What is entered: long, short or both."""
    size: Annotated[str, AfterValidator(values.size)] = "all"
    """Of an entry: all, fraction:0.1 of the equity, value:1000, or volatility:0.2 of a year; never above the equity."""
    stop_loss: Annotated[float | str | None, BeforeValidator(values.level)] = None
    """Fraction of the entry's fill at which a loss is cut: 0.02 is 2 %."""
    take_profit: Annotated[float | str | None, BeforeValidator(values.gain)] = None
    """Fraction of the entry's fill at which a profit is taken: 0.06 is 6 %."""
    trailing_stop: Annotated[float | str | None, BeforeValidator(values.level)] = None
    """Fraction below the best price since the entry at which the position is closed."""
    max_bars: Annotated[int | str | None, BeforeValidator(values.count)] = None
    """Most bars that a position is held for."""
    min_order: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """An entry worth less, in the quote currency, is dropped."""
    lot_step: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Entries are rounded down to a multiple of it, in the base currency (cm: in the quote currency)."""


class ClusterSettings(Section):
    """Certificates (PEM) for a Dask cluster that is reached over TLS, as in `--cluster tls://host:8786`."""

    ca_file: str | None = None
    """The authority that signed the cluster's certificates; Dask's own setting where there is none."""
    cert_file: str | None = None
    """The certificate that shows the scheduler who connects."""
    key_file: str | None = None
    """The private key of cert_file; keep it readable by its owner only."""


class LogSettings(Section):
    """What the command line logs on stderr."""

    format: Literal["text", "json"] = "text"
    """text: progress bars and messages for people; json: one JSON object a line, for schedulers."""


class UpkeepSettings(Section):
    """Monitoring of `hermes run` under a scheduler."""

    metrics_file: Annotated[str | None, AfterValidator(lambda path: path or None)] = None
    """Figures of the last run of each dataset for node exporter's textfile collector, like /var/lib/…/hermes.prom."""


class NotifySettings(Section):
    """Receivers of notices about signals and failures: a signed webhook, and addresses of Apprise."""

    url: Annotated[SecretStr | None, AfterValidator(values.receiver)] = None
    """An http(s) address; often a secret in itself, so better in the environment than in a file, and never printed."""
    secret: SecretStr | None = None
    """Signs each notice; with whsec_ before it, it is base64 as in Standard Webhooks. Never printed or logged."""
    on: Annotated[tuple[str, ...], BeforeValidator(values.events)] = EVENTS
    """What to tell: signal (one on a bar later than those told before), failure (a run that failed)."""
    urls: Annotated[SecretStr | None, BeforeValidator(values.addresses)] = None
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
        """The addresses in `urls`; each may be a secret."""
        return self.urls.get_secret_value().split() if self.urls else []


class RecordSettings(Section):
    """The record of live decisions."""

    late_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """A decision is late when made so long after its bar closed, or one interval after it where that is shorter."""
