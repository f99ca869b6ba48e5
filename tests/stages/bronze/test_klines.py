"""Zip bytes → bronze rows: real files read whole, everything that cannot be trusted refused by name."""

import io
import math
import random
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from hermes.dataset import Dataset
from hermes.errors import KlinesRefused
from hermes.schemas import BRONZE
from hermes.stages.bronze.klines import read_zip
from hermes.text import counted

MONTHLY = Dataset()
DAILY = MONTHLY.with_frequency("daily")
FEBRUARY = date(2018, 2, 1)
STEM = "BTCUSDT-4h-2018-02"
START = 1517443200  # 2018-02-01 in seconds
HEADER = ",".join(list(BRONZE)[1:])
WORDS = "Open time,Open,High,Low,Close,Volume,Close time,Quote,Trades,Taker,Taker quote,Ignore"


def row(index: int, unit: int = 1000, **cells: object) -> str:
    """One good line of February 2018, with some cells replaced."""
    time = (START + 14400 * index) * unit
    values = [time, 10.5, 11, 10, 10.75, 3, time + 14400 * unit - 1, 31.5, 7, 1, 10.5, 0]
    good = dict(zip(list(BRONZE)[1:], values, strict=True))
    return ",".join(str(cell) for cell in (good | cells).values())


def zipped(csv: str | bytes, stem: str = STEM, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr(f"{stem}.csv", csv)
    return packed.getvalue()


def read(csv: str | bytes, dataset: Dataset = MONTHLY, period: date = FEBRUARY) -> pl.DataFrame:
    return read_zip(zipped(csv, dataset.archive_stem(period)), dataset, period)


def refusal(data: bytes, dataset: Dataset = MONTHLY, period: date = FEBRUARY) -> str:
    with pytest.raises(KlinesRefused) as caught:
        read_zip(data, dataset, period)
    message = str(caught.value)
    assert message.startswith(f"{dataset.archive_stem(period)}.zip ")
    assert "\n" not in message
    assert caught.value.cure
    return message


# --- what is read ---------------------------------------------------------------------------------------------------


def test_real_monthly_files_are_read_whole(archive: Path) -> None:
    frames = []
    for path in sorted((archive / MONTHLY.archive_folder).glob("*.zip")):
        period = MONTHLY.parse_stem(path.stem)
        assert period
        frames.append(read_zip(path.read_bytes(), MONTHLY, period))
    rows = pl.concat(frames)  # would raise if one schema differed
    assert len(frames) == 97
    assert len(rows) == 17_604
    assert rows.schema == pl.Schema(BRONZE)
    assert rows.null_count().sum_horizontal().item() == 0
    assert [frame["open_time"][0] < 1e14 for frame in frames].count(True) == 89  # milliseconds until 2024-12
    assert frames[-1]["line"].to_list() == list(range(1, 187))


def test_real_daily_files_are_read_whole(archive: Path) -> None:
    paths = sorted((archive / DAILY.archive_folder).glob("*.zip"))
    assert sum(len(read_zip(path.read_bytes(), DAILY, DAILY.parse_stem(path.stem))) for path in paths) == 60


def test_values_of_a_real_file_are_the_ones_in_its_text(archive: Path) -> None:
    data = (archive / MONTHLY.archive_folder / f"{STEM}.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        lines = packed.read(f"{STEM}.csv").decode().splitlines()
    whole = {name for name, dtype in BRONZE.items() if dtype == pl.Int64}
    expected = [
        {
            name: cell if name == "ignore" else int(cell) if name in whole else float(cell)
            for name, cell in zip(list(BRONZE)[1:], line.split(","), strict=True)
        }
        for line in lines
    ]
    assert read_zip(data, MONTHLY, FEBRUARY).drop("line").to_dicts() == expected


@pytest.mark.parametrize("header", [HEADER, HEADER.upper(), WORDS, ",".join(f'"{word}"' for word in WORDS.split(","))])
def test_a_header_counts_as_a_line_and_not_as_a_row(header: str) -> None:
    rows = read(f"{header}\n{row(0)}\n{row(1)}\n")
    assert rows["line"].to_list() == [2, 3]
    assert rows.columns == list(BRONZE)
    assert_frame_equal(rows.drop("line"), read(f"{row(0)}\n{row(1)}\n").drop("line"))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("header", [[], [HEADER]])
@pytest.mark.parametrize("last", ["", "\n", "\r\n\r\n"])
def test_byte_order_marks_and_line_endings_change_nothing(ending: str, mark: str, header: list[str], last: str) -> None:
    rows = read(mark + ending.join([*header, row(0), row(1)]) + last)
    assert_frame_equal(rows.drop("line"), read(f"{row(0)}\n{row(1)}\n").drop("line"))
    assert rows["ignore"].to_list() == ["0", "0"]


def test_empty_cells_are_null_and_odd_numbers_pass() -> None:
    rows = read(
        "\n".join(
            [row(0), row(1, open="", count="", ignore=""), row(2, volume=" \t", open="NaN", high="inf", low="-1")]
        )
    )
    assert rows.row(1, named=True) | {"open": None, "count": None, "ignore": None} == rows.row(1, named=True)
    assert rows["volume"][2] is None
    assert math.isnan(rows["open"][2])
    assert rows["high"][2] == math.inf
    assert rows["low"][2] == -1


def test_a_row_of_nothing_but_nan_is_a_row_and_never_a_header_in_the_middle() -> None:
    rows = read("\n".join([row(0), "," * 11, row(2)]))
    assert rows["line"].to_list() == [1, 2, 3]
    assert rows["open_time"].null_count() == 1


def test_disorder_repeats_and_strays_are_left_to_silver() -> None:
    rows = read("\n".join([row(3), row(1), row(1), row(-5)]))
    assert rows["open_time"].to_list() == [(START + 14400 * n) * 1000 for n in (3, 1, 1, -5)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 167),
            st.lists(st.floats(allow_nan=False) | st.none(), min_size=8, max_size=8),
            st.integers(-(2**63), 2**63 - 1) | st.none(),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([1_000, 1_000_000]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_reading_a_written_table_gives_it_back(table: list, unit: int, header: bool) -> None:
    expected = []
    for number, (bar, floats, count) in enumerate(table, 1 + header):
        time = (START + 14400 * bar) * unit
        expected.append([number, time, *floats[:5], time + 14400 * unit - 1, floats[5], count, *floats[6:], "0"])
    lines = [",".join("" if cell is None else str(cell) for cell in cells[1:]) for cells in expected]
    rows = read("\n".join([*([HEADER] if header else []), *lines]))
    assert_frame_equal(rows, pl.DataFrame(expected, schema=dict(BRONZE), orient="row"), check_exact=True)


# --- what is refused ------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_ragged_line_is_refused_wherever_it_stands(data: st.DataObject) -> None:
    lines = [row(n) for n in range(data.draw(st.integers(1, 40)))]
    bad = data.draw(st.integers(0, len(lines) - 1))
    cells = lines[bad].split(",")
    kept = data.draw(st.integers(1, 14).filter(lambda count: count != 12))
    lines[bad] = ",".join([*cells, "0", "0"][:kept])
    message = refusal(zipped("\n".join(lines) + data.draw(st.sampled_from(["", "\n", "\r\n"]))))
    assert f"has {counted(kept, 'column')} on line {bad + 1}, not 12" in message


def test_a_long_and_a_short_line_do_not_make_up_for_each_other() -> None:
    assert "11 columns on line 2" in refusal(zipped("\n".join([row(0), row(1).rpartition(",")[0], row(2) + ",0"])))


def test_a_blank_line_within_is_refused() -> None:
    assert "1 column on line 2" in refusal(zipped(f"{row(0)}\n\n{row(1)}\n"))


@given(
    st.integers(0, 20),
    st.sampled_from([name for name in list(BRONZE)[1:] if name != "ignore"]),
    st.text(st.characters(codec="ascii", exclude_characters=",\n\r"), min_size=1, max_size=12),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_text_in_a_numeric_cell_is_refused_by_line_and_column(bad: int, column: str, text: str, header: bool) -> None:
    lines = [*([HEADER] if header else []), *(row(n) for n in range(21))]
    lines[bad + header] = row(bad, **{column: text})
    data = zipped("\n".join(lines))
    try:
        rows = read_zip(data, MONTHLY, FEBRUARY)
    except KlinesRefused as error:
        if "open_time" in str(error) and "column" not in str(error):
            return  # a number, but no time of this file
        assert f"on line {bad + 1 + header} in column {column}, not a" in str(error)
        assert repr(text) in str(error)
    else:
        value = rows[column][bad]
        assert value is None or math.isnan(value) or value == float(text)


@pytest.mark.parametrize(
    "text", ["abc", "null", "1,5", '"10.5"', "0x10", "1_0", "--1", "1e", "10.5 USDT", "10.5 ", "\x0c", "+", "\x00"]
)
def test_what_is_no_price_is_refused(text: str) -> None:
    message = refusal(zipped("\n".join([row(0), row(1, close=text)])))
    assert "columns on line 2" in message or f"has {text!r} on line 2 in column close, not a number" in message


@pytest.mark.parametrize("text", ["7.0", "99999999999999999999", "seven", "1e3"])
def test_a_count_must_be_whole(text: str) -> None:
    assert "line 2 in column count, not a whole number" in refusal(zipped("\n".join([row(0), row(1, count=text)])))


def test_a_damaged_first_row_is_no_header() -> None:
    for damaged in (row(0, open_time="x1517443200000"), "x1517443200000" + "," * 11):
        assert "line 1 in column open_time" in refusal(zipped(f"{damaged}\n{row(1)}"))


def test_bytes_that_are_no_text_are_refused() -> None:
    assert "not plain text" in refusal(zipped(row(0).encode()[:-1] + b"\xff\n"))


@pytest.mark.parametrize("csv", ["", "\n", "\ufeff", HEADER, HEADER + "\n", HEADER + "\r\n"])
def test_an_empty_month_is_refused(csv: str) -> None:
    assert "has no rows" in refusal(zipped(csv))


def test_mixed_time_units_are_refused() -> None:
    assert "mixed" in refusal(zipped("\n".join([row(0), row(1), row(2, unit=1_000_000)])))


@pytest.mark.parametrize("unit", [1, 1_000_000_000])
def test_seconds_and_nanoseconds_are_refused(unit: int) -> None:
    assert f"has open_time {START * unit}" in refusal(zipped(row(0, unit=unit)))


@pytest.mark.parametrize("unit", [1_000, 1_000_000])
def test_years_from_2017_to_the_next_one_are_known(unit: int) -> None:
    next_year = datetime.now(UTC).year + 1
    for year in (2016, next_year + 1):
        stray = int(datetime(year, 6, 1, tzinfo=UTC).timestamp()) * unit
        assert f"has open_time {stray}" in refusal(zipped("\n".join([row(0, unit), row(0, unit, open_time=stray)])))
    for moment in (datetime(2017, 1, 1, tzinfo=UTC), datetime(next_year, 12, 31, 20, tzinfo=UTC)):
        stray = int(moment.timestamp()) * unit
        assert len(read("\n".join([row(0, unit), row(0, unit, open_time=stray)]))) == 2


@pytest.mark.parametrize("stray", [0, -1, -(10**14), -(10**16)])
def test_times_before_1970_are_refused(stray: int) -> None:
    assert str(stray) in refusal(zipped("\n".join([row(0), row(1, open_time=stray)])))


@pytest.mark.parametrize("shift", [-28 * 6, 28 * 6])  # January, March
def test_rows_of_another_period_are_refused(shift: int) -> None:
    message = refusal(zipped("\n".join(row(n + shift) for n in range(6))))
    assert "has no row from 2018-02-01 to before 2018-03-01" in message


def test_rows_on_both_sides_of_the_period_are_not_in_it() -> None:
    assert "has no row from" in refusal(zipped("\n".join([row(-1), row(28 * 6)])))
    assert len(read("\n".join([row(-1), row(28 * 6 - 1)]))) == 2


def test_the_period_of_a_daily_file_is_one_day() -> None:
    day = date(2018, 2, 1)
    assert len(read(row(5), DAILY, day)) == 1
    assert "to before 2018-02-02" in refusal(zipped(row(6), DAILY.archive_stem(day)), DAILY, day)


def test_no_open_time_at_all_is_refused() -> None:
    assert "no open_time" in refusal(zipped(row(0, open_time="")))


# --- zips -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [[], ["other.csv"], [f"{STEM}.csv", "other.csv"], [f"../{STEM}.csv"], [f"{STEM}.CSV"]]
)
def test_a_zip_holds_exactly_its_own_member(names: list[str]) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, row(0))
    assert f"not exactly one named {STEM}.csv" in refusal(packed.getvalue())


def test_the_same_member_twice_is_refused() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{STEM}.csv", row(0))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(f"{STEM}.csv", row(0))
    assert "2 files" in refusal(packed.getvalue())


@pytest.mark.parametrize("data", [b"", b"PK", b"<html>404</html>", b"\x00" * 1000])
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    assert "not a valid zip" in refusal(data)


def test_an_encrypted_zip_is_refused() -> None:
    data = bytearray(zipped(row(0), method=zipfile.ZIP_STORED))
    data[6] |= 1  # the flag in the local header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    assert "encrypted" in refusal(bytes(data))


def test_a_crc_error_is_refused() -> None:
    data = bytearray(zipped(row(0), method=zipfile.ZIP_STORED))
    at = data.index(b"10.5")
    data[at] = ord("9")
    assert "CRC" in refusal(bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_python_unpacks_without_bounds_are_refused(method: int) -> None:
    assert "not stored or deflated" in refusal(zipped(row(0), method=method))


def test_a_bomb_is_refused_before_it_unfolds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    honest = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: asked.append(n) or honest(self, n))
    bomb = zipped(f"{row(0)}\n" * 200_000)
    assert len(bomb) < 200_000
    assert "too many for its period" in refusal(bomb)
    assert len(asked) == 1
    assert 0 < asked[0] < 1_000_000


@pytest.mark.parametrize("claim", [1, 50_000, 2**31])
def test_lying_sizes_are_refused(claim: int) -> None:
    data = bytearray(zipped("\n".join(row(n) for n in range(168))))
    at = data.index(b"PK\x01\x02") + 24  # the uncompressed size in the directory
    data[at : at + 4] = claim.to_bytes(4, "little")
    refusal(bytes(data))


def test_repeated_rows_still_fit_under_the_cap() -> None:
    assert len(read("\n".join(row(n) for n in range(168) for _ in range(3)))) == 504


def test_one_flipped_byte_never_changes_a_value() -> None:
    data = zipped("\n".join(row(n) for n in range(20)))
    expected = read_zip(data, MONTHLY, FEBRUARY)
    rng = random.Random(1)
    for at in rng.sample(range(len(data)), min(len(data), 300)):
        flipped = bytearray(data)
        flipped[at] ^= rng.randrange(1, 256)
        try:
            rows = read_zip(bytes(flipped), MONTHLY, FEBRUARY)
        except KlinesRefused:
            continue
        assert_frame_equal(rows, expected)


def test_a_cut_zip_is_refused() -> None:
    data = zipped("\n".join(row(n) for n in range(20)))
    for length in range(0, len(data), 7):
        refusal(data[:length])
