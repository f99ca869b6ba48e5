"""Lakes in which the pipeline has run up to the signals."""

from hermes import pipeline
from hermes.lake.store import Lake
from hermes.settings import Settings


def opened(folder, archive, **flags):
    """Settings and lake; flags are named like `dataset__symbol`."""
    given = {name.replace("__", "."): value for name, value in flags.items()}
    settings = Settings.load({"lake.url": f"{folder}/{{layer}}", "archive.url": str(archive), **given}, environ={})
    return settings, Lake.open(settings)


def made(folder, archive, **flags):
    """Settings and lake after a run over an archive."""
    settings, lake = opened(folder, archive, **flags)
    pipeline.ingest(settings, lake)
    pipeline.refine(settings, lake)
    pipeline.features(settings, lake)
    pipeline.signals(settings, lake)
    return settings, lake
