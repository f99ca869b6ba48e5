"""Finds strategies: shipped ones, entry points of installed packages, or files."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from inspect import getsource, isabstract
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hermes.dataset import check_strategy_name, strategy_file
from hermes.errors import HermesError, StrategyError, StrategyUnknown
from hermes.plugins import Kind, in_one_line
from hermes.settings import descriptions
from hermes.strategies.base import Parameters, Strategy, asked_once
from hermes.strategies.bollinger_reversion import BollingerReversion
from hermes.strategies.contract import check_strategy
from hermes.strategies.donchian_breakout import DonchianBreakout
from hermes.strategies.ma_cross import MovingAverageCross
from hermes.strategies.macd_trend import MacdTrend
from hermes.strategies.smart_momentum import SmartMomentum
from hermes.strategies.syntax import outside
from hermes.text import one_of
from hermes.version import __version__

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_HERMES = f"hermes {__version__}"
_SHIPPED: tuple[type[Strategy], ...] = (
    SmartMomentum,
    MovingAverageCross,
    MacdTrend,
    DonchianBreakout,
    BollingerReversion,
)
STRATEGIES: dict[str, type[Strategy]] = {strategy.name: strategy for strategy in _SHIPPED}
KIND = Kind("strategy", StrategyError, "hermes.strategies", STRATEGIES)


@dataclass(frozen=True, slots=True)
class Found:
    """A strategy and its source.

    Attributes:
        source: Hermes or an installed package with its version, or a file with the first digits of its SHA-256.
        reached: see `outside`; for a file, determined before it ran.
    """

    kind: type[Strategy]
    source: str
    reached: tuple[str, ...] | None = None

    @property
    def outside(self) -> tuple[str, ...]:
        """What its source uses other than Polars expressions and plain arithmetic, see `strategies.syntax`."""
        return _outside(self.kind) if self.reached is None else self.reached

    def make(self, values: Mapping[str, Any]) -> Strategy:
        """The strategy with these parameters and cached rules.

        Raises:
            StrategyError: a parameter is unknown or invalid.
        """
        try:
            return asked_once(self.kind(**values))
        except HermesError:
            raise
        except Exception as error:
            raise StrategyError(
                f"{self.kind.name} cannot be made: {in_one_line(error)}", "correct its __init__"
            ) from error


def make_strategy(spec: str, values: Mapping[str, Any]) -> Strategy:
    """The strategy that `spec` names, with these parameters.

    Raises:
        StrategyError: see `find_strategy` and `Found.make`.
    """
    return find_strategy(spec).make(values)


def strategy_name(spec: str) -> str:
    """The name of the strategy in tables and settings; a file is loaded for it. Raises as `find_strategy`."""
    return find_strategy(spec).kind.name if strategy_file(spec) else spec


def find_strategy(spec: str) -> Found:
    """The strategy that `spec` names.

    Args:
        spec: the name of a shipped or installed strategy, or a file: `./mine.py:Breakout`, or `./mine.py`
            where it holds just one.

    Raises:
        StrategyError: it does not exist, cannot be loaded, is not a strategy, or its name is taken.
    """
    if named := strategy_file(spec):
        return _from_file(*named)
    if spec in STRATEGIES:
        return Found(STRATEGIES[spec], _HERMES)
    points = KIND.installed()
    if spec in points:
        return _from_point(points[spec])
    names = [*STRATEGIES, *points]
    near = get_close_matches(spec, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose {one_of([*names, 'a file like ./mine.py'])}"
    raise StrategyUnknown(f"strategy {spec!r} is not known", hint)


def listed(specs: list[str]) -> list[dict[str, Any]]:
    """Each strategy by name; without any, all that are shipped and installed.

    Returns:
        `name, source, does, parameters` (JSON Schema of each), and with default parameters `columns, look_back,
        conditions`. An installed one that cannot be loaded has an `error` instead.

    Raises:
        StrategyError: one that was asked for cannot be loaded, or does not keep its contract.
    """
    if specs:
        return [_described(spec) for spec in specs]
    found = []
    for name in (*STRATEGIES, *KIND.installed()):
        try:
            found.append(_described(name))
        except HermesError as error:
            found.append({"name": name, "source": "", "error": str(error)})
    return found


def _described(spec: str) -> dict[str, Any]:
    found = find_strategy(spec)
    kind = found.kind
    schema = kind.parameters_type.model_json_schema().get("properties", {})
    for name, text in descriptions(kind.parameters_type).items():
        if text and name in schema:
            schema[name]["description"] = text
    described: dict[str, Any] = {
        "name": kind.name,
        "source": found.source,
        "does": (kind.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " "),
        "parameters": {name: {k: v for k, v in rules.items() if k != "title"} for name, rules in schema.items()},
    }
    if any(field.is_required() for field in kind.parameters_type.model_fields.values()):
        return described  # nothing more can be said without values
    strategy = found.make({})
    check_strategy(strategy)
    return described | {
        "columns": list(strategy.columns),
        "look_back": strategy.look_back,
        "conditions": list(strategy.conditions()),
    }


def _from_point(point: "EntryPoint") -> Found:
    kind, origin, package = KIND.load(point)
    kind = _checked(kind, origin)
    if kind.name != point.name:
        raise StrategyError(f"{origin} calls itself {kind.name!r}", "its entry point must have the same name")
    return Found(kind, package)


@cache
def _outside(kind: type[Strategy]) -> tuple[str, ...]:
    """What the modules of a strategy and of its base classes use."""
    said: list[str] = []
    for name in dict.fromkeys(each.__module__ for each in kind.__mro__ if issubclass(each, Strategy)):
        if name == Strategy.__module__:
            continue
        try:
            said += outside(getsource(sys.modules[name]))
        except (OSError, TypeError, KeyError):
            said.append(f"the source of {name} cannot be read")
    return tuple(said)


# --- files -----------------------------------------------------------------------------------------------------------


def _from_file(path: Path, name: str | None) -> Found:
    content = KIND.read_file(path)
    reached = _reached(content)  # before it runs: what runs could change what is said of it
    module, digest = KIND.run_file(path, content)
    own = {key: value for key, value in vars(module).items() if _defined_here(value, module)}
    choice = f"write {path}:{' or :'.join(own)}" if own else "define a class of hermes.strategies.base.Strategy in it"
    if name is None:
        if len(own) != 1:
            raise StrategyError(f"{path} defines {len(own) or 'no'} strategies, not one", choice)
        name = next(iter(own))
    if not hasattr(module, name):
        raise StrategyError(f"{path} has no class {name!r}", choice)
    kind = _checked(getattr(module, name), f"{path}:{name}")
    if kind.name in STRATEGIES or kind.name in KIND.installed():
        raise StrategyError(f"{path}:{name} takes the name of another strategy, {kind.name!r}", "give it its own name")
    return Found(kind, f"{path} (sha256 {digest[:16]})", reached)


@cache
def _reached(content: bytes) -> tuple[str, ...]:
    """What a file uses other than expressions, determined before the file first ran in this process."""
    return outside(content)


def _defined_here(value: object, module: ModuleType) -> bool:
    return isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module.__name__


def _checked(kind: Any, origin: str) -> type[Strategy]:
    """`kind`, if it is a complete strategy with a valid name."""
    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise StrategyError(f"{origin} is not a strategy", "make it a class of hermes.strategies.base.Strategy")
    if isabstract(kind):
        lacking = ", ".join(sorted(kind.__abstractmethods__))
        raise StrategyError(f"{origin} does not define {lacking}", "define what is missing")
    name = getattr(kind, "name", None)
    if not isinstance(name, str):
        raise StrategyError(f"{origin} has no name", 'give the class one, like name = "my_breakout"')
    try:
        check_strategy_name(name)
    except HermesError as error:
        raise StrategyError(f"{origin}: {error.message}", error.cure) from None
    model = kind.parameters_type
    if not (isinstance(model, type) and issubclass(model, Parameters)):
        raise StrategyError(
            f"{origin}: parameters_type is not a class of parameters",
            "derive it from hermes.strategies.base.Parameters",
        )
    return kind
