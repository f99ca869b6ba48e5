"""The quality table, for people."""

from typing import TYPE_CHECKING, Any

from hermes.cli.views.console import print_facts
from hermes.text import counted, exact

if TYPE_CHECKING:
    from hermes.stages.silver.quality import Quality


def print_quality(quality: "Quality") -> None:
    """The quality table: bars present, missing and rejected."""
    tally = quality.tally
    expected = counted(quality.expected_bars, "bar")
    rejected = ", ".join(f"{count:,} {rule}" for rule, count in tally.rejected.items()) or "none"
    facts: list[tuple[str, Any]] = [
        ("rows", quality.rows),
        ("period", f"{quality.first} → {quality.last} UTC"),
        ("coverage", f"{quality.coverage_pct:.3f} % (missing: {quality.missing_bars:,} of {expected})"),
        ("gaps", f"{quality.gap_count:,}, longest {quality.max_gap_hours or 0:g} h between two bars"),
        ("zero-volume bars", quality.zero_volume_bars),
        ("off-grid / short bars", f"{quality.off_grid_bars:,} / {tally.short_bars:,}"),
        ("files left out", ", ".join(quality.refused_files) or "none"),
        ("bars still open", f"{tally.open_bars:,} (left out)"),
        ("rejected rows", rejected),
        ("price jumps", _jumps(quality)),
        ("identical duplicates", tally.identical_duplicates),
        ("files disagree", f"{counted(tally.conflicts, 'bar')} (kept: daily, else monthly)"),
        ("without CHECKSUM", ", ".join(quality.missing_checksums) or "none"),
    ]
    print_facts(f"Quality of {quality.symbol} {quality.interval}", facts)


def _jumps(quality: "Quality") -> str:
    """The number of price jumps, and the largest of them."""
    if not quality.price_jumps:
        return "none"
    largest = max(quality.price_jumps, key=lambda jump: max(jump.factor, 1 / jump.factor))
    return (
        f"{quality.price_jump_count:,}, the largest at {largest.bar} UTC, {largest.hours:,.0f} h after the bar before:"
        f" {exact(largest.close)} → {exact(largest.open)}"
    )
