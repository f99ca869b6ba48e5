"""Lakes in which the pipeline has run up to the signals."""

from hermes import pipeline
from hermes.lake.store import Lake
from hermes.settings import Settings


def made(folder, archive, **flags):
    """Settings and lake after a run over an archive; flags are named like `dataset__symbol`."""
    given = {name.replace("__", "."): value for name, value in flags.items()}
    settings = Settings.load({"lake.url": f"{folder}/{{layer}}", "archive.url": str(archive), **given}, environ={})
    lake = Lake.open(settings)
    pipeline.ingest(settings, lake)
    pipeline.refine(settings, lake)
    pipeline.features(settings, lake)
    pipeline.signals(settings, lake)
    return settings, lake
