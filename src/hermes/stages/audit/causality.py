"""Proof by construction: what a Polars expression can look at, read off its serialized tree, without running it.

An operation on the list below gives, on each bar, a value of that bar and of bars before it, and says how many. Only a
tree made of nothing else is *proven*. Some operations surely look at later bars: they are a *fault*, unless what is
around them shifts the result back as far (`shift(-3).shift(3)`). Whatever is not on the list (Python functions,
aggregates of a whole column, ranks, lists of literals, plug-ins that nobody vouches for) is *not checked*: it may be
honest, but its form does not prove it.

The list is one of what is allowed, never of what is forbidden: what Polars adds tomorrow is unproven until it is here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from hermes.stages.audit import operations as op
from hermes.stages.audit.checks import Verdict
from hermes.stages.audit.operations import method

MOST_BYTES = 50_000  # of a serialized rule; the shipped ones have less than 1,000
MOST_LITERALS = 100  # so many constants in one rule could be a list of dates by another name


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the form of an expression proves.

    Attributes:
        verdict: `proven`; `fault`; or `not_checked` where the form proves nothing and only tests can tell.
        look_back: bars before the current one that it looks at; None where that has no bound, or is not known.
        reasons: why it is not proven, one short clause each; empty where it is.
        running: operations that keep a running sum: the last digits of their values depend on where the bars begin.
        is_open: whether what it does is not all in its form, because it calls Python or a plug-in.
    """

    verdict: Verdict
    look_back: int | None
    reasons: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    is_open: bool = False


class Rules(NamedTuple):
    """A strategy's rules, judged together, and each of them by name."""

    whole: Judgement
    each: Mapping[str, Judgement]


def judge(expression: pl.Expr, inputs: Mapping[str, Judgement] | None = None) -> Judgement:
    """What the form of one expression proves: that of a rule, or of an indicator.

    Args:
        expression: over the columns of a table in time order.
        inputs: judgements of those columns that are themselves computed by expressions: look-backs add up. Other
            columns are taken for values known at their bar's close.

    Returns:
        The judgement. A look-back of None beside `proven` means that all bars before count, as in an exponential
        average: right for an indicator over a whole history, wrong in a rule.
    """
    try:
        size = len(expression.meta.serialize())
        if size > MOST_BYTES:
            return _unproven(f"it holds {size:,} bytes of literals or Python objects")
        tree = json.loads(expression.meta.serialize(format="json"))
        found = _Walk(inputs or {})
        reach = found.reach(tree)
    except RecursionError:
        return _unproven("it is nested too deeply to be read")
    except Exception as error:  # a Python function that cannot be written down, or a form that is not known
        return _unproven(f"its form cannot be read ({type(error).__name__})")
    if found.literals > MOST_LITERALS:
        found.unproven[f"it holds {found.literals:,} constants, which could be dates by another name"] = None
    running = tuple(found.running)
    if reach.ahead > 0:
        return Judgement("fault", reach.back, (*found.ahead, *reach.inherited), running, found.is_open)
    if found.unproven:
        return Judgement("not_checked", None, tuple(found.unproven), running, found.is_open)
    return Judgement("proven", reach.back, (), running)


def judge_rules(conditions: Mapping[str, pl.Expr], signals: Mapping[str, pl.Expr], look_back: int) -> Rules:
    """What the form of a strategy's rules proves, and whether its declared look-back is enough for them.

    Args:
        conditions: named Boolean expressions over bars and indicators.
        signals: buy, sell and the like: expressions over bars, indicators and the conditions.
        look_back: what the strategy declares, in bars.

    Returns:
        The judgement of all rules together, whose reasons begin with the rule's name, and that of each rule.
    """
    each = {name: judge(rule) for name, rule in conditions.items()}
    each |= {name: judge(rule, each) for name, rule in signals.items()}
    faults, doubts = [], []
    for name, found in each.items():
        said = [f"{name}: {reason}" for reason in found.reasons]
        if found.verdict == "fault":
            faults += said
        elif found.verdict == "not_checked":
            doubts += said
        elif found.look_back is None:
            faults.append(f"{name} depends on all bars before, so that no look-back is enough")
        elif found.look_back > look_back:
            faults.append(f"{name} looks back {found.look_back:,} bars, its strategy declares {look_back:,}")
    backs = [found.look_back for found in each.values()]
    back = None if None in backs else max((bars for bars in backs if bars is not None), default=0)
    running = tuple(dict.fromkeys(f"{name}: {said}" for name, found in each.items() for said in found.running))
    verdict: Verdict = "fault" if faults else "not_checked" if doubts else "proven"
    is_open = any(found.is_open for found in each.values())
    return Rules(Judgement(verdict, back, (*faults, *doubts), running, is_open), each)


def _unproven(reason: str) -> Judgement:
    return Judgement("not_checked", None, (reason,), is_open=True)


# --- the tree --------------------------------------------------------------------------------------------------------


class _Reach(NamedTuple):
    """Which bars a value comes from: `back` before its own (None: all of them), `ahead` after it."""

    back: int | None = 0
    ahead: int = 0
    inherited: tuple[str, ...] = ()  # why a column that it reads looks ahead


@dataclass(slots=True)
class _Walk:
    """One walk over a tree: what cannot be proven, what looks ahead, and how many constants there are."""

    inputs: Mapping[str, Judgement]
    unproven: dict[str, None] = field(default_factory=dict)  # in the order in which they were met
    ahead: dict[str, None] = field(default_factory=dict)
    running: dict[str, None] = field(default_factory=dict)
    literals: int = 0
    is_open: bool = False

    def reach(self, node: Any) -> _Reach:
        """Which bars a node's value comes from, as far as its form says."""
        kind, body = _variant(node)
        match kind:
            case "Column":
                found = self._column(body)
            case "Literal":
                found = self._literal(body)
            case "Alias":
                found = self.reach(body[0])
            case "BinaryExpr" if body["op"] in op.OPERATORS:
                found = self._widest([body["left"], body["right"]])
            case "Ternary":
                found = self._widest([body["predicate"], body["truthy"], body["falsy"]])
            case "Cast" if _variant(body["dtype"].get("Literal"))[0] in op.NUMBERS:
                found = self.reach(body["expr"])
            case "Function":
                found = self._function(body["input"], body["function"])
            case _:
                found = self._opaque(kind, body)
        return found

    def _column(self, name: str) -> _Reach:
        if name == "datetime":
            self.unproven["it reads datetime, so that dates can be known by heart"] = None
        known = self.inputs.get(name)
        if known is None:
            return _Reach()
        if known.verdict == "fault":
            return _Reach(known.look_back, 1, tuple(f"{name} looks ahead" for _ in known.reasons[:1]))
        if known.verdict == "not_checked":
            self.unproven[f"it reads {name}"] = None
        for said in known.running:
            self.running[said] = None
        return _Reach(known.look_back)

    def _literal(self, body: Any) -> _Reach:
        self.literals += 1
        kind, value = _variant(body)
        dtype = _variant(value)[0]
        if kind == "Dyn" and dtype in ("Int", "Float"):
            return _Reach()
        if kind != "Scalar" or dtype not in op.NUMBERS:
            what = "of many values" if kind == "Series" or dtype in ("List", "Array") else f"of type {dtype}"
            self.unproven[f"it holds a literal {what}, which could know dates or bars by heart"] = None
        return _Reach()

    def _widest(self, nodes: Sequence[Any]) -> _Reach:
        """What comes from several values: from the bars of all of them."""
        reaches = [self.reach(node) for node in nodes]
        backs = [each.back for each in reaches]
        back = None if None in backs else max((bars for bars in backs if bars is not None), default=0)
        inherited = tuple(dict.fromkeys(reason for each in reaches for reason in each.inherited))
        return _Reach(back, max((each.ahead for each in reaches), default=0), inherited)

    def _function(self, inputs: list[Any], function: Any) -> _Reach:
        name, options = _variant(function)
        inner, details = _variant(options)
        match name:
            case "Shift" | "ShiftAndFill" | "PctChange" | "Diff" if inner != "Drop":
                found = self._shifted(name, inputs)
            case "RollingExpr":
                found = self._rolling(inputs, options)
            case "FillNullWithStrategy":
                found = self._filled(inputs, inner, details)
            case "FfiPlugin":
                found = self._plugin(inputs, options)
            case "StructExpr" if inner == "FieldByName" and _is_plugin(inputs[0]):
                found = self._widest(inputs)
            case "Interpolate" | "PeakMax" | "PeakMin":
                found = self._later(inputs, f"{method(name)}()", 1)
            case "Reverse":
                found = self._later(inputs, "reverse()", _ALL)
            case _ if name in op.CUMULATIVE and options["reverse"]:
                found = self._later(inputs, f"{method(name)}(reverse=True)", _ALL)
            case _ if name in op.CUMULATIVE | op.EXPONENTIAL:
                found = self._widest(inputs)._replace(back=None)
            case _ if name in op.POINTWISE or (name == "Boolean" and inner in op.POINTWISE_BOOLEAN):
                found = self._widest(inputs)
            case _:
                found = self._opaque(name, options, inputs)
        return found

    def _shifted(self, name: str, inputs: list[Any]) -> _Reach:
        reach = self._widest([inputs[0], *inputs[2:]])
        bars = _whole(inputs[1])
        said = "shift" if name.startswith("Shift") else method(name)
        if bars is None:
            self._widest(inputs[1:2])
            self.unproven[f"{said}() by something else than a whole number"] = None
            return reach
        if bars < 0:
            self.ahead[f"{said}({bars}) looks at later bars"] = None
            return reach._replace(ahead=reach.ahead - bars)
        # A difference still looks at its own bar; only a plain shift takes back what was ahead.
        ahead = max(reach.ahead - bars, 0) if said == "shift" and len(inputs) == 2 else reach.ahead
        return reach._replace(back=_sum(reach.back, bars), ahead=ahead)

    def _rolling(self, inputs: list[Any], options: Any) -> _Reach:
        reach = self._widest(inputs)
        name = _variant(options["function"])[0]
        given = options["options"]
        said = f"rolling_{method(name)}"
        weights = given["weights"]
        if name not in op.ROLLING | op.RUNNING or (weights is not None and len(weights) > MOST_LITERALS):
            self.unproven[f"{said}() is not on the list of what is proven"] = None
            return reach
        if name in op.RUNNING:
            self.running[said] = None
        bars = int(given["window_size"]) - 1
        if given["center"]:
            self.ahead[f"{said}({bars + 1}, center=True) looks at later bars"] = None
            return reach._replace(back=_sum(reach.back, bars), ahead=reach.ahead + max(bars // 2, 1))
        return reach._replace(back=_sum(reach.back, bars))

    def _filled(self, inputs: list[Any], strategy: str, limit: Any) -> _Reach:
        reach = self._widest(inputs)
        match strategy:
            case "Zero" | "One":
                return reach
            case "Forward":
                return reach._replace(back=None if limit is None else _sum(reach.back, int(limit)))
            case "Backward":
                self.ahead["backward_fill() looks at later bars"] = None
                return reach._replace(ahead=reach.ahead + (_ALL if limit is None else int(limit)))
        self.unproven[f"fill_null({method(strategy)}) is a figure of the whole column"] = None
        return reach

    def _plugin(self, inputs: list[Any], options: Any) -> _Reach:
        reach = self._widest(inputs)
        symbol = str(options["symbol"])
        if not op.is_ta_lib(str(options["lib"])):
            self.unproven[f"the plug-in function {symbol} is none of TA-Lib's"] = None
            self.is_open = True
        elif symbol not in op.TA_LIB:
            self.unproven[f"the plug-in function {symbol} is not on the list of those that are trusted"] = None
        return reach._replace(back=None)  # even its simple average is a running sum from the first bar on

    def _later(self, inputs: list[Any], said: str, bars: int) -> _Reach:
        reach = self._widest(inputs)
        self.ahead[f"{said} looks at later bars"] = None
        return reach._replace(ahead=reach.ahead + bars)

    def _opaque(self, name: str, options: Any, inputs: Sequence[Any] | None = None) -> _Reach:
        """What is not on the list; what it is given is judged all the same, but for what goes into Python."""
        inner = _variant(options)[0]
        if name in op.PYTHON:
            self.unproven["it calls a Python function"] = None
            self.is_open = True
            return _Reach(None)
        self.unproven[op.described(name, inner)] = None
        nodes = inputs if inputs is not None else list(_nodes(options))
        return self._widest(nodes)._replace(back=None)


_ALL = 1 << 62  # bars: as far as there are any


def _variant(node: Any) -> tuple[str, Any]:
    """Name and content of what is serialized as `"Name"` or as `{"Name": content}`; an empty name for all else."""
    if isinstance(node, str):
        return node, None
    if isinstance(node, dict) and len(node) == 1:
        return next(iter(node.items()))
    return "", None


def _nodes(content: Any) -> Iterator[Any]:
    """The expressions within the content of a node whose form is not known."""
    if isinstance(content, list):
        for each in content:
            yield from _nodes(each)
    elif isinstance(content, dict):
        if _variant(content)[0] in op.EXPRESSIONS:
            yield content
        else:
            yield from _nodes(list(content.values()))


def _whole(node: Any) -> int | None:
    """The number of bars that a literal stands for, None for anything else."""
    kind, body = _variant(node)
    if kind != "Literal":
        return None
    dtype, value = _variant(_variant(body)[1])
    is_whole = dtype == "Int" or dtype.startswith(("Int", "UInt"))
    return value if is_whole and isinstance(value, int) else None


def _sum(one: int | None, other: int) -> int | None:
    return None if one is None else one + other


def _is_plugin(node: Any) -> bool:
    kind, body = _variant(node)
    return kind == "Function" and _variant(body["function"])[0] == "FfiPlugin"
