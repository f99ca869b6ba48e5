"""Monitoring of `hermes run`: a metrics file, and notices of signals and failures."""
