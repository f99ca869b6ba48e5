"""Measurements against peers, each in the same run, on the same data, on this machine: `python -m bench`."""
