"""Checks that need more than one section or the origin of a value."""

from collections.abc import Mapping
from typing import Any

from hermes.dataset import FREQUENCIES, PROVIDERS, RECENT, Dataset
from hermes.errors import NameRefused, SettingsError
from hermes.settings.sections import S3Settings
from hermes.settings.sources import _CREDENTIALS
from hermes.text import one_of


def check_provider(dataset: Dataset, values: Mapping[str, tuple[Any, str]]) -> None:
    """Refuse a provider whose archive Hermes cannot read, as gold's table names do not contain the provider."""
    if dataset.provider not in PROVIDERS:
        origin = values["dataset.provider"][1]
        raise SettingsError(
            f"dataset.provider = {dataset.provider!r} ({origin}): Hermes reads the archive of {one_of(PROVIDERS)} only",
            f"leave it out, or write {PROVIDERS[0]}",
        )


def check_frequency(dataset: Dataset, values: Mapping[str, tuple[Any, str]]) -> None:
    """Refuse a frequency that no table name can contain."""
    if dataset.data_frequency not in FREQUENCIES:
        _, origin = values["dataset.data_frequency"]
        raise NameRefused(
            f"dataset.data_frequency = {dataset.data_frequency!r} ({origin}) is not one of {', '.join(FREQUENCIES)}",
            f"take {RECENT} in with `hermes ingest --frequency {RECENT}`; tables are named after the archive's files",
        )


def check_pair(s3: S3Settings, values: Mapping[str, tuple[Any, str]]) -> None:
    """Refuse half of a key pair: requests would be unsigned, and the store's answer would not say why."""
    keys = dict(zip(_CREDENTIALS, (s3.access_key, s3.secret_key, s3.session_token), strict=True))
    given = [name for name, value in keys.items() if value]
    missing = [name for name in _CREDENTIALS[:2] if given and not keys[name]]
    if missing:
        origin = values[given[0]][1]
        raise SettingsError(
            f"{given[0]} ({origin}) is set, but {missing[0]} is not",
            "give both in hermes.toml or HERMES_S3__*: they are never completed from AWS_* or MINIO_*",
        )
