"""A file that is hashed, and synced, while it is written."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hermes.lake import files
from hermes.lake.files import HashedFile


@pytest.fixture
def synced_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SYNC_BYTES", 10)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40)))
def test_the_hash_is_that_of_the_file_however_it_was_written(synced_soon: None, tmp_path: Path, parts: list[bytes]):
    path = tmp_path / "file"
    with HashedFile(path) as file:
        for part in parts:
            assert file.write(memoryview(part)) == len(part)
    assert path.read_bytes() == b"".join(parts)
    assert file.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()


def test_what_is_written_is_on_its_way_to_the_disk(synced_soon: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    with HashedFile(tmp_path / "file") as file:
        file.write(b"a" * 9)
        assert file._syncing is None
        file.write(b"a")
        file._syncing.result()
        file.write(b"a" * 9)
        assert synced == [10]
    assert synced == [10]


def test_bytes_that_did_not_get_to_the_disk_are_an_error(
    synced_soon: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The system says it to one sync only: it must not be one that nobody listens to."""

    def broken(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    file = HashedFile(tmp_path / "file")
    file.write(b"a" * 10)
    assert file._syncing.exception().errno == errno.EIO
    for again in (lambda: file.write(b"a" * 10), file.close):
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            again()
    assert file.closed
