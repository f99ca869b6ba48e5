"""Every oracle of the torture suites finds the fault planted for it; `python -m torture --mutants` proves all."""

import pytest
from torture.runner import run, seeds

from torture import SUITES, mutants

UPLOADS_FLIPPED = range(49, 63 * 8, 63)  # cases of `s3_faults` in which a bit of a PUT is flipped
FULL_ONCE = range(20, 360, 36)  # cases of `io` in which the disk is full once while features are written
PROVED = {
    ("snapshot", "no_second_look"): seeds(2, 60),
    ("io", "no_staging"): FULL_ONCE,
    ("io", "error_swallowed"): FULL_ONCE,
    ("s3_faults", "hash_skipped"): UPLOADS_FLIPPED,
    ("crowd", "no_create_only"): seeds(1, 2),
    ("stores", "conditions_assumed"): seeds(1, 20),
    ("stores", "strangers_believed"): seeds(1, 20),
    ("slow", "limit_for_the_whole"): seeds(1, 6),
    ("receivers", "told_under_the_lock"): seeds(1, 7),
    ("receivers", "dropped"): seeds(1, 7),
    ("parquet", "no_hash"): seeds(1, 4),
    ("parquet", "no_contract"): seeds(1, 120),
    ("zips", "no_cap"): seeds(1, 96),
    ("zips", "any_member"): seeds(1, 64),
    ("zips", "no_checksum"): seeds(1, 64),
    ("rows", "silent_rejects"): seeds(1, 100),
    ("rows", "nan_passes"): seeds(1, 200),
    ("rows", "last_wins"): seeds(1, 100),
    ("clocks", "named_by_clock"): seeds(1, 40),
    ("clocks", "newest_by_clock"): seeds(1, 40),
    ("clocks", "latest_of_all"): seeds(1, 40),
    ("swapped", "no_place"): range(1_000_001, 1_000_200, 3),
    ("swapped", "json_believed"): range(999_999, 1_000_200, 3),
    ("names", "any_symbol"): range(1_000_008, 1_001_000, 17),
    ("names", "open_sql"): range(1_000_001, 1_001_000, 17),
    ("secrets", "open_errors"): seeds(1, 60),
    ("secrets", "open_settings"): seeds(1, 120),
}


@pytest.mark.parametrize(("name", "mutant"), PROVED)
def test_mutant_is_found(monkeypatch: pytest.MonkeyPatch, name: str, mutant: str):
    monkeypatch.setenv(mutants.VARIABLE, f"{name}:{mutant}")
    ran = run(name, PROVED[name, mutant], jobs=1, enough=lambda ran: bool(ran.faults))
    assert ran.faults, f"{name} does not see {mutant} in {ran.cases} cases"
    assert ran.faults[0].fault.startswith("AssertionError"), ran.faults[0].fault


def test_every_mutant_says_what_it_breaks():
    for name in SUITES:
        for mutant, plant in mutants.mutants_of(name).items():
            assert plant.__doc__, f"{name} {mutant}"
