"""One of the series that share an account, on the common times of all."""

from dataclasses import dataclass

import numpy as np

from hermes.stages.backtest.account_state import OpenPosition
from hermes.stages.backtest.arrays import Floats
from hermes.stages.backtest.bars import Bars
from hermes.stages.backtest.exits import End
from hermes.stages.backtest.funding import Charges
from hermes.stages.backtest.grid import Line


@dataclass(slots=True)
class Leg:
    """One series on the common times.

    Attributes:
        first: bars that came before these; held: the position then.
        resume: the first row at which an entry may fill.
        line: its closes at the common times; bars: None where it has none at them.
        end: of what is held; charges: its funding.
        past: the closes before that tell the volatility, None where it is not needed.
        decided: the account's equity at the close of the last bar before these.
    """

    number: int
    first: int
    held: OpenPosition | None
    resume: int
    line: Line
    bars: Bars | None = None
    end: End | None = None
    charges: Charges | None = None
    past: Floats | None = None
    decided: float = 0.0

    def instant(self, row: int) -> int:
        """Of a row, among the common times."""
        return row if self.line.instants is None else self.line.instants.item(row)

    def row_at(self, instant: int) -> int:
        """The row of the last bar at an instant; -1 where it is one before these."""
        instants = self.line.instants
        return instant if instants is None else int(np.searchsorted(instants, instant, side="right")) - 1
