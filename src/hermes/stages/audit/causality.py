"""Proof by construction: which bars a Polars expression can read, from its serialized tree, without running it.

An operation listed in `operations` computes each value from its own bar and from earlier ones, and says from how
many. Only a tree made of nothing else is *proven*. Some operations surely look at later bars: they are a *fault*,
unless what is around them shifts the result back as far (`shift(-3).shift(3)`). Whatever is not on the list (Python
functions, figures of a whole column, ranks, lists of literals, plug-ins that nobody vouches for) is *not checked*: it
may be causal, but its form does not prove it.

It is an allow-list, never a deny-list: what Polars adds in the future is unproven until it is listed.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from hermes.stages.audit.checks import Judgement, Verdict
from hermes.stages.audit.tree import MOST_LITERALS, Tree

MOST_BYTES = 50_000  # of a serialized rule; the shipped ones have less than 1,000


class Rules(NamedTuple):
    """The judgements of a strategy's rules, together and by name."""

    whole: Judgement
    each: Mapping[str, Judgement]


def judge(expression: pl.Expr, inputs: Mapping[str, Judgement] | None = None) -> Judgement:
    """Judge one expression by its form: a rule or an indicator.

    Args:
        expression: over the columns of a table in time order.
        inputs: judgements of those columns that are themselves computed by expressions: look-backs add up. Other
            columns are taken for values known at their bar's close.

    Returns:
        The judgement. A look-back of None with `proven` means that all earlier bars count, as in an exponential
        average: right for an indicator over a whole history, wrong in a rule.
    """
    try:
        size = len(expression.meta.serialize())
        if size > MOST_BYTES:
            return _unproven(f"it holds {size:,} bytes of literals or Python objects")
        tree = json.loads(expression.meta.serialize(format="json"))
        found = Tree(inputs or {})
        reach = found.reach(tree)
    except RecursionError:
        return _unproven("it is nested too deeply to be read")
    except Exception as error:  # a Python function that cannot be written down, or a form that is not known
        return _unproven(f"its form cannot be read ({type(error).__name__})")
    if found.literals > MOST_LITERALS:
        found.unproven[f"it holds {found.literals:,} constants, which could be dates by another name"] = None
    verdict: Verdict = "fault" if reach.ahead > 0 else "not_checked" if found.unproven else "proven"
    reasons = (*found.ahead, *reach.inherited) if verdict == "fault" else tuple(found.unproven)
    back = None if verdict == "not_checked" else reach.back
    return Judgement(verdict, back, reasons, tuple(found.running), found.is_open, found.literals)


def judge_rules(
    conditions: Mapping[str, pl.Expr],
    signals: Mapping[str, pl.Expr],
    look_back: int,
    ranks: Mapping[str, pl.Expr] | None = None,
) -> Rules:
    """Judge a strategy's rules by their form, and check the declared look-back.

    Args:
        conditions: named Boolean expressions over bars and indicators.
        signals: buy, sell and the like: expressions over bars, indicators and the conditions.
        look_back: as declared by the strategy, in bars.
        ranks: what a portfolio ranks entries by; they may look back as far as they like.

    Returns:
        The judgement of all rules and ranks together, whose reasons begin with the name, and that of each rule.
    """
    each = {name: judge(rule) for name, rule in conditions.items()}
    each |= {name: judge(rule, each) for name, rule in signals.items()}
    ranked = {f"rank {name}": judge(rank) for name, rank in (ranks or {}).items()}
    faults, doubts = [], []
    for name, found in {**each, **ranked}.items():
        said = [f"{name}: {reason}" for reason in found.reasons]
        if found.verdict == "fault":
            faults += said
        elif found.verdict == "not_checked":
            doubts += said
        elif name in ranked:
            continue
        elif found.look_back is None:
            faults.append(f"{name} depends on all bars before, so that no look-back is enough")
        elif found.look_back > look_back:
            faults.append(f"{name} looks back {found.look_back:,} bars, its strategy declares {look_back:,}")
    constants = sum(found.constants for found in each.values())
    if constants > 2 * MOST_LITERALS:
        doubts.append(f"together they hold {constants:,} constants, which could be dates by another name")
    backs = [found.look_back for found in each.values()]
    back = None if None in backs else max((bars for bars in backs if bars is not None), default=0)
    running = tuple(dict.fromkeys(f"{name}: {said}" for name, found in each.items() for said in found.running))
    verdict: Verdict = "fault" if faults else "not_checked" if doubts else "proven"
    is_open = any(found.is_open for found in each.values())
    return Rules(Judgement(verdict, back, (*faults, *doubts), running, is_open, constants), each)


def _unproven(reason: str) -> Judgement:
    return Judgement("not_checked", None, (reason,), is_open=True)
