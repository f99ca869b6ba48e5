"""Progress of long work; silent unless somebody listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Called with (units done since the last call, a short note like "27 buys, 193 sells").
Advance = Callable[[int, str], None]


class Progress:
    """Ignores all progress; the command line has one that draws bars."""

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """A piece of work of `total` units, like 97 files or 17,515 rows."""
        yield lambda done, note: None


SILENT = Progress()
