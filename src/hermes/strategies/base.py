"""The base class of strategies: typed parameters, the columns, the look-back, and rules as expressions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, ClassVar

import polars as pl
from pydantic import BaseModel, ConfigDict
from pydantic import ValidationError as PydanticError

from hermes.errors import ParametersRefused
from hermes.settings.refusals import expected, instead, short


class Parameters(BaseModel):
    """Base class of parameters: unknown names are refused, instances are immutable.

    A text below a parameter, or `Field(description=…)`, is shown by `hermes strategies`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Strategy(ABC):
    """Rules that turn the bars and indicators known at a bar's close into a buy or a sell on that bar.

    Expressions may look at their own bar and at `look_back` bars before it (`shift(1)` needs a look-back of 1),
    never ahead. A null anywhere in a condition means "not true": unknown indicators never make a signal.
    """

    #: Names the signals table: lower-case words joined by `_`.
    name: ClassVar[str]
    parameters_type: ClassVar[type[Parameters]] = Parameters
    parameters: Any

    def __init__(self, **values: Any) -> None:
        try:
            self.parameters = self.parameters_type(**values)
        except PydanticError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "parameters"
            known = list(self.parameters_type.model_fields)
            if first["type"] == "extra_forbidden":
                near = get_close_matches(where, known, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise ParametersRefused(
                    f"{self.name}: {where} is not a parameter", f"{hint}its parameters are: {', '.join(known)}"
                ) from None
            field = self.parameters_type.model_fields.get(where)
            raise ParametersRefused(
                f"{self.name}: {where} = {short(first['input'])}: {expected(error, field)}",
                instead(field) if field else f"its parameters are: {', '.join(known)}",
            ) from None

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Indicator columns that the rules read, beside the bars themselves."""

    @property
    @abstractmethod
    def look_back(self) -> int:
        """Bars before the current one that the rules look at."""

    @abstractmethod
    def conditions(self) -> Mapping[str, pl.Expr]:
        """Named Boolean expressions over bars and indicators; they become the signal table's debug columns."""

    @abstractmethod
    def buy(self) -> pl.Expr:
        """When to buy, as an expression over the conditions."""

    @abstractmethod
    def sell(self) -> pl.Expr:
        """When to sell, as an expression over the conditions."""

    def short(self) -> pl.Expr | None:
        """When to sell short, as an expression over the conditions; without it an account that goes short does so
        where `sell` says, and covers where `buy` says. A strategy has both `short` and `cover`, or neither.
        """
        return None

    def ranks(self) -> Mapping[str, pl.Expr]:
        """Named expressions over bars and columns; a portfolio ranks entries that coincide by one, highest first."""
        return {}

    def cover(self) -> pl.Expr | None:
        """When to buy back what was sold short, as an expression over the conditions."""
        return None


def asked_once(strategy: Strategy) -> Strategy:
    """The same strategy with cached rules.

    So the rules that are audited are the rules that run, even if its methods return others on a second call.
    """
    for part in ("conditions", "buy", "sell", "short", "cover", "ranks"):
        if ask := getattr(strategy, part, None):
            object.__setattr__(strategy, part, cache(_copied(ask)))
    return strategy


def _copied(ask: Callable[[], Any]) -> Callable[[], Any]:
    """The result of a method; of a dict, which the strategy may change later, a copy."""

    def answer() -> Any:
        made = ask()
        return dict(made) if isinstance(made, Mapping) else made

    return answer
