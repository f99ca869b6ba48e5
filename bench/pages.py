"""What a section has to say, as Markdown and on the terminal."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("polars", "polars-talib", "TA-Lib", "duckdb", "pandas", "pyarrow", "numpy", "vectorbt")


@dataclass(frozen=True)
class Figure:
    """One ratio or size that was to be reached."""

    what: str
    found: float
    bound: float
    at_least: bool  # whether the bound is a floor or a ceiling
    unit: str

    @property
    def reached(self) -> bool:
        return self.found >= self.bound if self.at_least else self.found <= self.bound

    def row(self) -> tuple[str, ...]:
        sign = "≥" if self.at_least else "≤"
        verdict = "reached" if self.reached else "**not reached**"
        return self.what, f"{sign} {self.bound:g} {self.unit}", f"{self.found:.2f} {self.unit}", verdict


def at_most(what: str, found: float, bound: float, unit: str = "x") -> Figure:
    """A figure to stay below."""
    return Figure(what, found, bound, at_least=False, unit=unit)


def at_least(what: str, found: float, bound: float, unit: str = "x") -> Figure:
    """A figure to come above."""
    return Figure(what, found, bound, at_least=True, unit=unit)


@dataclass(frozen=True)
class Section:
    """One table: what was compared, each peer's row, and the figures to reach."""

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Sequence[Figure] = ()
    note: str = ""

    def markdown(self) -> str:
        parts = [f"## {self.title}", self.text, table(self.header, self.rows)]
        if self.figures:
            parts.append(table(("figure", "to reach", "found", ""), [figure.row() for figure in self.figures]))
        return "\n\n".join([*parts, self.note] if self.note else parts)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned so that it reads well as plain text too."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    texts = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


def page(sections: Sequence[Section], command: str) -> str:
    """The whole page, with the machine described."""
    reached = [figure.reached for section in sections for figure in section.figures]
    head = f"""# Benchmarks

Written by `{command}`; do not edit. All peers of a table ran in the same run, on the same data, on this machine, in
turns; each time in a fresh process of its own. Seconds are the median (fastest–slowest) of the work itself, after
imports, unless a table says "whole process". Memory is the median of the most that the process ever held
(`ru_maxrss`). Where files are written, both sides end with an fsync.

{table(("machine", ""), machine())}

{sum(reached)} of {len(reached)} figures reached."""
    return "\n\n".join([head, *(section.markdown() for section in sections)]) + "\n"


def machine() -> list[tuple[str, str]]:
    """What it ran on."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = next((int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return [
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("processor", f"{cpu or platform.processor()}, {len(os.sched_getaffinity(0))} cores"),
        ("memory", f"{memory / 1e9:.0f} GB"),
        ("system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("load before", f"{os.getloadavg()[0]:.1f}"),
        ("libraries", ", ".join(f"{name} {version(name)}" for name in LIBRARIES)),
    ]


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
