"""The output of `doctor`, `prune`, `promote`, `sql` and `audit --bytes`."""

from typing import TYPE_CHECKING

from hermes.cli.views.console import out, print_error, print_facts, print_rows, say
from hermes.cli.views.steps import inline
from hermes.errors import AuditFault
from hermes.text import counted

if TYPE_CHECKING:
    from hermes.steps.maintenance.doctor import Diagnosis
    from hermes.steps.maintenance.prune import Pruned
    from hermes.steps.maintenance.verify import Verified
    from hermes.steps.promotion import Promoted
    from hermes.steps.query import Answer

_MOST_NAMES = 20  # of files that are no fault


def print_diagnosis(made: "Diagnosis") -> None:
    """Every check with its finding, then the cures."""
    rows = [(each.layer, each.check, "ok" if each.ok else "FAULT", each.found) for each in made.findings]
    print_rows(("layer", "check", "", "found"), rows, f"Lake at {made.settings.lake.url}")
    faults = [each for each in made.findings if not each.ok]
    for cure in dict.fromkeys(each.cure for each in faults):
        what = ", ".join(f"{each.layer} {each.check}" for each in faults if each.cure == cure)
        say("[bold red]{}:[/] {}", what, cure)
    if made.healthy:
        say("Everything is as Hermes needs it.")


def print_verified(made: "Verified") -> None:
    """What was compared, and every file that differs from what was published."""
    speed = made.bytes / 1e6 / made.seconds if made.seconds else 0.0
    print_facts(
        f"Bytes of {', '.join(made.datasets)}, alone or among others" if made.datasets else "Bytes of the lake",
        [
            (
                "read",
                f"{counted(made.files, 'file')}, {made.bytes / 1e6:,.1f} MB in {made.seconds:.2f} s, {speed:,.0f} MB/s",
            ),
            ("differ", len(made.differs)),
            ("misplaced", len(made.misplaced)),
            ("hash lost", len(made.unrecorded)),
            ("missing", len(made.missing)),
            ("unreadable", len(made.unreadable)),
            ("no record", f"{len(made.no_record):,} (of other tools: nothing to compare with)"),
        ],
    )
    for address in made.no_record[:_MOST_NAMES]:
        say("[dim]no record[/] {}", address)
    if len(made.no_record) > _MOST_NAMES:
        say("[dim]and {} more without a record: see --json[/]", len(made.no_record) - _MOST_NAMES)
    again = "remove it and run the step that makes it again, or take it from a backup"
    lost = "take `_hashes` from a backup; without one, remove the file and run the step that makes it again"
    gone = "take it from a backup or make it again; if it went on purpose, remove its run.json and _hashes record, too"
    for address in made.differs:
        print_error(AuditFault(f"{address} differs from what was published", again))
    for said in made.misplaced:
        print_error(AuditFault(said, again))
    for address in made.unrecorded[:_MOST_NAMES]:
        print_error(AuditFault(f"{address} was made by Hermes, and its hash is no longer on record", lost))
    if len(made.unrecorded) > _MOST_NAMES:  # as a rule all of them: `_hashes` itself is gone
        more = f"and {counted(len(made.unrecorded) - _MOST_NAMES, 'more file')} whose hash is lost: see --json"
        print_error(AuditFault(more, lost))
    for address in made.missing:
        print_error(AuditFault(f"{address} was published and is missing", gone))
    for said in made.unreadable:
        print_error(AuditFault(said))


def print_pruned(made: "Pruned") -> None:
    """What is or would be removed, table by table, and which old executions stay."""
    rows = [
        *((each.table, each.folder, len(each.files), f"{each.size / 1e6:,.2f} MB") for each in made.executions),
        *((each.table, f"{each.folder}, its rest", len(each.files), f"{each.size / 1e6:,.2f} MB")
          for each in made.remains),
        *(("bronze, recent", each.key.rpartition("/")[2], 1, f"{each.size / 1e6:,.2f} MB") for each in made.recent),
        *(("staging", str(each.path), None, f"{each.size / 1e6:,.2f} MB") for each in made.staging),
    ]  # fmt: skip
    if rows:
        print_rows(("table", "execution", "files", "size"), rows, "Removed" if made.done else "Would be removed")
    leftovers = f"{counted(len(made.staging), 'leftover')} of dead runs"
    executions, recent = counted(len(made.executions), "execution"), counted(len(made.recent), "recent file")
    count = f"{executions}, {recent} and {leftovers}"
    if made.done:
        say("Removed {}, {} MB.", count, f"{made.bytes / 1e6:,.2f}")
    else:
        said = "Would remove {}, {} MB. Nothing was changed: add --yes to remove them."
        say(said, count, f"{made.bytes / 1e6:,.2f}")
    for address in made.foreign:
        say("[dim]stays, not made by Hermes:[/] {}", address)
    for note in made.notes:
        say("[yellow]{}[/]", note)


def print_promoted(made: "Promoted") -> None:
    """What is promoted, or no longer is."""
    known = made.promotion
    pinned = [(name, inline(value)) for name, value in known.pinned.items()]
    print_facts(known.table, [("promoted", known.execution), *pinned, ("kept in", known.path)])
    if made.withdrawn:
        say("Withdrawn: readers get the newest execution made with the configured settings.")
    else:
        say("Readers get the newest execution made like this one.")


def print_answer(made: "Answer") -> None:
    """The rows of a query: as a table, or as a list of columns for each row if the table does not fit."""
    cells = [[len(str(value)) for value in row] for row in made.rows]
    widths = [max([len(name), *column]) for name, column in zip(made.columns, zip(*cells, strict=True), strict=False)]
    if sum(widths) + 2 * len(widths) <= out().width or not made.rows:
        print_rows(made.columns, made.rows)
    else:
        for number, row in enumerate(made.rows, 1):
            print_facts(f"Row {number:,}", list(zip(made.columns, row, strict=True)))
    if made.more:
        say("[yellow]Only the first {}; --limit gives more, --out FILE all of them.[/]", counted(len(made.rows), "row"))
