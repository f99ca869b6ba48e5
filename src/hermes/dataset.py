"""The naming convention: the one place that knows a path or a table name. Pure: no storage here.

Every name can be read back: `parse_*` is the inverse of the property that made it.

Longer than 300 lines, because every name stands beside its inverse: paths and tables are looked up in one place.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Self

from hermes.errors import NameRefused, UsageError

#: Bar length in seconds; a calendar month has none of its own and counts 30 days where a length is needed.
INTERVAL_SECONDS = {
    "1s": 1,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "4h": 14400,
    "6h": 21600,
    "8h": 28800,
    "12h": 43200,
    "1d": 86400,
    "3d": 259200,
    "1w": 604800,
    "1mo": 2592000,
}
#: market → its folder in the exchange's archive.
MARKETS = {"spot": "spot", "um": "futures/um", "cm": "futures/cm"}
FREQUENCIES = ("monthly", "daily")
#: Of bronze: the archive's, and what the exchange itself gave since.
RECENT = "recent"
BRONZE_FREQUENCIES = (*FREQUENCIES, RECENT)
CATEGORIES = ("klines",)
PROVIDERS = ("binance",)  # whose archive can be read
LAYERS = ("bronze", "silver", "gold")
TEST_LAYER = "test"  # of feature sets: columns under trial, that production never reads by accident
LOCKS = "_locks"

SYMBOL_BYTES = 64  # keeps every path under the 255 bytes that file systems allow for one name
_SEPARATED = re.compile(r"(\w+)[/-](\w+)")
_PROVIDER = re.compile(r"[a-z][a-z0-9]{0,31}")
_STRATEGY = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_FEATURE_SET = re.compile(r"[a-z][a-z0-9]{0,31}")
_STRATEGY_FILE = re.compile(r"(.+\.py)(?::([^:/\\]+))?")
_STAMP = "%Y%m%d_%H%M%S"
# Device names that some file systems reserve: a folder of that name cannot be made there.
_RESERVED = {"CON", "PRN", "AUX", "NUL"} | {f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10)}


def bar_close(interval: str, opened: datetime) -> datetime:
    """When the bar that opens then closes, by the calendar: that of `1mo` where the next month begins."""
    if interval == "1mo":
        return (datetime(opened.year, opened.month, 1, tzinfo=opened.tzinfo) + timedelta(31)).replace(day=1)
    return opened + timedelta(seconds=INTERVAL_SECONDS[interval])


def periods_per_year(interval: str) -> float:
    """How many bars a year of 365 days holds; 12 of `1mo`."""
    return 12.0 if interval == "1mo" else 365 * 86_400 / INTERVAL_SECONDS[interval]


def normalize_symbol(text: str) -> str:
    """The one spelling of a symbol: `btc/usdt`, `BTC-USDT` and `BTCUSDT` are all `BTCUSDT`.

    Raises:
        NameRefused: anything but letters, digits and `_` of any script, 1 to 64 bytes.
    """
    symbol = unicodedata.normalize("NFC", text)
    if pair := _SEPARATED.fullmatch(symbol):
        symbol = pair[1] + pair[2]
    # By way of case folding, or a file system that folds case would keep ẞ and SS as one.
    symbol = unicodedata.normalize("NFC", symbol.casefold().upper())
    plain = re.fullmatch(r"\w+", symbol) and symbol == unicodedata.normalize("NFC", symbol.upper())
    if not plain or len(symbol.encode()) > SYMBOL_BYTES or symbol in _RESERVED:
        raise NameRefused(
            f"symbol {_short(text)} is not a name of letters, digits and '_' (at most {SYMBOL_BYTES} bytes)",
            "write it as the exchange does, like BTCUSDT or BTC/USDT",
        )
    return symbol


def check_strategy_name(name: str) -> str:
    """`name` itself, if it can stand in a table's name: lower case words joined by `_`."""
    if not _STRATEGY.fullmatch(name) or len(name) > 64:
        raise NameRefused(
            f"strategy {_short(name)} is not lower-case words joined by '_'", "write it like smart_momentum"
        )
    return name


def check_feature_set(name: str) -> str:
    """`name` itself, if it can name a feature set: lower-case letters and digits, and not a market."""
    if not _FEATURE_SET.fullmatch(name) or name in MARKETS:
        raise NameRefused(
            f"feature set {_short(name)} is not lower-case letters and digits, or is the name of a market",
            "write it like test",
        )
    return name


def expanded(path: str) -> Path:
    """Expand a leading `~` to the home folder; `./~x` is a folder of that name.

    Raises:
        UsageError: `~name` names a user that does not exist.
    """
    if not path.startswith("~"):
        return Path(path)
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"{_short(path)} begins with the home folder of a user that does not exist", "write ./~…"
        ) from None


def absolute(path: str) -> Path:
    """The path as an absolute one, with `~` expanded.

    Raises:
        UsageError: it is relative to a working folder that was removed; or as `expanded`.
    """
    try:
        return expanded(path).absolute()
    except FileNotFoundError:
        raise UsageError(
            f"{_short(path)} is relative to a working folder that no longer exists", "start in a folder that exists"
        ) from None


def strategy_file(spec: str) -> tuple[Path, str | None] | None:
    """File and class of a strategy given as `./mine.py:Breakout` or `./mine.py`; None if `spec` is a name."""
    found = _STRATEGY_FILE.fullmatch(spec)
    return (expanded(found[1]), found[2]) if found else None


def is_simulated(symbol: str) -> bool:
    """Whether a symbol is one that `hermes demo` and the tests simulate: SIMUSDT, SIM001USDT …"""
    return re.fullmatch(r"SIM\d*USDT", symbol) is not None


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        spelled = {"1M": "1mo", **{each.upper(): each for each in allowed}}  # 1M is the exchange's own word for a month
        known = spelled.get(value) or spelled.get(value.upper())
        near = [known] if known else get_close_matches(value, allowed, n=1)
        hint = f"did you mean {near[0]}?" if near else "choose one of those"
        raise NameRefused(f"{what} {_short(value)} is not one of {', '.join(allowed)}", hint)


def _short(value: str) -> str:
    """`value` quoted for a message: control characters escaped, long texts cut."""
    return repr(value if len(value) <= 60 else value[:57] + "…")


FUNDING = "fundingRate"  # what the archive calls them


@dataclass(frozen=True, slots=True)
class Dataset:
    """One series of bars and every name it has in the lake. Refuses names before they can reach a path or a query.

    Raises:
        NameRefused: a value outside the convention.
    """

    provider: str = "binance"
    """The exchange, as a folder name."""
    market: str = "spot"
    """spot, um or cm (USD-margined and coin-margined futures)."""
    data_frequency: str = "monthly"
    """The archive's files: monthly or daily."""
    data_category: str = "klines"
    """What the archive's files hold: klines."""
    symbol: str = "BTCUSDT"
    """Letters, digits and _ of any script; BTC/USDT and BTC-USDT are read as BTCUSDT."""
    interval: str = "4h"
    """Bar length, one of the archive's: 1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1mo."""

    def __post_init__(self) -> None:
        if not _PROVIDER.fullmatch(self.provider):
            raise NameRefused(
                f"provider {_short(self.provider)} is not lower-case letters and digits", "write it like binance"
            )
        _one_of("market", self.market, tuple(MARKETS))
        _one_of("data frequency", self.data_frequency, BRONZE_FREQUENCIES)
        _one_of("data category", self.data_category, CATEGORIES)
        _one_of("interval", self.interval, tuple(INTERVAL_SECONDS))
        object.__setattr__(self, "symbol", normalize_symbol(self.symbol))

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval}"

    @property
    def interval_seconds(self) -> int:
        """Length of one bar in seconds (a calendar month counts 30 days)."""
        return INTERVAL_SECONDS[self.interval]

    def with_frequency(self, frequency: str) -> Self:
        """The same series, of the archive's monthly or daily files, or of what the exchange gave since (recent)."""
        return replace(self, data_frequency=frequency)

    def with_symbol(self, symbol: str) -> Self:
        """The same kind of series of another symbol."""
        return replace(self, symbol=symbol)

    # --- the exchange's archive -------------------------------------------------------------------------------------

    @property
    def archive_folder(self) -> str:
        """Folder of this series under the archive's root: `data/spot/monthly/klines/BTCUSDT/4h`."""
        return f"data/{MARKETS[self.market]}/{self.data_frequency}/{self.data_category}/{self.symbol}/{self.interval}"

    def archive_stem(self, period: date) -> str:
        """Name of one archive file without its ending; `period` is its first day."""
        day = period.strftime("%Y-%m" if self.data_frequency == "monthly" else "%Y-%m-%d")
        return f"{self.symbol}-{self.interval}-{day}"

    def parse_stem(self, stem: str) -> date | None:
        """First day of the period that `stem` names, or None when it is not a file of this series."""
        pattern = r"(\d{4})-(\d{2})" if self.data_frequency == "monthly" else r"(\d{4})-(\d{2})-(\d{2})"
        found = re.fullmatch(re.escape(f"{self.symbol}-{self.interval}-") + pattern, stem)
        try:
            return date(*map(int, [*found.groups(), 1][:3])) if found else None
        except ValueError:
            return None

    def is_excluded(self, period: date, left_out: Collection[str]) -> bool:
        """Whether `[archive] exclude` names the archive file whose first day is `period`: by stem, month or day."""
        names = {self.archive_stem(period), f"{period:%Y-%m}"}
        if self.data_frequency == "daily":
            names.add(f"{period:%Y-%m-%d}")
        return not names.isdisjoint(left_out)

    # --- bronze and silver ------------------------------------------------------------------------------------------

    @property
    def bronze_folder(self) -> str:
        """Folder of the bronze files of this series and frequency."""
        series = f"{self.data_frequency}/{self.data_category}/{self.symbol}/{self.interval}"
        return f"{self.provider}/data/{self.market}/{series}"

    def bronze_key(self, period: date) -> str:
        """Bronze file of the archive file whose first day is `period`."""
        day = "" if self.data_frequency == "monthly" else f"/day={period.day:02d}"
        return (
            f"{self.bronze_folder}/year={period.year}/month={period.month:02d}{day}/{self.archive_stem(period)}.parquet"
        )

    @property
    def refused_key(self) -> str:
        """Where bronze keeps which archive files of this series and frequency were refused, and why."""
        return f"refused/{self.bronze_folder}.json"

    @property
    def silver_folder(self) -> str:
        """Folder of the one clean series that monthly and daily files make together."""
        return f"{self.provider}/{self.market}/{self.data_category}/{self.symbol}/{self.interval}"

    def silver_key(self, year: int) -> str:
        """Silver file of one calendar year (UTC)."""
        return f"{self.silver_folder}/year={year}/data_0.parquet"

    def rejects_key(self, year: int) -> str:
        """Rejected rows stand in a tree of their own, so that no glob over silver mixes the two schemas."""
        return f"rejects/{self.silver_folder}/year={year}/data_0.parquet"

    @property
    def quality_key(self) -> str:
        """Where the quality table of the series is kept."""
        return f"quality/{self.silver_folder}/quality.json"

    @property
    def lock_key(self) -> str:
        """The lock of the series: monthly and daily files make one silver, so they share it."""
        return f"{LOCKS}/{self.silver_folder}.lock"

    # --- gold -------------------------------------------------------------------------------------------------------

    @property
    def features_table(self) -> str:
        """Name of the gold feature table."""
        return f"gold_features_{self.market}_{self.data_frequency}_{self.data_category}_{self.symbol}_{self.interval}"

    @property
    def features_by_month(self) -> bool:
        """Below one hour a year is too many rows for one file."""
        return self.interval_seconds < 3600

    def feature_set_table(self, name: str) -> str:
        """Name of the table of a feature set: columns under trial, in the layer `test`."""
        return self.features_table.replace("gold_features_", f"gold_features_{check_feature_set(name)}_", 1)

    def features_key(self, year: int, month: int | None = None, table: str = "") -> str:
        """File of one year or, where `features_by_month`, of one month, of the feature table or of a set's."""
        part = f"/month={month}" if month is not None else ""
        return f"{table or self.features_table}/year={year}{part}/data_0.parquet"

    def signals_table(self, strategy: str) -> str:
        """Name of the gold table of signals that `strategy` made."""
        return f"trading_signals_{check_strategy_name(strategy)}_{self.market}_{self.symbol}_{self.interval}"

    def portfolio_table(self, strategy: str) -> str:
        """Name of the gold table of portfolios that `strategy` made of symbols of this market and interval."""
        return f"portfolio_{check_strategy_name(strategy)}_{self.market}_{self.interval}"

    def execution_folder(self, strategy: str, at: datetime) -> str:
        """Folder of one execution; `at` is its UTC second."""
        return f"{self.signals_table(strategy)}/{execution_name(at)}"

    def promotion_key(self, strategy: str) -> str:
        """Where gold keeps what was promoted of the signals that `strategy` made."""
        return f"promotions/{self.signals_table(strategy)}.json"


@dataclass(frozen=True, slots=True)
class FundingRates(Dataset):
    """The funding rates of one perpetual contract, and every name they have; they have no bars, so no interval."""

    @classmethod
    def of(cls, dataset: Dataset) -> Self | None:
        """Those of a dataset's contract; None on spot, and for a contract that ends on a day."""
        if dataset.market == "spot" or re.search(r"_\d{6}$", dataset.symbol):
            return None
        return cls(dataset.provider, dataset.market, symbol=dataset.symbol, interval="1h")

    def __str__(self) -> str:
        return f"{self.symbol} funding"

    @property
    def archive_folder(self) -> str:
        """Folder under the archive's root: `data/futures/um/monthly/fundingRate/BTCUSDT`."""
        return f"data/{MARKETS[self.market]}/{self.data_frequency}/{FUNDING}/{self.symbol}"

    def archive_stem(self, period: date) -> str:
        """Name of one archive file without its ending; `period` is its first day."""
        return f"{self.symbol}-{FUNDING}-{period:%Y-%m}"

    def parse_stem(self, stem: str) -> date | None:
        """First day of the month that `stem` names, or None when it is no file of these rates."""
        found = re.fullmatch(re.escape(f"{self.symbol}-{FUNDING}-") + r"(\d{4})-(0[1-9]|1[0-2])", stem)
        return date(int(found[1]), int(found[2]), 1) if found else None

    def bronze_key(self, period: date) -> str:
        """Bronze file of a month, whatever the frequency; `period` is a day of it."""
        folder = f"{self.bronze_folder}/year={period.year}/month={period.month:02d}"
        return f"{folder}/{self.archive_stem(period)}.parquet"

    @property
    def bronze_folder(self) -> str:
        """Folder of the bronze files."""
        return f"{self.provider}/data/{self.market}/{self.data_frequency}/{FUNDING}/{self.symbol}"

    @property
    def silver_folder(self) -> str:
        """Folder of the one clean series."""
        return f"{self.provider}/{self.market}/{FUNDING}/{self.symbol}"


def execution_name(at: datetime) -> str:
    """Folder of one execution in its table; `at` is its UTC second."""
    return f"execution_{at.astimezone(UTC).strftime(_STAMP)}"


def iceberg_key(table: str) -> str:
    """Where gold notes which executions of a signals table the snapshots of Iceberg refer to."""
    return f"iceberg/{table}.json"


def universe_table(strategy: str) -> str:
    """Name of the gold table that compares what `strategy` did on many datasets."""
    return f"universe_{check_strategy_name(strategy)}"


def parse_universe_table(name: str) -> str | None:
    """The strategy whose comparisons stand in the table called `name`, or None."""
    strategy = name.removeprefix("universe_")
    return strategy if name != strategy and _STRATEGY.fullmatch(strategy) else None


def parse_portfolio_table(name: str) -> str | None:
    """The strategy whose portfolios stand in the table called `name`, or None."""
    found = re.fullmatch(rf"portfolio_(.+)_({'|'.join(MARKETS)})_({'|'.join(INTERVAL_SECONDS)})", name)
    return found[1] if found and _STRATEGY.fullmatch(found[1]) else None


def decisions_table(strategy: str, market: str, interval: str) -> str:
    """Name of the gold table that keeps what `strategy` decided on the bars of many symbols as they closed."""
    return f"decisions_{check_strategy_name(strategy)}_{market}_{interval}"


def decisions_folder(table: str, day: date) -> str:
    """Folder of the decisions of one UTC day."""
    return f"{table}/year={day.year}/month={day.month:02d}/day={day.day:02d}"


def parse_decisions_folder(folder: str) -> date | None:
    """The day whose decisions stand in `folder`, or None."""
    found = re.fullmatch(r"[^/]+/year=(\d{4})/month=(\d{2})/day=(\d{2})", folder)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def parse_decisions_table(name: str) -> tuple[str, str, str] | None:
    """Strategy, market and interval of the table of decisions called `name`, or None."""
    found = re.fullmatch(rf"decisions_(.+)_({'|'.join(MARKETS)})_({'|'.join(INTERVAL_SECONDS)})", name)
    if not found or not _STRATEGY.fullmatch(found[1]):
        return None
    return found[1], found[2], found[3]


def parse_features_table(name: str) -> Dataset | None:
    """The dataset whose feature table is called `name`, or None. The provider is not part of the name."""
    found = re.fullmatch(
        rf"gold_features_({'|'.join(MARKETS)})_({'|'.join(FREQUENCIES)})_({'|'.join(CATEGORIES)})_(\w+)_([^_]+)", name
    )
    if not found:
        return None
    market, frequency, category, symbol, interval = found.groups()
    return _exactly(market=market, data_frequency=frequency, data_category=category, symbol=symbol, interval=interval)


def parse_feature_set_table(name: str) -> tuple[str, Dataset] | None:
    """Feature set and dataset of the table called `name`, or None."""
    found = re.fullmatch(r"gold_features_([a-z][a-z0-9]*)_(.+)", name)
    dataset = parse_features_table(f"gold_features_{found[2]}") if found and found[1] not in MARKETS else None
    return (found[1], dataset) if found and dataset else None


def parse_signals_table(name: str) -> tuple[str, Dataset] | None:
    """Strategy and dataset of the signals table called `name`, or None.

    Strategies are lower case and symbols are not, so only one way of cutting the name can succeed.
    """
    if not name.startswith("trading_signals_"):
        return None
    rest = name.removeprefix("trading_signals_")
    for cut in re.finditer(rf"(?=_({'|'.join(MARKETS)})_(\w+)_([^_]+)$)", rest):
        strategy, (market, symbol, interval) = rest[: cut.start()], cut.groups()
        dataset = _exactly(market=market, symbol=symbol, interval=interval)
        if dataset and _STRATEGY.fullmatch(strategy):
            return strategy, dataset
    return None


def parse_execution(folder: str) -> datetime | None:
    """The UTC second of an execution's folder name, or None."""
    try:
        at = datetime.strptime(folder, f"execution_{_STAMP}").replace(tzinfo=UTC)
    except ValueError:
        return None
    return at if folder == f"execution_{at.strftime(_STAMP)}" else None  # strptime takes `2025911_1000` too


def parse_silver_folder(folder: str) -> Dataset | None:
    """The dataset whose silver rows stand in `folder`, or None."""
    parts = folder.split("/")
    if len(parts) != 5:
        return None
    provider, market, category, symbol, interval = parts
    return _exactly(provider=provider, market=market, data_category=category, symbol=symbol, interval=interval)


def parse_bronze_folder(folder: str) -> Dataset | None:
    """The dataset whose bronze rows stand in `folder`, or None."""
    parts = folder.split("/")
    if len(parts) != 7 or parts[1] != "data":
        return None
    provider, _, market, frequency, category, symbol, interval = parts
    return _exactly(
        provider=provider,
        market=market,
        data_frequency=frequency,
        data_category=category,
        symbol=symbol,
        interval=interval,
    )


def parse_funding_folder(folder: str) -> FundingRates | None:
    """The funding rates whose bronze rows stand in `folder`, as the archive has them, or None."""
    parts = folder.split("/")
    if len(parts) != 6 or parts[1] != "data" or parts[4] != FUNDING:
        return None
    provider, _, market, frequency, _, symbol = parts
    dataset = _exactly(provider=provider, market=market, data_frequency=frequency, symbol=symbol)
    return FundingRates.of(dataset) if dataset else None


def _exactly(**names: str) -> Dataset | None:
    """A dataset only if every name is already in its one spelling."""
    try:
        dataset = Dataset(**names)
    except NameRefused:
        return None
    return dataset if dataset.symbol == names["symbol"] else None
