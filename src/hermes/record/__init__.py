"""The record of live decisions: append-only, and hash-chained so that changes are detected."""
