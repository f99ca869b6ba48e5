"""The list of indicators, each judged by construction."""

from collections.abc import Sequence
from typing import Any

from hermes.errors import IndicatorFault
from hermes.indicators.columns import family_of, parse
from hermes.indicators.definition import Family
from hermes.indicators.registry import Known, known_indicators
from hermes.indicators.shipped import SHIPPED
from hermes.settings import Settings
from hermes.stages.audit.causality import judge
from hermes.stages.audit.checks import Judgement
from hermes.stages.gold.timeframes import split
from hermes.strategies.syntax import outside


def listed(settings: Settings) -> list[dict[str, Any]]:
    """Every indicator: shipped, of installed packages, and of the files that `features.indicators` names.

    Returns:
        `name, usage, formula, source, from, parameters` (`name, kind, least` of each), `example` (a column), its
        `look_back` in bars, and how its expression was judged: `verdict` (proven, fault, not_checked) and `reasons`.

    Raises:
        IndicatorError: a file or a package cannot be loaded.
    """
    known = known_indicators(settings.features.indicators)
    return [_described(family, known.sources[name]) for name, family in known.families.items()]


def own_sources(names: Sequence[str], known: Known) -> dict[str, str]:
    """The sources of the definitions of columns that Hermes does not ship, by column."""
    found = {}
    for name in names:
        family = family_of(split(name)[0], known.families)
        if family and SHIPPED.get(family.name) is not family:
            found[name] = known.sources[family.name]
    return found


def doubts(names: Sequence[str], known: Known) -> list[str]:
    """Why columns are not proven to only look back, one clause each; shipped ones are proven.

    Args:
        names: of columns, like `slope_10_3` or `slope_10_3@1d`.

    Raises:
        IndicatorFault: a column looks at later bars.
        UnknownIndicator: a name that nothing can be made from.
    """
    found: list[str] = []
    for name in names:
        column = parse(split(name)[0], known.families)
        if SHIPPED.get(column.family) is known.families[column.family]:
            continue
        judged = judge(column.call)
        if judged.verdict == "fault":
            raise IndicatorFault(
                f"indicator {name} looks at later bars: {'; '.join(judged.reasons)}",
                "an indicator must not know what comes after its bar",
            )
        reached = outside(known.code[column.family]) if column.family in known.code else ()
        packaged = () if column.family in known.code else ("its source is in a package and was not read",)
        found += [f"{name}: {reason}" for reason in (*judged.reasons, *reached, *packaged)]
    return found


def _described(family: Family, origin: str) -> dict[str, Any]:
    values = _example(family)
    expression, look_back = family.compute(*values)
    judged: Judgement = judge(expression)
    return {
        "name": family.name,
        "usage": family.usage,
        "formula": family.formula,
        "source": family.source,
        "from": origin,
        "parameters": [
            {"name": each.name, "kind": "bars" if each.whole else "factor", "least": each.least}
            for each in family.parameters
        ],
        "example": "_".join([family.name, *(f"{value:g}" for value in values)]),
        "look_back": look_back,
        "verdict": judged.verdict,
        "reasons": list(judged.reasons),
    }


def _example(family: Family) -> list[float]:
    """Valid values for every parameter; periods ascend, so that a fast one is below a slow one."""
    wholes = iter(range(12, 12 + 7 * len(family.parameters), 7))
    return [max(next(wholes), int(each.least)) if each.whole else max(2.0, each.least) for each in family.parameters]
