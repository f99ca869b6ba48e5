"""The keywords of `Settings.load`, for editors and type checkers; the sections themselves check the values."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal, TypedDict

from pydantic import SecretStr

Day = date | str | None  # a datetime is a date, too


class Lake(TypedDict, total=False):
    """`[lake]`."""

    url: str


class S3(TypedDict, total=False):
    """`[s3]`."""

    endpoint: str | None
    access_key: SecretStr | str | None
    secret_key: SecretStr | str | None
    session_token: SecretStr | str | None
    region: str
    path_style: bool
    ca_file: str | None


class DatasetNames(TypedDict, total=False):
    """`[dataset]`."""

    provider: str
    market: str
    data_frequency: str
    data_category: str
    symbol: str
    interval: str


class Archive(TypedDict, total=False):
    """`[archive]`."""

    url: str
    exclude: Sequence[str] | str


class Live(TypedDict, total=False):
    """`[live]`."""

    url: str
    stream: bool
    stream_url: str
    settle_seconds: float
    poll_seconds: float
    consolidate: Literal["auto", "close", "hourly", "never"]
    proxy: SecretStr | str | None


class Iceberg(TypedDict, total=False):
    """`[iceberg]`."""

    catalog: str
    namespace: str


class Features(TypedDict, total=False):
    """`[features]`."""

    indicators: Sequence[str] | str
    feature_set: str
    columns: Sequence[str] | str
    version: str


class Quality(TypedDict, total=False):
    """`[quality]`."""

    splits: Sequence[str] | str


class Signals(TypedDict, total=False):
    """`[signals]`."""

    strategy: str
    chunk_rows: int
    context_rows: int
    start: Day
    end: Day


class Backtest(TypedDict, total=False):
    """`[backtest]`."""

    initial_cash: float
    fees: float
    slippage_bps: float
    fill: Literal["close", "next_open"]


class Account(TypedDict, total=False):
    """`[account]`."""

    side: Literal["long", "short", "both"]
    size: str
    stop_loss: float | str | None
    take_profit: float | str | None
    trailing_stop: float | str | None
    max_bars: int | str | None
    min_order: float
    lot_step: float


class Cluster(TypedDict, total=False):
    """`[cluster]`."""

    ca_file: str | None
    cert_file: str | None
    key_file: str | None


class Log(TypedDict, total=False):
    """`[log]`."""

    format: Literal["text", "json"]


class Upkeep(TypedDict, total=False):
    """`[upkeep]`."""

    metrics_file: str | None


class Notify(TypedDict, total=False):
    """`[notify]`."""

    url: SecretStr | str | None
    secret: SecretStr | str | None
    on: Sequence[str] | str
    urls: Sequence[SecretStr | str] | str
    signal_title: str
    signal_text: str
    failure_title: str
    failure_text: str


class Record(TypedDict, total=False):
    """`[record]`."""

    late_seconds: float


class Keywords(TypedDict, total=False):
    """Every section."""

    lake: Lake
    s3: S3
    dataset: DatasetNames
    archive: Archive
    live: Live
    features: Features
    quality: Quality
    iceberg: Iceberg
    signals: Signals
    strategy: Mapping[str, Mapping[str, Any]]
    backtest: Backtest
    account: Account
    cluster: Cluster
    log: Log
    upkeep: Upkeep
    notify: Notify
    record: Record
