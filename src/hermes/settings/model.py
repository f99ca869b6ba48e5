"""Settings from defaults < AWS_*/MINIO_* < hermes.toml < HERMES_* < flags, and where each value came from.

The names are the same everywhere: `[signals] chunk_rows` in the file, `HERMES_SIGNALS__CHUNK_ROWS` in the environment,
`--chunk-rows` on the line, `settings.signals.chunk_rows` in Python.
"""

import ast
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from inspect import cleandoc, getsource
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any, Self, Unpack

from pydantic import BaseModel, Field, PrivateAttr, SecretStr
from pydantic import ValidationError as PydanticError

from hermes.dataset import LAYERS, TEST_LAYER, Dataset, absolute, strategy_file
from hermes.errors import NameRefused, SettingsError
from hermes.redaction import remember
from hermes.settings import sections
from hermes.settings.keywords import Keywords
from hermes.settings.refusals import explained
from hermes.settings.sources import (
    _AMBIENT_CREDENTIALS,
    _CREDENTIALS,
    Layer,
    _ambient,
    _flattened,
    _from_environment,
    _from_file,
    check_origins,
)
from hermes.settings.values import strategy
from hermes.text import is_unicode


class Settings(sections.Section):
    """Every setting, validated. Build it with `load`."""

    lake: sections.LakeSettings = sections.LakeSettings()
    s3: sections.S3Settings = sections.S3Settings()
    dataset: Dataset = Dataset()
    archive: sections.ArchiveSettings = sections.ArchiveSettings()
    live: sections.LiveSettings = sections.LiveSettings()
    quality: sections.QualitySettings = sections.QualitySettings()
    features: sections.FeaturesSettings = sections.FeaturesSettings()
    signals: sections.SignalsSettings = sections.SignalsSettings()
    strategy: dict[str, dict[str, Any]] = Field(default_factory=dict)
    backtest: sections.BacktestSettings = sections.BacktestSettings()
    account: sections.AccountSettings = sections.AccountSettings()
    cluster: sections.ClusterSettings = sections.ClusterSettings()
    iceberg: sections.IcebergSettings = sections.IcebergSettings()
    log: sections.LogSettings = sections.LogSettings()
    upkeep: sections.UpkeepSettings = sections.UpkeepSettings()
    notify: sections.NotifySettings = sections.NotifySettings()
    record: sections.RecordSettings = sections.RecordSettings()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(
        cls,
        flags: Mapping[str, Any] | None = None,
        *,
        file: Path | None = None,
        environ: Mapping[str, str] | None = None,
        **sections: Unpack[Keywords],
    ) -> Self:
        """Resolve the settings from all sources.

        Args:
            flags: dotted name → value, with the highest precedence: `{"signals.chunk_rows": 1000}`.
            file: a TOML file; by default `hermes.toml` of the working folder, if it exists.
            environ: the environment; by default that of this process.
            sections: as in `hermes.toml`, with the precedence of flags: `dataset={"symbol": "BTCUSDT"}`.

        Raises:
            SettingsError: an unknown name or an invalid value, with its origin.
            NameRefused: a value outside the naming convention.
        """
        if not isinstance(flags, Mapping | None):
            raise SettingsError(
                f"Settings.load takes names and values, not {type(flags).__name__}",
                'write it like Settings.load(dataset={"symbol": "BTCUSDT"})',
            )
        environ = os.environ if environ is None else environ  # as a default it would show secrets in the signature
        given: Layer = ((name, value, "flag") for name, value in (flags or {}).items())
        named = _flattened(sections, "", "argument")
        return cls._resolved(_ambient(environ), _from_file(file), _from_environment(environ), given, named)

    @classmethod
    def _resolved(cls, *layers: Layer) -> Self:
        """The settings of several layers in ascending precedence."""
        values: dict[str, tuple[Any, str]] = {}
        for layer in layers:
            given = {n: (value, origin) for n, value, origin in layer if value or n not in _CREDENTIALS}
            if any(name in given for name in _CREDENTIALS):  # keys go together: half of one pair opens nothing
                values = {name: found for name, found in values.items() if found[1] not in _AMBIENT_CREDENTIALS}
            values.update(given)
        nested: dict[str, Any] = {}
        for name, (value, origin) in values.items():
            _check_given(name, value, origin)
            node = nested
            *sections, key = name.split(".")
            for section in sections:
                node = node.setdefault(section, {})
            node[key] = value
        try:
            settings = cls.model_validate(nested)
        except PydanticError as error:
            raise explained(error, values, cls) from None
        except NameRefused as error:
            raise NameRefused(f"{error.message} ({_refused(values)})", error.cure) from None
        check_origins(settings.dataset, settings.s3, values)
        for _, secret in settings.secrets():
            remember(secret.get_secret_value())
        settings._origins.update({name: origin for name, (_, origin) in values.items()})
        return settings

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without secrets: the other process reads them from its own environment or hermes.toml."""
        open_leaves = {name: value for name, value in _leaves(self) if not isinstance(value, SecretStr)}
        return _restored, (open_leaves, self._origins)

    def with_absolute_paths(self) -> Self:
        """The same settings, for a process with another working folder on the same file system."""

        def made_absolute(section: sections.Section, name: str) -> sections.Section:
            path = getattr(section, name)
            return section if not path or "://" in path else section.model_copy(update={name: str(absolute(path))})

        signals = self.signals
        if file := strategy_file(signals.strategy):
            path, name = file
            spec = str(path.absolute()) + (f":{name}" if name else "")
            signals = signals.model_copy(update={"strategy": spec})
        files = tuple(str(absolute(name)) for name in self.features.indicators)
        features = self.features.model_copy(update={"indicators": files})
        made = {
            "lake": made_absolute(self.lake, "url"),
            "archive": made_absolute(self.archive, "url"),
            "s3": made_absolute(self.s3, "ca_file"),
            "upkeep": made_absolute(self.upkeep, "metrics_file"),
        }
        return self.model_copy(update={**made, "features": features, "signals": signals})

    def items(self) -> Iterator[tuple[str, str, str]]:
        """Every setting as (dotted name, value as text, origin); secrets are masked."""
        for name, value in _leaves(self):
            text = ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
            text = "********" if isinstance(value, SecretStr) else text
            yield name, text, self._origins.get(name, "default")

    def secrets(self) -> Iterator[tuple[str, SecretStr]]:
        """Every secret that is set, by its dotted name."""
        yield from ((name, value) for name, value in _leaves(self) if isinstance(value, SecretStr) and value)

    def paths(self, strategy: str | None = None) -> dict[str, str]:
        """All addresses and table names that follow from the settings.

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
        assert layer in (*LAYERS, TEST_LAYER, "iceberg")
        return self.lake.url.replace("{layer}", layer)


def descriptions(kind: type) -> dict[str, str]:
    """The description of each setting of a section, by name: the text below it in the source, or "".

    Args:
        kind: the class of a section, or of a strategy's parameters.
    """
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        texts |= _texts_below(each)
    if issubclass(kind, BaseModel):
        return {name: field.description or texts.get(name, "") for name, field in kind.model_fields.items()}
    assert is_dataclass(kind)
    return {each.name: texts.get(each.name, "") for each in fields(kind)}  # of `Dataset`, which is no pydantic model


@cache
def _texts_below(kind: type) -> dict[str, str]:
    """The text below each attribute of a class, read from its source: pydantic would read it at every start."""
    try:
        (body,) = ast.parse(dedent(getsource(kind))).body
    except (OSError, TypeError, SyntaxError):  # a class of Python itself, or one that was typed in
        return {}
    found = {}
    for line, below in pairwise(body.body if isinstance(body, ast.ClassDef) else ()):
        match line, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = cleandoc(text)
    return found


def _leaves(settings: Settings) -> Iterator[tuple[str, Any]]:
    for section in Settings.model_fields:
        node = getattr(settings, section)
        if isinstance(node, dict):
            yield from ((f"{section}.{name}.{key}", v) for name, part in node.items() for key, v in part.items())
        else:
            names = [f.name for f in fields(node)] if is_dataclass(node) else list(type(node).model_fields)
            yield from ((f"{section}.{name}", getattr(node, name)) for name in names)


def _restored(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    """Unpickle settings, with the secrets of this process."""
    sent: Layer = ((name, value, origins.get(name, "default")) for name, value in values.items() if value is not None)
    own: Layer = ((name, value, "here") for name, value in _leaves(Settings.load()) if isinstance(value, SecretStr))
    return Settings._resolved(sent, own)


_NAMES = [name for name, _ in _leaves(Settings())]


def _refused(values: Mapping[str, tuple[Any, str]]) -> str:
    """The setting whose value the naming convention does not allow, and its origin."""
    for name, (value, origin) in values.items():
        section, _, key = name.partition(".")
        try:
            if section == "dataset":
                Dataset(**{key: value})
            elif name == "signals.strategy":
                strategy(value)
        except NameRefused:
            return f"{name}, {origin}"
    return "settings"


def _check_given(name: str, value: Any, origin: str) -> None:
    """Refuse an unknown name, and text that no file system or store can hold; it is not shown: it may be a secret."""
    if name not in _NAMES and not (name.startswith("strategy.") and name.count(".") == 2):
        near = get_close_matches(name, _NAMES, n=1, cutoff=0.5)
        raise SettingsError(
            f"{name} ({origin}) is not a setting",
            f"did you mean {near[0]}?" if near else "see `hermes config` for all names",
        )
    if isinstance(value, str) and ("\0" in value or not is_unicode(value)):
        raise SettingsError(f"{name} ({origin}) holds a NUL or bytes that are not UTF-8", "write it in UTF-8")
