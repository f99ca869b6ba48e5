"""The naming convention: every name reads back as what it was made from, and nothing hostile gets a name."""

import unicodedata
from datetime import UTC, date, datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hermes import dataset as names
from hermes.dataset import Dataset
from hermes.errors import NameRefused

WORDS = st.text(st.characters(categories=("L", "N"), include_characters="_"), min_size=1, max_size=24)


@st.composite
def symbols(draw: st.DrawFn) -> str:
    """Any symbol that the convention takes."""
    text = draw(WORDS)
    try:
        return names.normalize_symbol(text)
    except NameRefused:
        assume(False)
        raise


DATASETS = st.builds(
    Dataset,
    provider=st.from_regex(r"[a-z][a-z0-9]{0,31}", fullmatch=True),
    market=st.sampled_from(tuple(names.MARKETS)),
    data_frequency=st.sampled_from(names.FREQUENCIES),
    data_category=st.sampled_from(names.CATEGORIES),
    symbol=symbols(),
    interval=st.sampled_from(tuple(names.INTERVAL_SECONDS)),
)
STRATEGIES = st.from_regex(r"[a-z][a-z0-9]{0,8}(_[a-z0-9]{1,8}){0,3}", fullmatch=True)
SECONDS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)
DAYS = st.dates(date(2017, 1, 1), date(2100, 1, 1))


@given(DATASETS, STRATEGIES)
@example(Dataset(symbol="SPOT_BTCUSDT_210326", market="um"), "a_spot_b")
@example(Dataset(symbol="币安人生USDT"), "x_um")
@example(Dataset(symbol="1", interval="1mo"), "x_spot_1")
def test_every_table_and_folder_reads_back(dataset: Dataset, strategy: str):
    features = names.parse_features_table(dataset.features_table)
    assert features == Dataset(**{**_fields(dataset), "provider": "binance"})
    signals = names.parse_signals_table(dataset.signals_table(strategy))
    assert signals == (strategy, Dataset(symbol=dataset.symbol, market=dataset.market, interval=dataset.interval))
    assert names.parse_bronze_folder(dataset.bronze_folder) == dataset
    assert names.parse_silver_folder(dataset.silver_folder) == dataset.with_frequency("monthly")


@given(DATASETS, DAYS)
def test_every_archive_stem_reads_back(dataset: Dataset, day: date):
    first = day.replace(day=1) if dataset.data_frequency == "monthly" else day
    assert dataset.parse_stem(dataset.archive_stem(first)) == first
    assert PurePosixPath(dataset.bronze_key(first)).stem == dataset.archive_stem(first)


@given(DATASETS, STRATEGIES, SECONDS)
def test_every_execution_reads_back(dataset: Dataset, strategy: str, at: datetime):
    table, folder = dataset.execution_folder(strategy, at).split("/")
    assert table == dataset.signals_table(strategy)
    assert names.parse_execution(folder) == at


@pytest.mark.parametrize("name", ["execution_2025911_1000", "execution_20250101_00000", "execution_20250101", "x"])
def test_a_folder_that_is_nearly_an_execution_is_none(name: str):
    assert names.parse_execution(name) is None


@pytest.mark.parametrize(
    "stem", ["BTCUSDT-4h-2025-13", "BTCUSDT-4h-2025-01-01", "ETHUSDT-4h-2025-01", "BTCUSDT-4h-٢٠٢٥-01x"]
)
def test_a_stem_of_something_else_is_none(stem: str):
    assert Dataset().parse_stem(stem) is None


@given(st.text(max_size=80), DATASETS)
def test_no_symbol_leaves_its_folder(text: str, other: Dataset):
    try:
        dataset = Dataset(symbol=text, interval=other.interval, market=other.market)
    except NameRefused:
        return
    at = datetime(2025, 1, 1, tzinfo=UTC)
    for key in (
        dataset.bronze_key(at.date()), dataset.silver_key(2025), dataset.rejects_key(2025), dataset.quality_key,
        dataset.features_key(2025, 1), dataset.execution_folder("smart_momentum", at), dataset.archive_folder,
    ):  # fmt: skip
        parts = key.split("/")
        assert not key.startswith("/")
        assert all(part not in ("", ".", "..") and len(part.encode()) <= 255 for part in parts)
        assert not set(key) & set("\\\0%*?[]{}'\";#\n\r\t :")
    assert names.normalize_symbol(dataset.symbol) == dataset.symbol


@given(symbols())
def test_all_spellings_of_a_symbol_are_one(symbol: str):
    assert names.normalize_symbol(unicodedata.normalize("NFD", symbol)) == symbol
    assert names.normalize_symbol(symbol.upper()) == symbol


@pytest.mark.parametrize("spelling", ["BTCUSDT", "btcusdt", "BTC/USDT", "btc-usdt", "Btc/Usdt"])
def test_spellings_of_btcusdt(spelling: str):
    assert Dataset(symbol=spelling).symbol == "BTCUSDT"


def test_a_pair_in_decomposed_letters_is_the_same_symbol():
    assert names.normalize_symbol(unicodedata.normalize("NFD", "é/usdt")) == "ÉUSDT"


@pytest.mark.parametrize("symbol", ["币安人生USDT", "BTCUSDT_210326", "1000SATSUSDT", "É"])
def test_symbols_of_any_script_are_taken(symbol: str):
    assert Dataset(symbol=symbol).symbol == symbol


HOSTILE = [
    "", " ", ".", "..", "../etc", "a/../b", "/etc/passwd", "BTC/USDT/X", "BTC\\USDT", "..%2fX", "%2e%2e", "BTC%00",
    "BTC\0USDT", "BTC\nUSDT", "BTC*", "B?C", "[BTC]", "{layer}", "year=2025", "A=B", "A B", "A:B", "A;B", "~", "$HOME",
    "X' OR 1=1 --", '";drop table x', "A" * 300, "币" * 22, "NUL", "con", "COM1", "BTC\u202eUSDT", "BTC\u200bUSDT",
    "-", "-BTC", "BTC-", "BTC--USDT",
]  # fmt: skip


@pytest.mark.parametrize("symbol", HOSTILE)
def test_hostile_symbols_are_refused_in_one_line(symbol: str):
    with pytest.raises(NameRefused) as refused:
        Dataset(symbol=symbol)
    text = str(refused.value)
    assert len(text.splitlines()) == 1
    assert len(text) < 300
    assert text.isprintable()
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "field", ["provider", "market", "data_frequency", "data_category", "interval"]
)  # fmt: skip
@pytest.mark.parametrize("value", ["", "../x", "X=1", "a/b", "4H ", "4h\n", "x" * 300])
def test_other_hostile_names_are_refused(field: str, value: str):
    with pytest.raises(NameRefused) as refused:
        Dataset(**{field: value})
    assert len(str(refused.value).splitlines()) == 1


def test_a_near_miss_is_named():
    with pytest.raises(NameRefused, match="did you mean 15m"):
        Dataset(interval="15min")


@pytest.mark.parametrize("name", ["", "Smart", "a__b", "../x", "a-b", "a" * 65, "a b", "_a", "1a"])
def test_hostile_strategy_names_are_refused(name: str):
    with pytest.raises(NameRefused):
        Dataset().signals_table(name)


def _fields(dataset: Dataset) -> dict[str, str]:
    return {name: getattr(dataset, name) for name in Dataset.__slots__}


@pytest.mark.parametrize(("symbol", "twin"), [("ẞ", "SS"), ("ϴ", "Θ"), ("ß", "SS"), ("é", "E\u0301"), ("btc", "BTC")])
def test_names_that_are_one_file_where_case_is_folded_are_one_symbol(symbol: str, twin: str):
    assert names.normalize_symbol(symbol) == names.normalize_symbol(twin)


def test_bars_close_by_the_calendar():
    assert names.bar_close("4h", datetime(2024, 2, 28, 20)) == datetime(2024, 2, 29)
    assert names.bar_close("1w", datetime(2024, 2, 26)) == datetime(2024, 3, 4)
    assert names.bar_close("1mo", datetime(2024, 2, 1)) == datetime(2024, 3, 1)
    assert names.bar_close("1mo", datetime(2024, 12, 1, tzinfo=UTC)) == datetime(2025, 1, 1, tzinfo=UTC)
    assert names.periods_per_year("1mo") == 12 and names.periods_per_year("4h") == 2190
