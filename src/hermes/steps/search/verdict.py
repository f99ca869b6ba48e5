"""The verdicts on a sweep and on a walk forward, in words."""

from math import sqrt
from typing import TYPE_CHECKING

from hermes.pages.measures import shown
from hermes.stages.backtest.overfitting import Deflated
from hermes.text import counted, fixed

if TYPE_CHECKING:
    from hermes.steps.search.sweep import Swept
    from hermes.steps.search.walkforward import Walked

ENOUGH = 0.95  # confidence below which a figure may well be luck


def verdict(made: "Swept") -> list[str]:
    """The verdict on a sweep, in words."""
    tried = made.tried.table.height
    said = [f"{each[0].upper()}{each[1:]}." for each in made.tried.candidates.warnings]
    if made.best is None:
        said.append(_no_best(made))
    elif tried > 1:
        said.append(
            f"The best of {tried:,} combinations looks better than it is: with enough tries, chance alone finds one."
        )
    if tried > 1 and made.effective <= tried / 2:
        said.append(
            f"The {tried:,} combinations resemble each other: they differ as about {made.effective:,.1f} independent"
            f" ones would. The ratios below count all {tried:,}: rather too strict than too kind."
        )
    if made.best is not None and made.fills:
        said.append(_both_fills(made))
    if made.deflated:
        said.append(_deflated(made, made.deflated))
        said.append(_over_holding(made.over_holding))
    if made.overfitting:
        said.append(
            f"Probability of backtest overfitting {100 * made.overfitting.probability:.1f} %: chosen in one half of the"
            " bars, the best was no better than the median in the other half in that share of"
            f" {made.overfitting.splits:,} ways to cut them, and lost money there in"
            f" {100 * made.overfitting.loss:.1f} %."
        )
    return said


def _no_best(made: "Swept") -> str:
    most = max(trial.metrics.trades for trial in made.tried.trials)
    if not most:
        return "No combination ever traded: there is no best."
    if most < made.min_trades:
        return (
            f"No combination has {made.min_trades} trades (the most is {most}), so none is called the"
            f" best: a Sharpe ratio of so few trades is chance. A longer span or a lower --min-trades lifts that bar."
        )
    return "No combination has a Sharpe ratio: there is no best."


def _both_fills(made: "Swept") -> str:
    told = []
    for fill, each in made.fills.items():
        sharpe = "undefined" if each.sharpe is None else fixed(each.sharpe)
        told.append(sharpe + f" filled at {fill}")
    return f"The best's Sharpe ratio with each fill: {', '.join(told)}."


def _deflated(made: "Swept", found: Deflated) -> str:
    yearly = found.expected * sqrt(made.tried.trials[0].metrics.periods_per_year)
    return (
        f"Deflated Sharpe ratio {100 * found.probability:.1f} %: confidence that the best's true Sharpe ratio is above"
        f" {fixed(yearly)}, what luck gives the best of {found.trials:,} tries that earn nothing. It is held against"
        f" earning nothing, not against holding. {_luck(found, '; a rising market may')}"
    )


def _over_holding(found: Deflated | None) -> str:
    if found is None:
        return (
            "Above holding with the same exposure there is nothing left to measure: the best does what holding does, at"
            " all but a few bars at most."
        )
    return (
        f"Above holding with the same exposure {100 * found.probability:.1f} %: the same confidence for the returns"
        f" above those of holding that share of the asset at all times. {_luck(found)}"
    )


def _luck(found: Deflated, unless: str = "") -> str:
    if found.probability < ENOUGH:
        return "Below 95 %: it may well be luck."
    return f"Above 95 %: luck among so many tries hardly explains it{unless}."


def walk_verdict(made: "Walked") -> list[tuple[str, str]]:
    """The verdict on a walk forward, as pairs of a heading and a text."""
    fill = made.candidates.settings.backtest.fill
    at = "close" if fill == "close" else "open"
    return [
        ("combinations", f"{len(made.candidates.strategies):,} tried, {made.candidates.skipped:,} skipped"),
        (f"decay of {made.by}", _decay(made)),
        ("positions", f"flat at the start of every window; what is still held is sold at its last bar's {at}"),
        ("chosen by", f"{made.by} with {fill} fill; the other column trades the same choices with the other fill"),
        ("luck test", _chance(made)),
        *(("warning", said) for said in made.candidates.warnings),
    ]


def _decay(made: "Walked") -> str:
    """The cost of choosing; both accounts are sold at the same edges."""
    if len(made.candidates.strategies) < 2:
        return "none: with one combination there is nothing to choose"
    if made.decay_pct is None or made.found.in_sample is None:
        return "not defined: hindsight gained nothing, or nothing was traded"
    before, after = (getattr(found, made.by) for found in (made.found.in_sample, made.found.out_of_sample))
    if after < 0:
        lost = "all of it is lost, and more"
    else:
        lost = f"{made.decay_pct:.0f} % of it is lost" if after < before else "nothing is lost"
    told = f"{shown(made.by, before)} for the best in hindsight, {shown(made.by, after)} out of sample"
    return f"{told}, sold at the same edges: {lost}"


def _chance(made: "Walked") -> str:
    found = made.luck
    if found is None:
        return "no trade out of sample"
    return (
        f"better than {found.percentile:.1f} % of {found.draws:,} accounts with the same"
        f" {counted(found.trades, 'holding time')} at random bars: {fixed(found.return_pct, 1)} % against"
        f" {fixed(found.median_pct, 1)} % (5 % to 95 %: {fixed(found.low_pct, 1)} to {fixed(found.high_pct, 1)} %)"
    )
