"""The tree of a serialized expression: which bars each value is computed from, as far as its form shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

from hermes.stages.audit import operations as op
from hermes.stages.audit.checks import Judgement
from hermes.stages.audit.nodes import (
    expressions_in,
    is_bars,
    is_distance,
    is_narrow,
    is_plugin,
    numbers,
    variant,
    whole,
    window,
)
from hermes.stages.audit.operations import method

MOST_EQUAL = 1_000  # a larger number in an equality could be a price or a volume
MOST_LITERALS = 100  # so many constants in one rule could be a list of dates by another name


class Reach(NamedTuple):
    """The bars that a value is computed from: `back` before its own (None: all), `ahead` after it."""

    back: int | None = 0
    ahead: int = 0
    inherited: tuple[str, ...] = ()  # why a column that it reads looks ahead


@dataclass(slots=True)
class Tree:
    """The findings in one tree: what cannot be proven, what looks ahead, and the number of constants."""

    inputs: Mapping[str, Judgement]
    unproven: dict[str, None] = field(default_factory=dict)  # in the order in which they were met
    ahead: dict[str, None] = field(default_factory=dict)
    running: dict[str, None] = field(default_factory=dict)
    literals: int = 0
    names_bars: bool = False
    is_open: bool = False

    def reach(self, node: Any) -> Reach:
        """The bars that a node's value is computed from, as far as its form shows."""
        kind, body = variant(node)
        match kind:
            case "Column":
                found = self._column(body)
            case "Literal":
                found = self._literal(body)
            case "Alias":
                found = self.reach(body[0])
            case "BinaryExpr" if body["op"] in op.OPERATORS:
                found = self._widest([body["left"], body["right"]])
                left, right = body["left"], body["right"]
                if body["op"] in op.EQUALITIES:
                    self._named(left, right)
                self._named(*(side for side, other in ((left, right), (right, left)) if is_distance(side, other)))
            case "Ternary":
                found = self._widest([body["predicate"], body["truthy"], body["falsy"]])
            case "Cast" if variant(body["dtype"].get("Literal"))[0] in op.NUMBERS:
                found = self.reach(body["expr"])
            case "Function":
                found = self._function(body["input"], body["function"])
            case _:
                found = self._opaque(kind, body)
        return found

    def _column(self, name: str) -> Reach:
        if name == "datetime":
            self.unproven["it reads datetime, so that dates can be known by heart"] = None
        known = self.inputs.get(name)
        if known is None:
            return Reach()
        if known.verdict == "fault":
            return Reach(known.look_back, 1, tuple(f"{name} looks ahead" for _ in known.reasons[:1]))
        if known.verdict == "not_checked":
            self.unproven[f"it reads {name}"] = None
        for said in known.running:
            self.running[said] = None
        return Reach(known.look_back)

    def _literal(self, body: Any) -> Reach:
        self.literals += 1
        kind, value = variant(body)
        dtype = variant(value)[0]
        if kind == "Dyn" and dtype in ("Int", "Float"):
            return Reach()
        if kind != "Scalar" or dtype not in op.NUMBERS:
            what = "of many values" if kind == "Series" or dtype in ("List", "Array") else f"of type {dtype}"
            self.unproven[f"it holds a literal {what}, which could know dates or bars by heart"] = None
        return Reach()

    def _named(self, *sides: Any) -> None:
        """Note an equality with a price, or all but one, which identifies the bars with that price."""
        for value in (value for side in sides for value in numbers(side)):
            if not self.names_bars and (not isfinite(value) or value != int(value) or abs(value) > MOST_EQUAL):
                self.names_bars = True  # said once
                self.unproven[f"it looks for a value equal to {value:,}, which could name single bars by heart"] = None

    def _widest(self, nodes: Sequence[Any]) -> Reach:
        """The union of the bars of several values."""
        reaches = [self.reach(node) for node in nodes]
        backs = [each.back for each in reaches]
        back = None if None in backs else max((bars for bars in backs if bars is not None), default=0)
        inherited = tuple(dict.fromkeys(reason for each in reaches for reason in each.inherited))
        return Reach(back, max((each.ahead for each in reaches), default=0), inherited)

    def _function(self, inputs: list[Any], function: Any) -> Reach:
        name, options = variant(function)
        inner, details = variant(options)
        match name:
            case _ if name in op.BY_BARS and inner != "Drop":
                found = self._shifted(name, inputs)
            case "RollingExpr":
                found = self._rolling(inputs, options)
            case "FillNullWithStrategy":
                found = self._filled(inputs, inner, details)
            case "FfiPlugin":
                found = self._plugin(inputs, options)
            case "StructExpr" if inner == "FieldByName" and is_plugin(inputs[0]):
                found = self._widest(inputs)
            case "PeakMax" | "PeakMin":
                found = self._later(inputs, f"{method(name)}()", 1)  # both neighbours
                found = found._replace(back=_sum(found.back, 1))
            case "Interpolate" | "Reverse":  # a hole is filled from the next value, however far ahead that is
                found = self._later(inputs, f"{method(name)}()", _ALL)
            case _ if name in op.CUMULATIVE and options["reverse"]:
                found = self._later(inputs, f"{method(name)}(reverse=True)", _ALL)
            case _ if name in op.CUMULATIVE | op.EXPONENTIAL:
                found = self._widest(inputs)._replace(back=None)
            case _ if name in op.POINTWISE or (name == "Boolean" and inner in op.POINTWISE_BOOLEAN):
                found = self._widest(inputs)
                if inner == "IsClose" or (inner == "IsBetween" and is_narrow(*inputs[1:])):
                    self._named(*inputs)
            case _:
                found = self._opaque(name, options, inputs)
        return found

    def _shifted(self, name: str, inputs: list[Any]) -> Reach:
        reach = self._widest([inputs[0], *inputs[2:]])
        bars = whole(inputs[1])
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

    def _rolling(self, inputs: list[Any], options: Any) -> Reach:
        reach = self._widest(inputs)
        name = variant(options["function"])[0]
        given = options["options"]
        said = f"rolling_{method(name)}"
        if name not in op.ROLLING | op.RUNNING or len(given["weights"] or ()) > MOST_LITERALS:
            self.unproven[f"{said}() is not on the list of what is proven"] = None
            return reach
        if name in op.RUNNING:
            self.running[said] = None
        bars = max(int(given["window_size"]) - 1, 0)
        if given["center"]:
            self.ahead[f"{said}({bars + 1}, center=True) looks at later bars"] = None
            return reach._replace(back=_sum(reach.back, bars), ahead=reach.ahead + max(bars // 2, 1))
        return reach._replace(back=_sum(reach.back, bars))

    def _filled(self, inputs: list[Any], strategy: str, limit: Any) -> Reach:
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

    def _plugin(self, inputs: list[Any], options: Any) -> Reach:
        reach = self._widest(inputs)
        symbol = str(options["symbol"])
        if not op.is_ta_lib(str(options["lib"])):
            self.unproven[f"the plug-in function {symbol} is none of TA-Lib's"] = None
            self.is_open = True
        elif symbol not in op.TA_LIB:
            self.unproven[f"the plug-in function {symbol} is not on the list of those that are trusted"] = None
        has_window = symbol in op.TA_LIB_WINDOWS and all(is_bars(each) for each in inputs)
        return reach._replace(back=window(options) if has_window else None)

    def _later(self, inputs: list[Any], said: str, bars: int) -> Reach:
        reach = self._widest(inputs)
        self.ahead[f"{said} looks at later bars"] = None
        return reach._replace(ahead=reach.ahead + bars)

    def _opaque(self, name: str, options: Any, inputs: Sequence[Any] | None = None) -> Reach:
        """An operation that is not listed; its inputs are judged nevertheless, except those of Python functions."""
        inner = variant(options)[0]
        if name in op.PYTHON:
            self.unproven["it calls a Python function"] = None
            self.is_open = True
            return Reach(None)
        self.unproven[op.described(name, inner)] = None
        nodes = inputs if inputs is not None else list(expressions_in(options))
        return self._widest(nodes)._replace(back=None)


_ALL = 1 << 62  # bars: as far as there are any


def _sum(one: int | None, other: int) -> int | None:
    return None if one is None else one + other
