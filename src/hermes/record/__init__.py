"""The record: what was decided, when, on which bars; append-only, and chained so that a change shows."""
