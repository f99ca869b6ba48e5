"""`doctor`, `prune` and `audit --bytes` as people and scripts meet them: words, exit codes, one JSON document."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SIGNALS = "trading_signals_smart_momentum_spot_SIMUSDT_4h"


Hermes = Callable[..., Any]  # the fixture of conftest.py


@pytest.fixture
def lake(hermes: Hermes, simulated: Path, tmp_path: Path) -> Path:
    """A lake with two executions."""
    assert hermes("ingest", "SIMUSDT", "--archive", str(simulated)).code == 0
    for step in ("refine", "features", "signals", "signals"):
        assert hermes(step, "SIMUSDT").code == 0
    return tmp_path / "lake"


def executions(lake: Path) -> list[Path]:
    return sorted((lake / "gold" / SIGNALS).glob("execution_*"))


@pytest.mark.parametrize("command", ["doctor", "prune", "audit"])
def test_help_has_examples(hermes: Hermes, command: str):
    said = hermes(command, "--help")
    assert said.code == 0
    assert f"hermes {command}" in said.out


@pytest.mark.parametrize(
    "words",
    [
        ["prune"],
        ["prune", "--keep", "0"],
        ["prune", "--keep", "-1"],
        ["prune", "--keep", "1", "--interval", "4h"],
        ["audit", "--bytes", "--interval", "4h"],
        ["prune", "../x", "--keep", "1", "--yes"],
        ["doctor", "BTCUSDT"],
    ],
)
def test_wrong_usage_ends_with_two(hermes: Hermes, words: list[str], tmp_path: Path):
    said = hermes(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err
    assert not list(tmp_path.iterdir())


def test_doctor(hermes: Hermes, tmp_path: Path):
    said = hermes("doctor")
    assert (said.code, said.err) == (0, "")
    assert "Everything is as Hermes needs it." in said.out
    assert hermes("doctor", "--json").json["healthy"] is True
    (tmp_path / "flat").write_text("")
    said = hermes("doctor", "--lake", "./flat/{layer}")
    assert said.code == 1
    assert "choose another folder with --lake" in said.out
    found = hermes("doctor", "--lake", "./flat/{layer}", "--json")
    assert (found.code, found.json["healthy"]) == (1, False)


def test_doctor_of_a_store_that_is_away_tells_no_key(hermes: Hermes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hermes.lake.backends.s3_client.RETRIES", 0)
    monkeypatch.setenv("HERMES_S3__ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HERMES_S3__ACCESS_KEY", "canary-access")
    monkeypatch.setenv("HERMES_S3__SECRET_KEY", "canary-secret")
    for more in ([], ["--json"], ["-v"]):
        said = hermes("doctor", "--lake", "s3://x-{layer}", *more)
        assert said.code == 1
        assert "check s3.endpoint" in said.out
        assert "canary" not in said.out + said.err


def test_bytes_of_a_sound_lake(hermes: Hermes, lake: Path):
    said = hermes("audit", "--bytes")
    assert (said.code, said.err) == (0, "")
    made = hermes("audit", "SIMUSDT", "--bytes", "--json").json
    assert (made["verdict"], made["differs"], made["missing"], made["no_record"]) == ("pass", [], [], [])
    whole = hermes("audit", "--bytes", "--json").json
    assert whole["files"] == made["files"] == len([p for p in lake.rglob("*") if p.is_file() and "/_" not in str(p)])


def test_bytes_that_differ_or_miss_end_with_three_and_their_names(hermes: Hermes, lake: Path):
    first, second = (folder / "signals.parquet" for folder in executions(lake))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    status = first.stat()
    first.write_bytes(content)
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    second.unlink()
    (lake / "gold" / "foreign.parquet").write_bytes(b"x")
    said = hermes("audit", "--bytes")
    assert said.code == 3
    assert re.search(rf"{first} differs from what was published → ", said.err)
    assert re.search(rf"{second} was published and is missing → ", said.err)
    assert "foreign.parquet" in said.out
    made = hermes("audit", "--bytes", "--json")
    assert made.code == 3
    assert (made.json["differs"], made.json["missing"]) == ([str(first)], [str(second)])
    assert hermes("audit", "ETHUSDT", "--bytes").code == 0


def test_prune_says_first_and_removes_then(hermes: Hermes, lake: Path):
    old, new = executions(lake)
    said = hermes("prune", "--keep", "1")
    assert said.code == 0
    assert old.name in said.out
    assert "Nothing was changed: add --yes" in said.out
    assert executions(lake) == [old, new]
    made = hermes("prune", "SIMUSDT", "--keep", "1", "--yes", "--json").json
    assert (made["removed"], made["executions"]) == (True, [f"{SIGNALS}/{old.name}"])
    assert executions(lake) == [new]
    assert "Removed 0 executions" in hermes("prune", "--keep", "1", "--yes").out
    assert hermes("show", "SIMUSDT").code == 0
    assert hermes("audit", "--bytes").code == 0


def test_ls_lists_the_rest_where_one_table_cannot_be_read(hermes: Hermes, lake: Path):
    whole = hermes("ls", "--json").json["tables"]
    file = next((lake / "gold" / "gold_features_spot_monthly_klines_SIMUSDT_4h").rglob("*.parquet"))
    file.write_bytes(b"PAR1 no more")
    said = hermes("ls")
    assert said.code == 1
    assert "error: features_SIMUSDT_4h: " in said.err
    assert "signals_SIMUSDT_4h" in said.out
    made = hermes("ls", "--json")
    assert [table for table in whole if table["table"] != "features_SIMUSDT_4h"] == made.json["tables"]
    assert "features_SIMUSDT_4h" in made.json["errors"][0]["error"]


def test_a_run_json_that_cannot_be_written_is_a_warning(hermes: Hermes, lake: Path, monkeypatch: pytest.MonkeyPatch):
    from hermes.errors import StoreError
    from hermes.lake.store import Layer

    write = Layer.write_bytes

    def fails(self: Layer, key: str, content: bytes) -> str:
        if key.endswith("run.json"):
            raise StoreError("x: No space left on device", "free some space")
        return write(self, key, content)

    monkeypatch.setattr(Layer, "write_bytes", fails)
    said = hermes("signals", "SIMUSDT", "--json")
    assert said.code == 0
    assert "run.json was not written: x: No space left on device" in said.err
    assert Path(said.json["datasets"][0]["path"]).is_file()
    assert hermes("show", "SIMUSDT").code == 0


def test_silver_without_any_of_its_bronze_is_refused(hermes: Hermes, lake: Path):
    (gone,) = lake.glob("bronze/**/year=2024")
    for path in sorted(gone.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    said = hermes("refine", "SIMUSDT")
    assert said.code == 1
    assert "SIMUSDT-4h-2024-10.parquet was in bronze before, and is missing now → run `hermes ingest`" in said.err
