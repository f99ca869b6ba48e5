"""One execution → its page. `hermes.report(settings)` is `hermes.api.report`."""

from hermes._callable import make_callable

make_callable(__name__)
