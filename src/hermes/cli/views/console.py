"""The printing functions of all views: tables and facts on stdout, progress and errors on stderr."""
# ruff: noqa: PLC0415 (Rich is loaded once something is drawn: JSON needs none of it)

import csv
import json
import logging
import re
import sys
import tempfile
import textwrap
import webbrowser
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from hermes import logs
from hermes.dataset import is_simulated
from hermes.errors import HermesError
from hermes.progress import Advance, Progress
from hermes.redaction import printable, redact

if TYPE_CHECKING:
    from io import TextIOWrapper

    from rich.console import Console
    from rich.table import Table


_UNPRINTABLE = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")

_PADDING = 2  # cells around each column
_LEAST_NAME, _LEAST_VALUE = 20, 30  # cells of a fact's two columns


@cache
def out() -> "Console":
    """Rich's console on stdout."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, width=None if sys.stdout and sys.stdout.isatty() else 140)


@cache
def _err() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


class Bars(Progress):
    """Progress bars on stderr where that is a terminal, with rate and time left."""

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """See `Progress`."""
        if logs.as_json():
            with _counted(name, total, unit) as advance:
                yield advance
            return
        if not (sys.stderr and sys.stderr.isatty()):
            yield lambda done, note: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn(f"{unit} {{task.fields[note]}}", markup=False),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        with RichProgress(*columns, console=_err(), transient=True, disable=not _err().is_terminal) as bars:
            task = bars.add_task(printable(name), total=total, note="")
            yield lambda done, note: bars.update(task, advance=done, note=printable(note))


@contextmanager
def _counted(name: str, total: int, unit: str) -> Iterator[Advance]:
    """Count progress, and log the end of the task."""
    started, units, last = perf_counter(), 0, ""

    def advance(done: int, note: str) -> None:
        nonlocal units, last
        units, last = units + done, note

    yield advance
    seconds = round(perf_counter() - started, 3)
    logs.event("task", task=name, done=units, total=total, unit=unit, note=last, seconds=seconds)


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout; control and unprintable characters are escaped as JSON does."""
    sys.stdout.write(_json(document, indent=2))


def print_json_line(document: Mapping[str, Any]) -> None:
    """One JSON document on one line, flushed at once; escaped as by `print_json`."""
    sys.stdout.write(_json(document))
    sys.stdout.flush()


def _json(document: Mapping[str, Any], indent: int | None = None) -> str:
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(document, indent=indent, ensure_ascii=not is_unicode, default=str)
    return _UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], text) + "\n"


def print_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows as CSV on stdout, with a header, in UTF-8; NULL is an empty cell.

    A file or a pipe gets every value verbatim; for a terminal, which would act on some, control characters are escaped.
    """
    if sys.stdout.isatty():
        columns = [printable(name) for name in columns]
        rows = [[printable(value) if isinstance(value, str) else value for value in row] for row in rows]
    sys.stdout.flush()
    cast("TextIOWrapper", sys.stdout).reconfigure(encoding="utf-8", errors="replace")
    written = csv.writer(sys.stdout, lineterminator="\n")
    written.writerow(columns)
    written.writerows(rows)


def say(template: str, *values: Any) -> None:
    """One line on stdout: `template` may use Rich's markup, values are inserted verbatim."""
    out().print(template.format(*(shown(value) for value in values)), soft_wrap=True)


def shown(value: Any) -> str:
    """A value as text that Rich prints verbatim: the only place that escapes markup."""
    from rich.markup import escape

    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(printable(redact(str(value))))


def print_note(text: str) -> None:
    """A note on stderr, which is not part of the result."""
    if logs.as_json():
        logs.event("note", message=text)
    else:
        _err().print(shown(text), soft_wrap=True)


def open_page(path: str, name: str, html: Callable[[], str]) -> None:
    """Open a page in the browser.

    Args:
        path: where it is; what is not a local file is opened from a copy in the folder for temporary files.
        name: of that copy.
        html: gives the page.
    """
    local = Path(path.removeprefix("file://"))
    if not local.is_file():
        local = Path(tempfile.mkdtemp(prefix="hermes-")) / f"{name}.html"
        local.write_text(html(), encoding="utf-8")
    if not webbrowser.open(local.resolve().as_uri()):
        print_note(f"no browser could be opened; the page is {local}")


def print_error(error: HermesError, what: str = "") -> None:
    """One line: the error, then the cure."""
    if logs.as_json():
        dataset = {"dataset": what.removesuffix(": ")} if what else {}
        facts: dict[str, Any] = {**dataset, "error": error.message, "cure": error.cure, "exit_code": error.exit_code}
        logs.event("error", level=logging.ERROR, **facts)
        return
    cure = f" → {error.cure}" if error.cure else ""
    _err().print(f"[bold red]error:[/] {shown(f'{what}{error.message}{cure}')}", soft_wrap=True)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "", whole: int = 0) -> None:
    """A plain table; numbers to the right.

    Args:
        whole: how many leading columns hold names to copy, which are never wrapped; if they do not fit
            without wrapping other words, each row is shown as facts.
    """
    texts = [[shown(name), *(shown(row[position]) for row in rows)] for position, name in enumerate(columns)]
    if title:  # a line of its own: as the table's it would be broken at the table's width
        say("[bold]{}[/]", title)
    if whole and not _widths(texts, whole):
        for row in rows:
            print_facts(str(row[0]), list(zip(columns[1:], row[1:], strict=True)))
        return
    numeric = {
        position
        for position in range(len(columns))
        if rows and all(isinstance(row[position], int | float) for row in rows)
    }
    out().print(table_of(texts, numeric, whole))


def table_of(columns: Sequence[Sequence[str]], right: Collection[int] = (), whole: int = 0) -> "Table":
    """A plain table that wraps within words only if it does not fit otherwise.

    Args:
        columns: each with its name first, escaped by `shown`; right: positions of right-aligned columns.
        whole: how many leading columns are never wrapped.
    """
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    widths: Sequence[int | None] = _widths(columns, whole) or [None] * len(columns)
    for position, ((name, *_), width) in enumerate(zip(columns, widths, strict=True)):
        table.add_column(name, justify="right" if position in right else "left", overflow="fold", width=width)
    for cells in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*cells)
    return table


def _widths(columns: Sequence[Sequence[str]], whole: int) -> list[int]:
    """Column widths at which no word is wrapped, nor any text of the first `whole`; empty if they do not fit."""
    from rich.cells import cell_len

    full = [max(cell_len(text) for text in texts) for texts in columns]
    least = [max(cell_len(word) for text in texts for word in text.split() or [""]) for texts in columns]
    widths = full[:whole] + least[whole:]
    left = out().width - sum(widths) - _PADDING * len(widths)
    if left < 0:
        return []
    for position in sorted(range(len(full)), key=lambda each: full[each] - widths[each]):
        more = min(left, full[position] - widths[position])
        widths[position] += more
        left -= more
    return widths


def print_facts(title: str, facts: Sequence[tuple[str, Any]]) -> None:
    """A titled list of names and values; words are never wrapped, so that paths can be copied."""
    from rich.cells import cell_len

    say("[bold]{}[/]", title)
    texts = [(shown(name), shown(value)) for name, value in facts]
    width = max(_LEAST_NAME, *(cell_len(name) for name, _ in texts), 0)
    indent = " " * (width + 1 + _PADDING)
    for name, value in texts:
        lines = textwrap.wrap(
            value, max(out().width - len(indent), _LEAST_VALUE), break_long_words=False, break_on_hyphens=False
        )
        begin = f" [dim]{name}[/]{' ' * (width - cell_len(name) + _PADDING)}"
        out().print(f"{begin}{f'{chr(10)}{indent}'.join(lines)}", soft_wrap=True)


def print_starter(paths: Mapping[str, Path], then: Sequence[str], *, as_json: bool) -> None:
    """The starter files that were written, and the next commands."""
    if as_json:
        print_json({**{name: str(path) for name, path in paths.items()}, "next": then})
        return
    print_facts("Wrote", list(paths.items()))
    print_facts("Now (`hermes demo` makes SIMUSDT)", [(f"{n}.", text) for n, text in enumerate(then, 1)])


def print_simulated(*symbols: str) -> None:
    """The label shown with all simulated data; nothing if no symbol is simulated."""
    if any(map(is_simulated, symbols)):
        say("[bold yellow]SIMULATED MARKET[/]: synthetic prices; nothing here says how a strategy trades.")
