"""Frames and plain results → HTML pages."""
