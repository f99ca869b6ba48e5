"""The Iceberg catalog that the lake's tables are registered in, and its errors in one line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

from hermes.errors import HermesError, StoreError, first_line
from hermes.settings import S3Settings, Settings

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog


def open_catalog(settings: Settings) -> "Catalog":
    """The catalog that `[iceberg]` names, or a SQLite file beside the layers."""
    from pyiceberg.catalog import load_catalog  # noqa: PLC0415 - an extra

    access = _access(settings.s3) if settings.lake.url.startswith("s3://") else {}
    if settings.iceberg.catalog:
        return load_catalog(settings.iceberg.catalog, **access)
    warehouse = settings.layer_url("iceberg")
    if "://" in warehouse:
        home, warehouse = Path(), warehouse.rstrip("/")
    else:
        home = Path(warehouse).expanduser().absolute()
        warehouse = home.as_uri()
    home.mkdir(parents=True, exist_ok=True)
    database = (home / "iceberg.db").absolute()
    return load_catalog("hermes", type="sql", uri=f"sqlite:///{database}", warehouse=warehouse, **access)


def _access(s3: S3Settings) -> Mapping[str, str]:
    """How pyiceberg reaches the store of the lake."""
    endpoint = {"s3.endpoint": s3.endpoint} if s3.endpoint else {}
    keys = {f"s3.{name}": value for name, value in s3.credentials()}
    return {
        **endpoint, **keys, "s3.region": s3.region, "s3.force-virtual-addressing": str(not s3.path_style).lower()
    }  # fmt: skip


@contextmanager
def errors(settings: Settings) -> Iterator[None]:
    """What pyiceberg and its storage raise becomes one line with a cure."""
    try:
        with catch_warnings():
            simplefilter("ignore")  # pyiceberg warns where a replaced file had no rows in the table yet
            yield
    except HermesError:
        raise
    except ModuleNotFoundError as error:
        raise HermesError(f"{error.name} is not installed", "pip install 'hermes-signals[iceberg]'") from None
    except Exception as error:
        where = settings.iceberg.catalog or f"the catalog of {settings.layer_url('iceberg')}"
        raise StoreError(
            f"Iceberg export to {where} failed: {type(error).__name__}: {first_line(str(error))}",
            "check [iceberg] in `hermes config`; nothing was registered that cannot be read",
        ) from error
