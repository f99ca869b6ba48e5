"""What each check of an audit ends with: one of four words, and what was looked at."""

from collections.abc import Sequence
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
