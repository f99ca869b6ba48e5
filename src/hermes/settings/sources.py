"""The sources of settings (other tools' variables, hermes.toml, HERMES_* variables), and what is checked by source."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hermes.dataset import FREQUENCIES, PROVIDERS, RECENT, Dataset
from hermes.errors import NameRefused, SettingsError
from hermes.settings.sections import S3Settings
from hermes.text import one_of

CONFIG_FILE = "hermes.toml"
LARGEST = 1_000_000  # bytes of a settings file
Layer = Iterator[tuple[str, Any, str]]
#: Keys, and the variables that other S3 tools read them from: always all of one source, never one from each.
_CREDENTIALS = ("s3.access_key", "s3.secret_key", "s3.session_token")
_AMBIENT_KEYS = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"),
)
_AMBIENT_CREDENTIALS = {variable for variables in _AMBIENT_KEYS for variable in variables}


def _ambient(environ: Mapping[str, str]) -> Layer:
    """Variables of other S3 tools; keys are taken in pairs, never one from each."""
    for user, password, *token in _AMBIENT_KEYS:
        if environ.get(user) and environ.get(password):
            known = zip(_CREDENTIALS, (user, password, *token), strict=False)
            yield from ((name, environ[variable], variable) for name, variable in known if environ.get(variable))
            break
    for name, variables in {
        "s3.endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        "s3.region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
        "s3.ca_file": ("AWS_CA_BUNDLE",),
    }.items():
        for variable in variables:
            if environ.get(variable):
                yield name, environ[variable], variable
                break


def _from_file(file: Path | None) -> Layer:
    path = file or Path(CONFIG_FILE)
    try:
        if file is None and not path.is_file():
            return
        import tomllib  # noqa: PLC0415 - many have no file of settings

        with path.open("rb") as opened:
            content = opened.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise SettingsError(f"{path} is larger than {LARGEST:,} bytes", "give --config a TOML file of settings")
        settings = list(_flattened(tomllib.loads(content.decode("utf-8-sig")), "", str(path)))
    except OSError as error:
        cure = "give --config a TOML file" + ("" if file else ", or start in a folder that you may read")
        raise SettingsError(f"{path} cannot be read: {error.strerror}", cure) from None
    except ValueError as error:  # also of a number with more digits than Python reads
        raise SettingsError(f"{path} is not TOML: {error}", "correct the file") from None
    except RecursionError:
        raise SettingsError(f"{path} is nested too deeply", "give --config a TOML file of settings") from None
    yield from settings


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


def check_origins(dataset: Dataset, s3: S3Settings, values: Mapping[str, tuple[Any, str]]) -> None:
    """Checks that need the origin of a value, or more than one.

    Refuses a provider whose archive Hermes cannot read, as gold's table names do not contain the provider; a frequency
    that no table name can contain; and half of a key pair: requests would be unsigned, and the store's answer would not
    say why.
    """
    if dataset.provider not in PROVIDERS:
        origin = values["dataset.provider"][1]
        raise SettingsError(
            f"dataset.provider = {dataset.provider!r} ({origin}): Hermes reads the archive of {one_of(PROVIDERS)} only",
            f"leave it out, or write {PROVIDERS[0]}",
        )
    if dataset.data_frequency not in FREQUENCIES:
        origin = values["dataset.data_frequency"][1]
        raise NameRefused(
            f"dataset.data_frequency = {dataset.data_frequency!r} ({origin}) is not one of {', '.join(FREQUENCIES)}",
            f"take {RECENT} in with `hermes ingest --frequency {RECENT}`; tables are named after the archive's files",
        )
    keys = dict(zip(_CREDENTIALS, (s3.access_key, s3.secret_key, s3.session_token), strict=True))
    given = [name for name, value in keys.items() if value]
    missing = [name for name in _CREDENTIALS[:2] if given and not keys[name]]
    if missing:
        origin = values[given[0]][1]
        raise SettingsError(
            f"{given[0]} ({origin}) is set, but {missing[0]} is not",
            "give both in hermes.toml or HERMES_S3__*: they are never completed from AWS_* or MINIO_*",
        )
