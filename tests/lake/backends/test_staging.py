"""Staging: what is live is never taken for a leftover, and a leftover never for live."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hermes.lake.backends.staging import Staging, leftovers, sweep

HOLD = """
import sys
from pathlib import Path
from hermes.lake.backends.staging import Staging
with Staging(Path(sys.argv[1])).file(".parquet") as path:
    path.write_bytes(b"x" * 100)
    print(path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path: Path):
    """Another process that has a file staged, and the file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    path = Path(process.stdout.readline().strip())
    yield process, path
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_nothing_is_left_of_what_was_staged(tmp_path: Path):
    staging = Staging(tmp_path / "_staging")
    with staging.file(".a") as first:
        with staging.file(".b") as second:
            first.write_bytes(b"1")
            second.write_bytes(b"2")
            assert first.parent == second.parent
        assert first.read_bytes() == b"1"
        assert not second.exists()
    assert list((tmp_path / "_staging").iterdir()) == []


def test_a_kept_folder_is_made_once_and_only_if_it_is_needed(tmp_path: Path):
    root = tmp_path / "_staging"
    staging = Staging(root)
    with staging.kept():
        assert not root.exists()
        with staging.file(".a") as first:
            pass
        assert not first.exists()
        with staging.kept(), staging.file(".b") as second:
            assert first.parent == second.parent
        assert sweep(root) == []  # a folder in use is no leftover, also of this very process
        assert [path.name for path in root.iterdir() if path.is_dir()] == [first.parent.name]
    assert list(root.iterdir()) == []
    with staging.file(".c") as third:
        assert third.parent != first.parent


def test_what_a_live_process_has_staged_stays_and_what_a_killed_one_had_goes(tmp_path: Path, held):
    process, path = held
    assert leftovers(tmp_path) == []
    assert sweep(tmp_path) == []
    assert path.read_bytes() == b"x" * 100
    process.send_signal(signal.SIGKILL)
    process.wait()
    (found,) = leftovers(tmp_path)
    assert (found.path, found.size) == (path.parent, 100)
    assert path.exists()  # to look changes nothing
    assert sweep(tmp_path) == [found]
    assert list(tmp_path.iterdir()) == []
    assert sweep(tmp_path) == []


def test_a_sweep_spares_what_this_very_process_has_staged(tmp_path: Path):
    with Staging(tmp_path).file(".a") as path:
        path.write_bytes(b"1")
        assert sweep(tmp_path) == []
        assert path.exists()


def test_files_without_a_lock_are_leftovers(tmp_path: Path):
    (tmp_path / "123-abc.parquet").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()
    (tmp_path / "alone.lock").write_bytes(b"")  # killed before it made its folder: nothing to speak of
    assert [(each.path.name, each.size) for each in sweep(tmp_path)] == [("123-abc.parquet", 5), ("folder", 0)]
    assert list(tmp_path.iterdir()) == []


def test_no_folder_has_no_leftovers(tmp_path: Path):
    assert leftovers(tmp_path / "none") == []


def test_sweeps_beside_writers_take_nothing_from_them(tmp_path: Path):
    """Writers come and go as fast as they can, others sweep: every staged file must be there until its end."""
    stop = threading.Event()

    def write(number: int) -> int:
        for round_ in range(60):
            with Staging(tmp_path).file(".x") as path:
                path.write_bytes(b"%d" % round_)
                assert path.read_bytes() == b"%d" % round_
        return number

    def clean() -> list:
        swept = []
        while not stop.is_set():
            swept += sweep(tmp_path)
        return swept

    with ThreadPoolExecutor(6) as pool:
        cleaners = [pool.submit(clean) for _ in range(2)]
        try:
            assert list(pool.map(write, range(4))) == [0, 1, 2, 3]
        finally:
            stop.set()
        assert [cleaner.result() for cleaner in cleaners] == [[], []]
    assert list(tmp_path.iterdir()) == []


def test_without_locks_files_are_staged_and_nothing_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (tmp_path / "old").write_bytes(b"")
    monkeypatch.setattr(fcntl, "flock", refused)
    with Staging(tmp_path).file(".x") as path:
        path.write_bytes(b"1")
    for look in (leftovers, sweep):
        with pytest.raises(OSError, match="No locks"):
            look(tmp_path)
    assert (tmp_path / "old").exists()
