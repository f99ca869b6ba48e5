"""What the storage rules forbid, done on purpose: see `torture.mutants`."""

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from obstore.store import S3Store

from hermes.errors import AlreadyPublished
from hermes.lake.backends import s3, s3_client
from hermes.lake.backends.folder import Folder
from hermes.lake.files import Staged
from hermes.lake.store import Layer


def no_staging() -> None:
    """Files of a folder are written straight to their final path."""

    def replace_all(self: Folder, files: Sequence[Staged], *_: object, **__: object) -> None:
        for file in files:
            self._records.expect({file.key: file.digest})
            _write(file.path, self.root / file.key, os.O_TRUNC)

    def create(self: Folder, key: str, staged: Path, digest: str) -> None:
        self._records.expect({key: digest})
        try:
            _write(staged, self.root / key, os.O_EXCL)
        except FileExistsError:
            raise AlreadyPublished(f"{key} is there already", "run again") from None

    Folder.replace_all, Folder.create = replace_all, create  # type: ignore[method-assign]


def _write(staged: Path, final: Path, how: int) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    data = staged.read_bytes()
    handle = os.open(final, os.O_WRONLY | os.O_CREAT | how, 0o666)
    try:
        for begin in range(0, len(data), 4096):
            os.write(handle, data[begin : begin + 4096])
            time.sleep(0.001)  # as slow disks do
    finally:
        os.close(handle)


def no_create_only() -> None:
    """An execution replaces whatever has its name already."""
    Folder.create = Folder.replace  # type: ignore[method-assign]
    s3.Bucket.create = s3.Bucket.replace  # type: ignore[method-assign]


def hash_too_late() -> None:
    """The hash of an execution goes on record only after the execution is there, on a folder."""

    def link(self: Folder, key: str, staged: Path, record: str, _: Iterable[Path]) -> None:
        try:
            os.link(staged, self.root / key)
        except FileExistsError:
            raise AlreadyPublished(f"{key} is there already", "run again") from None
        self._records.expect({key: record})

    Folder._link = link  # type: ignore[method-assign]


def hash_skipped() -> None:
    """No checksum goes with what is sent to a store."""

    def unchecked(bucket: str, *, config: Any, **options: Any) -> S3Store:
        silent: Any = {name: value for name, value in config.items() if name != "checksum_algorithm"}
        return S3Store(bucket, config=silent, **options)

    setattr(s3_client, "S3Store", unchecked)  # noqa: B010 - nobody else is to see it


def no_second_look() -> None:
    """What was read is not compared with what is there before something made from it is published."""
    Layer.unchanged = lambda *_: True  # type: ignore[method-assign]
    Layer.same = lambda *_: True  # type: ignore[method-assign]


def error_swallowed() -> None:
    """A file that could not be published is passed over, and the step answers as if it were there."""
    for backend in (Folder, s3.Bucket):
        _swallowing(backend)


def _swallowing(backend: type[Folder] | type[s3.Bucket]) -> None:
    replace_all = backend.replace_all

    def quiet(self: Any, files: Sequence[Staged], *args: Any, **options: Any) -> None:
        for file in files:
            with suppress(Exception):
                replace_all(self, [file], *args, **options)

    backend.replace_all = quiet  # type: ignore[method-assign]
