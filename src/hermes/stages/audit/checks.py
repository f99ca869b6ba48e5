"""The result of each check of an audit: one of four words, and what was looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

#: `proven`: by construction, nothing else is possible; `tested`: tried so and so often, nothing found; `fault`: found;
#: `not_checked`: not looked at, and why.
Verdict = Literal["fault", "not_checked", "tested", "proven"]

#: From the worst to the best.
ORDER: tuple[Verdict, ...] = ("fault", "not_checked", "tested", "proven")


class Check(NamedTuple):
    """One check: how it ended, and what was looked at or why it was not."""

    verdict: Verdict
    detail: str

    def as_json(self) -> dict[str, Any]:
        """The contract's object."""
        return self._asdict()


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The first of them in the order fault, not checked, tested, proven."""
    return min(verdicts, key=ORDER.index)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the form of an expression proves.

    Attributes:
        verdict: `proven`; `fault`; or `not_checked` where the form proves nothing and only tests can tell.
        look_back: bars before the current one that it looks at; None where that has no bound, or is not known.
        reasons: why it is not proven, one short clause each; empty where it is.
        running: operations that keep a running sum: the last digits of their values depend on where the bars begin.
        is_open: whether what it does is not all in its form, because it calls Python or a plug-in.
        constants: how many numbers stand in it.
    """

    verdict: Verdict
    look_back: int | None
    reasons: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    is_open: bool = False
    constants: int = 0
