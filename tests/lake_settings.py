"""The settings of a lake that a test has at hand."""

from hermes.lake.store import Lake
from hermes.settings import Settings


def naming(lake: Lake) -> Settings:
    """Default settings that name `lake`; the keys of its store are not in them."""
    return Settings.load({"lake.url": f"{lake.gold.address.removesuffix('gold')}{{layer}}"}, environ={})
