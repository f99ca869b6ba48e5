"""Features and a strategy → signals, chunk by chunk."""
