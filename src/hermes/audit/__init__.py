"""Proofs on the user's own data. `hermes.audit(settings)` is `hermes.api.audit`."""

from hermes._callable import make_callable

make_callable(__name__)
