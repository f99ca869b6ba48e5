"""Temporary files of tests are in memory where there is room, and are not left there."""

import os
import tempfile
from pathlib import Path

import pytest
from tests.temporary import NAME, keep_in_memory


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", "")  # so that it is as it was, afterwards
    monkeypatch.delenv("TMPDIR")
    return monkeypatch


def test_they_go_there_and_what_ended_processes_left_is_removed(tmp_path: Path, unset: pytest.MonkeyPatch):
    (tmp_path / f"{NAME}{1 << 30}-left" / "lake").mkdir(parents=True)  # no process has this number
    (tmp_path / f"{NAME}{os.getppid()}-in-use").mkdir()
    made = keep_in_memory(tmp_path, room=1)
    assert made is not None
    assert Path(tempfile.gettempdir()) == made
    assert sorted(tmp_path.iterdir()) == sorted([made, tmp_path / f"{NAME}{os.getppid()}-in-use"])


def test_without_room_they_stay_where_they_were(tmp_path: Path, unset: pytest.MonkeyPatch):
    assert keep_in_memory(tmp_path, room=1 << 60) is None
    assert "TMPDIR" not in os.environ


def test_who_names_a_folder_gets_it(tmp_path: Path, unset: pytest.MonkeyPatch):
    unset.setenv("TMPDIR", "/elsewhere")
    assert keep_in_memory(tmp_path, room=1) is None
    assert os.environ["TMPDIR"] == "/elsewhere"
