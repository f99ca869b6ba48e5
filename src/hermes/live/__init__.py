"""Live signals: read closed bars, decide on them, publish the decisions. Only `live.loop` waits; see `docs/live.md`."""
