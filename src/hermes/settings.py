"""Settings from defaults < AWS_*/MINIO_* < hermes.toml < HERMES_* < flags, and where each value came from.

The same names stand everywhere: `[signals] chunk_rows` in the file, `HERMES_SIGNALS__CHUNK_ROWS` in the environment,
`--chunk-rows` on the line, `settings.signals.chunk_rows` in Python.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, SecretStr
from pydantic import ValidationError as PydanticError

from hermes.errors import NameRefused, SettingsError
from hermes.lake.dataset import LAYERS, Dataset, check_strategy_name, strategy_file
from hermes.redaction import remember

CONFIG_FILE = "hermes.toml"
PUBLIC_ARCHIVE = "s3://data.binance.vision"
EVENTS = ("signal", "failure")  # what a webhook can be told
Layer = Iterator[tuple[str, Any, str]]
#: Keys, and the variables that other S3 tools read them from: always all of one source, never one from each.
_CREDENTIALS = ("s3.access_key", "s3.secret_key", "s3.session_token")
_AMBIENT_KEYS = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"),
)
_AMBIENT_CREDENTIALS = {variable for variables in _AMBIENT_KEYS for variable in variables}
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


def _events(value: Any) -> Any:
    """What is told about; in the environment it is one text, like `signal,failure`."""
    names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(name in EVENTS for name in names):
        raise ValueError(f"expected some of {', '.join(EVENTS)}")
    return tuple(name for name in EVENTS if name in names)


def _strategy(spec: str) -> str:
    """The name of a strategy, or a file that defines one."""
    return spec if strategy_file(spec) else check_strategy_name(spec)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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


class ArchiveSettings(_Section):
    """Where the exchange's archive is: a folder, an http(s) address or an S3 address."""

    url: Annotated[str, AfterValidator(_open_address)] = PUBLIC_ARCHIVE
    """A folder, an http(s) address or an S3 address that is laid out as the exchange's archive."""


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


class Settings(_Section):
    """Every setting, validated. Build it with `load`."""

    lake: LakeSettings = LakeSettings()
    s3: S3Settings = S3Settings()
    dataset: Dataset = Dataset()
    archive: ArchiveSettings = ArchiveSettings()
    signals: SignalsSettings = SignalsSettings()
    strategy: dict[str, dict[str, Any]] = {}
    backtest: BacktestSettings = BacktestSettings()
    cluster: ClusterSettings = ClusterSettings()
    log: LogSettings = LogSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    notify: NotifySettings = NotifySettings()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(
        cls,
        flags: Mapping[str, Any] | None = None,
        *,
        file: Path | None = None,
        environ: Mapping[str, str] | None = None,
        **sections: Mapping[str, Any],
    ) -> Self:
        """Resolve the settings.

        Args:
            flags: dotted name → value, the strongest layer: `{"signals.chunk_rows": 1000}`.
            file: a TOML file; without it `hermes.toml` of the working folder where there is one.
            environ: the environment to read; without it the one of this process.
            sections: as in `hermes.toml`, as strong as flags: `dataset={"symbol": "BTCUSDT"}`.

        Raises:
            SettingsError: an unknown name or an impossible value, with the place it came from.
            NameRefused: a value outside the naming convention.
        """
        environ = (
            os.environ if environ is None else environ
        )  # as a default it would stand in every signature, secrets too
        given = (_from_flags(flags or {}), _flattened(sections, "", "argument"))
        return cls._resolved(_ambient(environ), _from_file(file), _from_environment(environ), *given)

    @classmethod
    def _resolved(cls, *layers: Layer) -> Self:
        """The settings of several layers, each stronger than those before it."""
        values: dict[str, tuple[Any, str]] = {}
        for layer in layers:
            given = {n: (value, origin) for n, value, origin in layer if value or n not in _CREDENTIALS}
            if any(name in given for name in _CREDENTIALS):  # keys go together: half of one pair opens nothing
                values = {name: found for name, found in values.items() if found[1] not in _AMBIENT_CREDENTIALS}
            values.update(given)
        nested: dict[str, Any] = {}
        for name, (value, origin) in values.items():
            _check_name(name, origin)
            _check_text(name, value, origin)
            node = nested
            *sections, key = name.split(".")
            for section in sections:
                node = node.setdefault(section, {})
            node[key] = value
        try:
            settings = cls.model_validate(nested)
        except PydanticError as error:
            raise _explained(error, values) from None
        except NameRefused as error:
            raise NameRefused(f"{error.message} ({_refused(values)})", error.cure) from None
        _check_pair(settings.s3, values)
        for _, secret in _secrets(settings):
            remember(secret.get_secret_value())
        settings._origins.update({name: origin for name, (_, origin) in values.items()})
        return settings

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to another process without secrets: there they come from its own environment or hermes.toml."""
        open_leaves = {name: value for name, value in _leaves(self) if not isinstance(value, SecretStr)}
        return _restored, (open_leaves, self._origins)

    def with_absolute_paths(self) -> Self:
        """The same settings for a process with another working folder on the same file system."""
        lake = (
            self.lake if "://" in self.lake.url else LakeSettings(url=str(Path(self.lake.url).expanduser().absolute()))
        )
        archive = self.archive
        if "://" not in archive.url:
            archive = ArchiveSettings(url=str(Path(archive.url).expanduser().absolute()))
        signals = self.signals
        if file := strategy_file(signals.strategy):
            path, name = file
            spec = str(path.absolute()) + (f":{name}" if name else "")
            signals = signals.model_copy(update={"strategy": spec})
        upkeep = self.upkeep
        if upkeep.metrics_file:
            upkeep = UpkeepSettings(metrics_file=str(Path(upkeep.metrics_file).expanduser().absolute()))
        return self.model_copy(update={"lake": lake, "archive": archive, "signals": signals, "upkeep": upkeep})

    def items(self) -> Iterator[tuple[str, str, str]]:
        """Every setting as (dotted name, value as text, origin); secrets are masked."""
        for name, value in _leaves(self):
            text = ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
            text = "********" if isinstance(value, SecretStr) else text
            yield name, text, self._origins.get(name, "default")

    def secrets(self) -> Iterator[tuple[str, SecretStr]]:
        """Every secret that is set, by its dotted name."""
        yield from _secrets(self)

    def paths(self, strategy: str | None = None) -> dict[str, str]:
        """Every address and table name that follows from the settings.

        Args:
            strategy: its name, needed only where the settings give a file for it.
        """
        dataset, strategy = self.dataset, strategy or self.signals.strategy
        gold = self.layer_url("gold")
        return {
            "archive": f"{self.archive.url.rstrip('/')}/{dataset.archive_folder}/",
            "bronze": f"{self.layer_url('bronze')}/{dataset.bronze_folder}/**/*.parquet",
            "silver": f"{self.layer_url('silver')}/{dataset.silver_folder}/**/*.parquet",
            "quality": f"{self.layer_url('silver')}/{dataset.quality_key}",
            "features": f"{gold}/{dataset.features_table}/**/*.parquet",
            "signals": f"{gold}/{dataset.signals_table(strategy)}/",
            "features table": dataset.features_table,
            "signals table": dataset.signals_table(strategy),
        }

    def layer_url(self, layer: str) -> str:
        """The address of one layer: `./lake/gold` or `s3://gold`."""
        assert layer in LAYERS
        return self.lake.url.replace("{layer}", layer)


def _leaves(settings: Settings) -> Iterator[tuple[str, Any]]:
    for section in Settings.model_fields:
        node = getattr(settings, section)
        if isinstance(node, dict):
            yield from ((f"{section}.{name}.{key}", v) for name, part in node.items() for key, v in part.items())
        else:
            names = [f.name for f in fields(node)] if is_dataclass(node) else list(type(node).model_fields)
            yield from ((f"{section}.{name}", getattr(node, name)) for name in names)


def _restored(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    """What `Settings.__reduce__` sent, with the secrets that this process knows."""
    sent: Layer = ((name, value, origins.get(name, "default")) for name, value in values.items() if value is not None)
    own: Layer = ((name, value, "here") for name, value in _leaves(Settings.load()) if isinstance(value, SecretStr))
    return Settings._resolved(sent, own)


_NAMES = [name for name, _ in _leaves(Settings())]


def _secrets(settings: Settings) -> Iterator[tuple[str, SecretStr]]:
    """Every secret that is set."""
    yield from ((name, value) for name, value in _leaves(settings) if isinstance(value, SecretStr) and value)


def _check_pair(s3: S3Settings, values: Mapping[str, tuple[Any, str]]) -> None:
    """Refuse a key without its other half: requests would go out unsigned, and the store's answer would not say why."""
    keys = dict(zip(_CREDENTIALS, (s3.access_key, s3.secret_key, s3.session_token), strict=True))
    given = [name for name, value in keys.items() if value]
    missing = [name for name in _CREDENTIALS[:2] if given and not keys[name]]
    if missing:
        origin = values[given[0]][1]
        raise SettingsError(
            f"{given[0]} ({origin}) is set, but {missing[0]} is not",
            "give both in hermes.toml or HERMES_S3__*: they are never completed from AWS_* or MINIO_*",
        )


def _refused(values: Mapping[str, tuple[Any, str]]) -> str:
    """The setting whose value has no place in the naming convention, and where it came from."""
    for name, (value, origin) in values.items():
        section, _, key = name.partition(".")
        try:
            if section == "dataset":
                Dataset(**{key: value})
            elif name == "signals.strategy":
                _strategy(value)
        except NameRefused:
            return f"{name}, {origin}"
    return "settings"


def _check_name(name: str, origin: str) -> None:
    if name in _NAMES or (name.startswith("strategy.") and name.count(".") == 2):
        return
    near = get_close_matches(name, _NAMES, n=1, cutoff=0.5)
    raise SettingsError(
        f"{name} ({origin}) is not a setting",
        f"did you mean {near[0]}?" if near else "see `hermes config` for all names",
    )


def _check_text(name: str, value: Any, origin: str) -> None:
    """Refuse text that no file system, store or file could hold; it is not shown, as it may be a secret."""
    if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        raise SettingsError(f"{name} ({origin}) holds a NUL or bytes that are not UTF-8", "write it in UTF-8")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _ambient(environ: Mapping[str, str]) -> Layer:
    """What other S3 tools read; keys are taken in pairs, never one from each."""
    for user, password, *token in _AMBIENT_KEYS:
        if environ.get(user) and environ.get(password):
            known = zip(_CREDENTIALS, (user, password, *token), strict=False)
            yield from ((name, environ[variable], variable) for name, variable in known if environ.get(variable))
            break
    for name, variables in {
        "s3.endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        "s3.region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    }.items():
        for variable in variables:
            if environ.get(variable):
                yield name, environ[variable], variable
                break


def _from_file(file: Path | None) -> Layer:
    path = file or Path(CONFIG_FILE)
    if file is None and not path.is_file():
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}", "give --config a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}", "mend the file") from None
    yield from _flattened(content, "", str(path))


def _flattened(node: Mapping[str, Any], prefix: str, origin: str) -> Layer:
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flattened(value, f"{name}.", origin)
        else:
            yield name, value, origin


def _from_environment(environ: Mapping[str, str]) -> Layer:
    for variable, value in environ.items():
        if variable.startswith("HERMES_"):
            name = variable.removeprefix("HERMES_").lower().replace("__", ".")
            yield name, value, variable


def _from_flags(flags: Mapping[str, Any]) -> Layer:
    for name, value in flags.items():
        yield name, value, "flag"


def _explained(error: PydanticError, values: Mapping[str, tuple[Any, str]]) -> SettingsError:
    """The first complaint as one line that names the setting, its value and where it came from."""
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    value, origin = values.get(name, (first["input"], "default"))
    secret = name in (*_CREDENTIALS, "notify.url", "notify.secret") or _carries_secrets(str(value))
    shown = "" if secret else f" = {value!r}"
    reason = first["msg"].removeprefix("Value error, ")
    return SettingsError(f"{name}{shown} ({origin}): {reason[0].lower()}{reason[1:]}", "mend it there")
