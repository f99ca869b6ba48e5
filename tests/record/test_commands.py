"""`hermes record`: what each command says, and that planted changes of a lake are found and named."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from tests.record.decisions import BARS_900 as BARS
from tests.record.decisions import FIRST, HOUR, Service, changed, with_parameters
from tests.record.lakes import put_record, put_silver, settings_at

from hermes.settings import Settings

WORDS = ("--interval", "1h", "--set", "rsi_low=20", "--set", "rsi_high=90")
BEGIN = 780


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Service]:
    """A lake with silver and five days on record, one outage and one change of parameters among them."""
    folder = tmp_path_factory.mktemp("record")
    settings = settings_at(folder)
    put_silver(settings, BARS)
    service = Service(BARS).run(BEGIN, 820).run(820, 824, delay=7300).run(824, 850)
    service = with_parameters(service, ema_fast=5, rsi_low=20.0, rsi_high=90.0).run(850, 900)
    put_record(settings, service.record)
    return folder, service


@pytest.fixture
def lake(kept: tuple[Path, Service], tmp_path: Path) -> Path:
    shutil.copytree(kept[0] / "lake", tmp_path / "lake")
    return tmp_path / "lake"


def files(lake: Path) -> list[Path]:
    return sorted((lake / "gold").glob("decisions_*/**/*.parquet"))


def rewrite(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    change(pl.read_parquet(path)).write_parquet(path)


def test_sound_record_is_said_to_show_no_trace(hermes, lake: Path, kept):
    said = hermes("record", "verify", *WORDS, "--json")
    assert said.code == 0
    head = kept[1].record["hash"][-1]
    assert said.json["rows"] == 120
    assert said.json["chains"][0]["record_head"] == head
    people = hermes("record", "verify", *WORDS)
    assert "No sign of a change." in people.out
    assert "On record: 1 kept hash;" in hermes("record", "verify", *WORDS, "--head", head).out


def test_a_newest_row_that_was_given_to_another_symbol_is_missed(hermes, lake: Path):
    last = pl.col("sequence") == 119
    for path in files(lake):
        rewrite(path, lambda rows: rows.with_columns(symbol=pl.when(last).then(pl.lit("SIM1USDT")).otherwise("symbol")))
    said = hermes("record", "verify", "SIMUSDT", *WORDS)
    assert said.code == 3
    assert "a row of SIM1USDT follows one of SIMUSDT" in said.out + said.err


@pytest.mark.parametrize("words", [[], ["SIMUSDT"], ["SIM/USDT"]])
def test_head_is_a_line_that_can_be_copied(hermes, lake: Path, kept, words):
    assert kept[1].record["hash"][-1] in hermes("record", "head", *words, *WORDS).out.splitlines()
    found = hermes("record", "head", *words, *WORDS, "--json").json["datasets"][0]
    assert (found["sequence"], found["symbol"]) == (119, "SIMUSDT")


def test_show_prints_the_newest_rows(hermes, lake: Path):
    said = hermes("record", "show", *WORDS, "--limit", "3")
    assert said.out.count("decision") == 3
    rows = hermes("record", "show", *WORDS, "--limit", "3", "--json").json["datasets"][0]["rows"]
    assert [row["sequence"] for row in rows] == [117, 118, 119]


def test_reconcile_names_late_rows_and_the_change_of_parameters(hermes, lake: Path):
    said = hermes("record", "reconcile", *WORDS, "--json")
    assert said.code == 0
    (found,) = said.json["datasets"]
    causes = {cause: count for cause, count in found["causes"].items() if count}
    assert causes["late"] == 4
    assert set(causes) <= {"late", "rules or parameters changed"}
    assert [change["what"] for change in found["changes"]] == ["parameters"]
    assert found["account"]["bars"] == 120
    people = hermes("record", "reconcile", *WORDS)
    assert "parameters changed at" in people.out
    assert "Paper account and backtest of the same bars" in people.out


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_stranger_verifies_the_export(hermes, lake: Path, kept, tmp_path: Path, ending):
    assert hermes("record", "export", *WORDS, f"--{ending}", f"r.{ending}").code == 0
    spec = importlib.util.spec_from_file_location("v", Path(__file__).parents[2] / "docs" / "verify_record.py")
    verifier = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(verifier)
    old = kept[1].record["hash"][40]
    assert verifier.main(f"r.{ending}", old) == 0
    rewrite(files(lake)[0], lambda rows: rows.with_columns(pl.col("close") + 1))
    assert hermes("record", "export", *WORDS, f"--{ending}", f"r.{ending}").code == 0
    assert verifier.main(f"r.{ending}", old) == 3
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_export_of_a_record_that_was_made_anew_fails_against_an_old_head(hermes, lake: Path, kept):
    forged = Service(BARS.with_columns(pl.col("volume") + 1)).run(BEGIN, 900).record
    shutil.rmtree(lake / "gold")
    shutil.rmtree(lake / "_hashes")
    put_record(settings_at(lake.parent), forged)
    assert hermes("record", "verify", *WORDS).code == 0
    said = hermes("record", "verify", *WORDS, "--head", kept[1].record["hash"][40])
    assert said.code == 3
    assert "the kept hash" in said.error


# --- planted changes --------------------------------------------------------------------------------------------------


def planted(lake: Path, what: str) -> None:
    found = files(lake)
    day = [path for path in found if path.parent == found[0].parent]
    if what == "edited":
        rewrite(found[3], lambda rows: rows.with_columns(sell_signal=~pl.col("sell_signal")))
    elif what == "deleted file":
        found[-1].unlink()  # the newest: no later row can tell
    elif what == "removed":
        found[2].unlink()
    elif what == "reordered":
        rewrite(day[-1], lambda rows: rows.reverse())
    elif what == "misplaced":
        found[0].rename(found[-1].parent / "moved.parquet")


@pytest.mark.parametrize("what", ["edited", "deleted file", "removed", "reordered", "misplaced"])
def test_planted_changes_are_found_and_named(hermes, lake: Path, what: str):
    planted(lake, what)
    said = hermes("record", "verify", *WORDS, "--json")
    assert said.code == 3
    assert what in [fault["cause"] for fault in said.json["faults"]]
    assert f"error: {what}: " in hermes("record", "verify", *WORDS).err


def test_bar_that_the_exchange_revised_is_found_by_reconcile_alone(hermes, lake: Path):
    put_silver(
        Settings.load({"lake.url": f"{lake}/{{layer}}"}, dataset={"symbol": "SIMUSDT", "interval": "1h"}), revised()
    )
    assert hermes("record", "verify", *WORDS).code == 0
    said = hermes("record", "reconcile", *WORDS, "--json")
    assert said.code == 0
    first = next(each for each in said.json["datasets"][0]["differences"] if each["cause"] == "bar revised")
    assert first["datetime"] == (FIRST + 830 * HOUR).isoformat()
    assert "close " in first["detail"]


def revised() -> pl.DataFrame:
    return changed(BARS, 830, close=BARS["close"][830] * 1.01, high=BARS["high"][830] * 1.02)


def test_missed_bars_are_a_fault_and_absent_ones_are_not(hermes, tmp_path: Path):
    settings = settings_at(tmp_path)
    put_silver(settings, BARS.filter(~pl.int_range(pl.len()).is_between(790, 792)))
    put_record(settings, Service(BARS).run(BEGIN, 790).run(793, 800).run(803, 830).record)
    said = hermes("record", "verify", *WORDS, "--json")
    assert said.code == 3
    assert [gap["bars"] for gap in said.json["missed"]] == [3]
    assert said.json["missed"][0]["first"] == (FIRST + 800 * HOUR).isoformat()
    assert [gap["bars"] for gap in said.json["absent"]] == [3]


def test_difference_without_a_cause_ends_with_three(hermes, tmp_path: Path):
    settings = settings_at(tmp_path)
    put_silver(settings, BARS)

    def lying(bars: pl.DataFrame, parameters: object) -> pl.DataFrame:
        from tests.record.decisions import decide

        return decide(bars, parameters).with_columns(pl.col("ema_12") * 1.01)

    put_record(settings, Service(BARS, decide=lying).run(BEGIN, 830).record)
    said = hermes("record", "reconcile", *WORDS)
    assert said.code == 3
    assert "without a cause" in said.err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("verify",), 1, "nothing is on record"),
        (("head",), 1, "nothing is on record for smart_momentum, spot 1h"),
        (("show", "BTCUSDT"), 1, "there is no record of BTCUSDT 1h"),
        (("reconcile", "BTCUSDT"), 1, "there is no record of BTCUSDT 1h"),
        (("export", "--csv", "x.csv"), 1, "nothing is on record"),
        (("export",), 2, "either --csv FILE or --parquet FILE"),
        (("export", "--csv", "a", "--parquet", "b"), 2, "either --csv FILE or --parquet FILE"),
        (("show", "BTC;DROP"), 2, "is not a name"),
    ],
)
def test_errors_have_one_line_and_a_cure(hermes, words, code, text):
    said = hermes("record", *words, "--interval", "1h")
    assert said.code == code
    assert text in said.error
    assert "→" in said.error


def test_export_to_a_folder_that_is_not_there(hermes, lake: Path):
    said = hermes("record", "export", *WORDS, "--csv", "nowhere/x.csv")
    assert said.code == 2
    assert "nowhere/x.csv cannot be written" in said.error


def test_json_is_one_document(hermes, lake: Path):
    for words in (["verify"], ["head"], ["show"], ["reconcile"], ["export", "--csv", "r.csv"]):
        assert json.loads(hermes("record", *words, *WORDS, "--json").out)


def test_record_is_a_table_of_the_lake(hermes, lake: Path, kept):
    (table,) = [each for each in hermes("ls", "--json").json["tables"] if each["table"].startswith("decisions")]
    assert (table["table"], table["rows"]) == ("decisions_smart_momentum_spot_1h", 120)
    assert table["last"] == (FIRST + 899 * HOUR).isoformat()
    asked = hermes(
        "sql", "select count(*), count(ema_5), max(sequence) from decisions_smart_momentum_spot_1h", "--json"
    )
    assert asked.json["rows"] == [[120, 50, 119]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.drop("hash"), "it has no column hash"),
        (
            lambda rows: rows.with_columns(pl.col("sequence").cast(pl.String)),
            "its column sequence is String, not Int64",
        ),
    ],
)
def test_a_file_with_other_columns_is_named(hermes, lake: Path, change, said):
    file = files(lake)[1]
    rewrite(file, change)
    for command in ("verify", "show", "head"):
        found = hermes("record", command, *WORDS)
        assert found.code == 1 and str(file) in found.error and said in found.error


def test_a_shortened_hash_is_no_fault_of_the_record(hermes, lake: Path, kept):
    said = hermes("record", "verify", *WORDS, "--head", kept[1].record["hash"][-1][:12])
    assert said.code == 2 and "64 digits" in said.error
