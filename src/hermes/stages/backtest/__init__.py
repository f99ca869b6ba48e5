"""Signals → what they earned."""
