"""Named points of a run at which a process can be killed: seams of Hermes are wrapped from outside, never changed."""

import functools
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import obstore
import polars as pl

from hermes.lake.files import HashedFile
from hermes.lake.store import Layer
from hermes.stages.bronze.archive import Archive
from hermes.stages.signals import generate

Half = Callable[..., object]


class Points:
    """Counts how often each point is reached; `act` names what happens at the n-th time: point, n → function.

    A point is "before", "half of" or "after" what is named in `planted`; half a thing is only done by who dies then.
    """

    def __init__(self, act: Mapping[tuple[str, int], Callable[[], None]] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._act = dict(act or {})
        self._lock = threading.Lock()

    def reach(self, point: str) -> None:
        """Count a point, and do what is to be done there."""
        if action := self._due(point):
            action()

    def _due(self, point: str) -> Callable[[], None] | None:
        with self._lock:
            self.counts[point] += 1
            return self._act.pop((point, self.counts[point]), None)

    @contextmanager
    def planted(self) -> Iterator[None]:
        """While the block runs, the seams of this process are wrapped."""
        with ExitStack() as stack:
            self._stack = stack
            self._plant()
            yield

    def _plant(self) -> None:
        self._wrap(Archive, "fetch", lambda *_: "fetch")
        self._wrap(Archive, "checksum", lambda *_: "checksum")
        self._wrap(Layer, "files", lambda layer, *_: f"listing {_name(layer)}")
        self._wrap(Layer, "scan", lambda layer, *_: f"scanning {_name(layer)}")
        self._wrap(Layer, "stage", lambda layer, *_: f"staging {_name(layer)}")
        self._wrap(Layer, "replace_all", lambda layer, staged, *_: f"publishing {_what(layer, next(iter(staged)))}")
        self._wrap(Layer, "create", lambda *_: "publishing signals")
        self._wrap(generate, "signals", lambda *_: "a chunk")
        self._wrap(HashedFile, "write", lambda *_: "encoding", _half_data)
        self._wrap(pl.DataFrame, "write_parquet", lambda *_: "a Parquet file", _half_parquet)
        self._wrap(pl.LazyFrame, "sink_parquet", lambda *_: "a Parquet stream", _half_parquet)
        self._wrap(Path, "write_bytes", lambda *_: "a small file", _half_data)
        self._wrap(Path, "write_text", lambda *_: "a record alone", _half_data)
        self._wrap(os, "write", lambda *_: "a record added", _half_data)
        self._wrap(os, "fsync", lambda *_: "fsync")
        self._wrap(os, "link", lambda *_: "link")
        self._wrap(os, "replace", lambda _, to: "rename of a record" if "_hashes" in str(to) else "rename")
        self._wrap(obstore, "put", lambda *_: "PUT")

    def _wrap(self, owner: Any, attribute: str, named: Callable[..., str], half: Half | None = None) -> None:
        """Reach points around every call of `owner.attribute`; `half` does half of its work, given the original."""
        original = getattr(owner, attribute)

        @functools.wraps(original)
        def wrapper(*args: Any, **options: Any) -> Any:
            name = named(*args)
            self.reach(f"before {name}")
            if half and (action := self._due(f"half of {name}")):
                half(original, *args, **options)
                action()
            result = original(*args, **options)
            self.reach(f"after {name}")
            return result

        self._stack.enter_context(mock.patch.object(owner, attribute, wrapper))


def die() -> None:
    """End this process as a power cut would: at once, nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def _half_data(write: Half, file: Any, data: Any, **options: Any) -> None:
    """The first half of what was to be written."""
    write(file, data[: len(data) // 2], **options)


def _half_parquet(write: Half, frame: pl.DataFrame, path: Any, **options: Any) -> None:
    """What Polars leaves behind where it is killed while it writes."""
    write(frame, path, **options)
    if isinstance(path, str | Path):
        os.truncate(path, Path(path).stat().st_size // 2)


def _name(layer: Layer) -> str:
    found = re.search(r"[-/](bronze|silver|gold)(/|$)", layer.address)
    assert found, layer.address
    return found[1]


def _what(layer: Layer, key: str) -> str:
    return key.rpartition("/")[2] if key.endswith(".json") else _name(layer)
