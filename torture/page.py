"""What a run found, as a table for the terminal and as a page."""

from collections.abc import Sequence
from pathlib import Path
from subprocess import run

from bench.pages import machine, table

from torture.runner import Ran

HEADER = ("suite", "cases", "tried", "failures", "seconds", "first seed")


def rows(made: Sequence[Ran]) -> list[tuple[str, ...]]:
    """One row for each suite, and their sum."""
    shown = [
        (
            each.name,
            f"{each.cases:,}",
            f"{each.tried:,}",
            str(len(each.faults)),
            f"{each.seconds:,.0f}",
            str(each.first),
        )
        for each in made
    ]
    cases, tried, faults = (sum(each) for each in zip(*((r.cases, r.tried, len(r.faults)) for r in made), strict=True))
    return [*shown, ("all", f"{cases:,}", f"{tried:,}", str(faults), f"{sum(r.seconds for r in made):,.0f}", "")]


def page(made: Sequence[Ran], jobs: int) -> str:
    """The page of a full run."""
    facts = [(what, said) for what, said in machine() if what not in ("load before",)]
    notes = "\n".join(f"- {each.name}: {note}" for each in made for note in each.notes)
    return f"""# Torture

Written by `make torture`; do not edit. `python -m torture SUITE --case SEED` runs one case alone; the cases of a suite
have successive seeds from the first one on. What is promised, and what is not, stands in
[reliability.md](reliability.md).

{table(("machine", ""), [*facts, ("commit", _commit()), ("processes", str(jobs))])}

{table(HEADER, rows(made))}

{table(("suite", "what is done, and when it passes"), [(each.name, each.about) for each in made])}

{notes}
"""


def _commit() -> str:
    """The commit that was run, and whether the tree differed from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    head = run([*git, "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True).stdout.strip()
    changed = run([*git, "status", "--porcelain"], check=False, capture_output=True, text=True).stdout.strip()
    return f"{head or 'unknown'}{', with changes' if changed else ''}"
