"""The result of a check of an audit: one of four verdicts, and what was examined."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

#: `proven`: by construction, nothing else is possible; `tested`: tried so and so often, nothing found; `fault`: found;
#: `not_checked`: not looked at, and why.
Verdict = Literal["fault", "not_checked", "tested", "proven"]

#: From the worst to the best.
ORDER: tuple[Verdict, ...] = ("fault", "not_checked", "tested", "proven")


class Check(NamedTuple):
    """One check: its verdict, and what was examined or why nothing was."""

    verdict: Verdict
    detail: str

    def as_json(self) -> dict[str, Any]:
        """The JSON object of the check."""
        return self._asdict()


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The first of them in the order fault, not checked, tested, proven."""
    return min(verdicts, key=ORDER.index)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of an expression by its form.

    Attributes:
        verdict: `proven`; `fault`; or `not_checked` if the form proves nothing and only tests can tell.
        look_back: number of earlier bars that it reads; None if unbounded or unknown.
        reasons: why it is not proven, one short clause each; empty if it is.
        running: operations with a running sum, whose last digits depend on the first bar.
        is_open: whether it calls Python or a plug-in, so that its form does not show all it does.
        constants: how many literals it contains.
    """

    verdict: Verdict
    look_back: int | None
    reasons: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    is_open: bool = False
    constants: int = 0
