"""Every combination measured over spans of the bars: here, or in shares wherever tasks run."""

from collections.abc import Sequence
from dataclasses import dataclass

from hermes.lake.store import Lake
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.stages.backtest.account import SignalEvents
from hermes.stages.backtest.trials import Span, Trial, trials
from hermes.steps.search.candidates import Candidates, candidates
from hermes.workers.pool import Place, completed

SHARE = 50  # combinations of one share: each share reads the table anew where tasks run elsewhere
HERE = 200  # of one share that is measured here: the more there are together, the more they have in common


@dataclass(frozen=True, slots=True)
class Share:
    """Some of the combinations that these settings, this sample and seed name, and the spans to measure them over."""

    settings: Settings
    sample: int | None
    seed: int
    spans: tuple[Span, ...]
    begin: int
    end: int


def measured(
    found: Candidates, spans: Sequence[Span], where: Place | None = None, progress: Progress = SILENT
) -> list[list[Trial]]:
    """The trials of every combination over each span: one list for each span, in the order of the combinations.

    Args:
        where: without a place the work is done here, on the bars that are there already.

    Raises:
        HermesError: whatever a share raised.
    """
    whole, size = len(found.strategies), SHARE if where else HERE
    shares = [
        Share(found.settings, found.sample, found.seed, tuple(spans), begin, min(begin + size, whole))
        for begin in range(0, whole, size)
    ]
    done: dict[int, list[list[Trial]]] = {}
    with progress.task(f"measure {found.settings.dataset}", whole, "combinations") as advance:
        if where is None:
            wanted = found.signals(range(whole))
            for share in shares:
                done[share.begin] = _measure(found, wanted[share.begin : share.end], share)
                advance(share.end - share.begin, "")
        else:
            for share, result in completed(where, _measure_anew, shares):
                if isinstance(result, Exception):
                    raise result
                done[share.begin] = result
                advance(share.end - share.begin, f"on {where.name}")
    return [[trial for share in shares for trial in done[share.begin][number]] for number in range(len(spans))]


def _measure_anew(share: Share) -> list[list[Trial]]:
    """What a worker does: it reads the table itself, and judges its own share of the combinations."""
    found = candidates(share.settings, Lake.open(share.settings), share.sample, share.seed)
    return _measure(found, found.signals(range(share.begin, share.end)), share)


def _measure(found: Candidates, wanted: Sequence[SignalEvents], share: Share) -> list[list[Trial]]:
    accounts = found.accounts[share.begin : share.end]
    return trials(found.bars, wanted, share.spans, found.settings.dataset.interval, accounts)
