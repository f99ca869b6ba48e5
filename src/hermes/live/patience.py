"""What a start waits for: a dataset that another process works on, and an answer that the other datasets have."""

import logging
from collections.abc import Callable
from typing import TypeVar

from hermes.dataset import Dataset
from hermes.errors import Banned, DatasetLocked, ExchangeError, NotServed, SymbolUnknown
from hermes.live.exchange import Exchange
from hermes.logs import event

Made = TypeVar("Made")

PATIENCE_S = 120.0  # as long as a run over many datasets waits
PAUSE_S = 2.0


def patiently(work: Callable[[], Made], dataset: Dataset, exchange: Exchange, *, alone: bool) -> Made:
    """Do `work`, again and again while what stops it can pass by itself, for at most `PATIENCE_S`.

    Args:
        alone: whether this is the only dataset. Otherwise one that failed would be left out for as long as the process
            lives, so a lost network is waited for; alone it is an error at once.

    Raises:
        HermesError: what work raised last.
    """
    give_up, told = exchange.clock.elapsed() + PATIENCE_S, False
    while True:
        try:
            return work()
        except (DatasetLocked, ExchangeError) as error:
            if not _passes(error, alone=alone) or exchange.clock.elapsed() >= give_up:
                raise
            if not told:
                message = f"{dataset}: {error.message}; trying again for up to {PATIENCE_S:.0f} s"
                event("catch-up", level=logging.WARNING, message=message, dataset=str(dataset))
            told = True
        exchange.pause(PAUSE_S)


def _passes(error: DatasetLocked | ExchangeError, *, alone: bool) -> bool:
    if isinstance(error, DatasetLocked):
        return True
    return not (alone or error.is_final or isinstance(error, SymbolUnknown | NotServed | Banned))
