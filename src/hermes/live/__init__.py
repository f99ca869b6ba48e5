"""Closed bars as they come: read, decided on, published. Only `live.loop` waits; see `docs/live.md`."""
