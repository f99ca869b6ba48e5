"""Signals → what they earned. `hermes.backtest(settings)` is `hermes.api.backtest`."""

from hermes._callable import make_callable

make_callable(__name__)
