"""The settings: their names (`sections`), their sources (`sources`), and the validated whole (`model`)."""

from hermes.settings.model import Settings, descriptions
from hermes.settings.sections import (
    PUBLIC_ARCHIVE,
    AccountSettings,
    ArchiveSettings,
    BacktestSettings,
    ClusterSettings,
    LakeSettings,
    LiveSettings,
    LogSettings,
    NotifySettings,
    RecordSettings,
    S3Settings,
    SignalsSettings,
    UpkeepSettings,
)
from hermes.settings.sources import CONFIG_FILE
from hermes.settings.values import EVENTS

__all__ = [
    "CONFIG_FILE", "EVENTS", "PUBLIC_ARCHIVE", "AccountSettings", "ArchiveSettings", "BacktestSettings",
    "ClusterSettings", "LakeSettings", "LiveSettings", "LogSettings", "NotifySettings", "RecordSettings", "S3Settings",
    "Settings", "SignalsSettings", "UpkeepSettings", "descriptions",
]  # fmt: skip
