"""Every way of changing a record leaves a trace that is named, by Hermes and by the verifier that shares no code."""

import hashlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import tests.record.simulated_record as market

from hermes.record import ledger
from hermes.record.verification import FILE, find_faults, find_gaps, misplaced

VERIFIER = Path(__file__).parents[2] / "docs" / "verify_record.py"


def edited(record: pl.DataFrame, column: str, row: int, value: object) -> pl.DataFrame:
    return record.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    )


def rehashed(record: pl.DataFrame, row: int) -> pl.DataFrame:
    """An edited row whose hash was computed anew."""
    return edited(record, "hash", row, ledger.due(record).hashes[row])


RECORD = market.record(60)
EARLIER, LATER = RECORD["hash"][20], RECORD["hash"][50]
TAMPERED = {
    "edited": (edited(RECORD, "close", 30, 1.25), 30),
    "rewritten": (rehashed(edited(RECORD, "position", 30, 7), 30), 31),
    "removed": (RECORD.filter(pl.col("sequence") != 30), 31),
    "reordered": (pl.concat([RECORD.head(30), RECORD.slice(30, 2).reverse(), RECORD.slice(32)]), 30),
    "fork": (pl.concat([RECORD, rehashed(edited(RECORD, "position", 30, 7), 30).slice(30, 1)]), 30),
}


@pytest.fixture(scope="module")
def verifier():
    spec = importlib.util.spec_from_file_location("verify_record", VERIFIER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exported(record: pl.DataFrame, folder: Path, ending: str) -> str:
    path = folder / f"record.{ending}"
    if ending == "csv":
        path.write_bytes(ledger.to_csv(record))
    else:
        record.write_parquet(path)
    return str(path)


def test_what_was_written_has_no_fault():
    both = pl.concat([RECORD, market.record(40, symbol="SIM2USDT", seed=2)])
    assert find_faults(both) == []
    files = [both.with_columns(pl.lit("a").alias(FILE)), both.slice(10, 30).with_columns(pl.lit("b").alias(FILE))]
    assert find_faults(pl.concat(files)) == [], "rows that stand in two files count once"
    assert find_faults(RECORD.slice(20)) == [], "an export may begin later"


@pytest.mark.parametrize("cause", TAMPERED)
def test_every_change_is_named_where_it_was_made(cause: str):
    record, sequence = TAMPERED[cause]
    faults = find_faults(record)
    assert (cause, sequence) in [(fault.cause, fault.sequence) for fault in faults]
    assert cause != "edited" or len(faults) == 1, "one change is told once"


def test_a_row_that_only_claims_the_hash_of_another_is_named():
    copy = edited(RECORD, "close", 30, 1.25).slice(30, 1)
    for record in (pl.concat([RECORD, copy]), pl.concat([copy, RECORD])):
        assert ("edited", 30) in [(fault.cause, fault.sequence) for fault in find_faults(record)]


@pytest.mark.parametrize("column", [name for name in RECORD.columns if name not in ("_file", "symbol", "sequence")])
def test_every_column_is_sealed(column: str):
    kind, old = RECORD.schema[column], RECORD[column][30]
    new = "f" * 64 if kind == pl.String else not old if kind == pl.Boolean else RECORD[column][30 - 7]
    if kind not in (pl.String, pl.Boolean) and new == old:
        new = old + 1
    assert any(fault.sequence in (30, 31) for fault in find_faults(edited(RECORD, column, 30, new)))


@pytest.mark.parametrize("column", ["hash", "previous_hash", "bars_sha256"])
@pytest.mark.parametrize("rows", [[30], [0], [59], [30, 31]])
def test_a_seal_that_is_gone_is_an_edit(column: str, rows: list[int]):
    gone = pl.int_range(pl.len()).is_in(rows)
    faults = find_faults(RECORD.with_columns(pl.when(~gone).then(pl.col(column)).alias(column)))
    assert [fault.sequence for fault in faults if fault.cause == "edited"] == rows
    assert not [fault for fault in faults if fault.cause in ("removed", "fork")]


def test_digest_of_the_bars_is_checked_too():
    forged = edited(RECORD, "bars_sha256", 59, "0" * 64)
    assert [fault.cause for fault in find_faults(rehashed(forged, 59))] == ["bars"]


def test_order_counts_within_a_file_only():
    filed = RECORD.with_columns(pl.when(pl.col("sequence") < 30).then(pl.lit("b")).otherwise(pl.lit("a")).alias(FILE))
    assert find_faults(filed.sort("sequence")) == []
    assert find_faults(pl.concat([filed.tail(30), filed.head(30)])) == []


def test_rows_in_another_days_folder_are_named():
    day = pl.col("server_time").dt.strftime("t/year=%Y/month=%m/day=%d/a.parquet")
    filed = RECORD.with_columns(day.alias(FILE))
    assert misplaced(filed) == []
    moved = filed.with_columns(pl.col(FILE).str.replace("day=02", "day=05"))
    assert [fault.where for fault in misplaced(moved)] == ["t/year=2025/month=03/day=05/a.parquet"]


def test_bars_that_nothing_was_decided_on_are_told():
    (gap,) = find_gaps(RECORD.filter(~pl.col("sequence").is_between(10, 12)))
    assert (gap.first, gap.last, gap.bars) == (RECORD["datetime"][10], RECORD["datetime"][12], 3)
    assert find_gaps(RECORD) == []


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_verifier_of_fifty_lines_agrees(verifier, tmp_path, capsys, ending):
    path = exported(RECORD, tmp_path, ending)
    assert verifier.main(path, EARLIER, LATER) == 0
    assert RECORD["hash"][-1] in capsys.readouterr().out
    assert verifier.main(path, "a" * 64) == 3
    assert verifier.main(exported(RECORD.slice(15), tmp_path, ending), LATER) == 0


@pytest.mark.parametrize("cause", TAMPERED)
def test_verifier_finds_every_change(verifier, tmp_path, capsys, cause):
    record, sequence = TAMPERED[cause]
    assert verifier.main(exported(record, tmp_path, "csv")) == 3
    out = capsys.readouterr().out
    assert f"row {sequence}:" in out or f"row {sequence + 1}:" in out


def test_stranger_with_an_old_head_sees_that_the_whole_chain_was_made_anew(verifier, tmp_path, capsys):
    bars = market.judged(60).with_columns(pl.col("close") * 1.1)
    forged = ledger.seal(market.decided(bars), {}).rows
    assert verifier.main(exported(forged, tmp_path, "csv")) == 0, "the chain alone cannot tell"
    assert verifier.main(exported(forged, tmp_path, "csv"), EARLIER) == 3
    assert EARLIER in capsys.readouterr().out


def test_verifier_shares_no_code_and_is_short():
    source = VERIFIER.read_text()
    assert "hermes" not in [line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith("import")]
    code = [line for line in source.split('"""', 2)[2].splitlines() if line.strip() and '"""' not in line]
    assert len(code) <= 50


def test_worked_example_of_the_page(verifier, capsys):
    page = (VERIFIER.parent / "record-format.md").read_text()
    example = VERIFIER.parent / "example-record.csv"
    row, digest, bar = re.findall(r"^```text\n(.*?)^```$", page, re.M | re.S)
    assert hashlib.sha256(row.encode()).hexdigest() == digest.strip()
    assert f"bars_sha256={hashlib.sha256(bar.encode()).hexdigest()}\n" in row
    assert verifier.main(str(example), digest.strip()) == 0
    assert digest.strip() in example.read_text()


def test_verifier_says_no_more_than_it_looked_at(verifier, tmp_path, capsys):
    cut = exported(RECORD.head(30), tmp_path, "csv")  # what was cut off leaves no trace
    assert verifier.main(cut) == 0
    assert "only a hash that was kept proves more" in capsys.readouterr().out
    assert verifier.main(cut, RECORD["hash"][40]) == 3


@pytest.mark.parametrize("content", [None, "a,b\n1,2\n"])
def test_verifier_names_a_file_that_it_cannot_read(tmp_path, content):
    path = tmp_path / "record.csv"
    if content:
        path.write_text(content)
    ran = subprocess.run([sys.executable, str(VERIFIER), str(path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("cannot check") and "Traceback" not in ran.stderr
