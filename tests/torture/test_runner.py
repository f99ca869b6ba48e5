"""The runner counts what cases find, and outlives cases that take their process with them."""

import os
from pathlib import Path

import pytest
from torture.runner import Ran, seeds
from torture.worker import Outcome

from torture import page, runner, worker


class Suite:
    ABOUT = "a suite for this test"
    DEADLINE_S = 0.2

    def __init__(self, case):
        self.case = case


def attempt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case) -> Outcome:
    monkeypatch.setattr(worker, "suite", lambda _: Suite(case))
    return worker.attempt("x", 7, tmp_path, None)


def test_a_case_that_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def case(seed: int, folder: Path) -> int:
        (folder / "file").write_text("x")
        return seed

    outcome = attempt(monkeypatch, tmp_path, case)
    assert (outcome.seed, outcome.tried, outcome.fault) == (7, 7, "")
    assert list(tmp_path.iterdir()) == []


def test_a_case_with_words_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    outcome = attempt(monkeypatch, tmp_path, lambda seed, folder: "at most 9 MB")
    assert (outcome.tried, outcome.note) == (1, "at most 9 MB")


@pytest.mark.parametrize("error", [AssertionError("torn"), ValueError("torn"), BaseException("torn")])
def test_a_case_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException):
    def case(seed: int, folder: Path) -> None:
        raise error

    assert attempt(monkeypatch, tmp_path, case).fault.startswith(f"{type(error).__name__}: torn")


def test_a_case_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def case(seed: int, folder: Path) -> None:
        while True:
            pass

    assert "took more than 0.2 s" in attempt(monkeypatch, tmp_path, case).fault


def test_no_setting_comes_from_outside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HERMES_LAKE__URL", "s3://elsewhere-{layer}")
    worker.prepare()
    assert not [name for name in os.environ if name.startswith(("HERMES_", "AWS_", "MINIO_"))]


def die_on_odd(name: str, seed: int, root: Path, given: object) -> Outcome:
    if seed % 2:
        os._exit(1)
    return Outcome(seed, 1, "", 0.0)


def test_a_case_that_kills_its_process_is_a_fault_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runner, "attempt", die_on_odd)
    monkeypatch.setattr(runner, "suite", lambda _: Suite(None))
    ran = runner.run("x", seeds(1, 4), jobs=1)
    assert ran.cases == 4
    assert [fault.seed for fault in ran.faults] == [1_000_001, 1_000_003]


def test_rows_of_the_page():
    ran = Ran("x", "about", 3_000_000)
    for outcome in (Outcome(1, 5, "", 0.1), Outcome(2, 1, "torn", 0.1), Outcome(3, 1, "", 0.1, "9 MB")):
        ran.add(outcome)
    assert page.rows([ran]) == [("x", "3", "7", "1", "0", "3000000"), ("all", "3", "7", "1", "0", "")]
    assert "- x: 9 MB" in page.page([ran], 2)
