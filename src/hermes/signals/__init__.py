"""Features and a strategy → signals, chunk by chunk. `hermes.signals(settings)` is `hermes.api.signals`."""

from hermes._callable import make_callable

make_callable(__name__)
