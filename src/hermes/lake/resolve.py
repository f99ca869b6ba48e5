"""Resolves the lake that a step works in: the given one, or the one that the settings name."""

from hermes.errors import UsageError
from hermes.lake.backends.folder import Folder
from hermes.lake.store import Lake
from hermes.settings import Settings


def resolve_lake(settings: Settings, lake: Lake | None, name: str) -> Lake:
    """The lake to work in.

    Raises:
        UsageError: `settings` are not Settings, or the lake is not the one that they name: results read their rows
            from there.
    """
    if not isinstance(settings, Settings):
        given = f"{type(settings).__name__} {settings!r}" if isinstance(settings, str) else type(settings).__name__
        cure = 'load them first: Settings.load(dataset={"symbol": "BTCUSDT"})'
        raise UsageError(f"{name} takes Settings, and was given {given}", cure)
    if lake is None:
        return Lake.open(settings)
    if not isinstance(lake, Lake):
        raise UsageError(f"{name} takes a Lake, and was given {type(lake).__name__}", "use Lake.open(settings)")
    named = _address(settings.layer_url("gold"))
    if lake.gold.address != named:
        raise UsageError(
            f"the lake at {lake.gold.address} is not the one that the settings name, at {named}",
            "load settings with its lake.url, or leave the lake out",
        )
    return lake


def _address(url: str) -> str:
    """What `Layer.address` says of a layer at `url`; nothing is contacted."""
    return url.rstrip("/") if url.startswith("s3://") else Folder(url).address
