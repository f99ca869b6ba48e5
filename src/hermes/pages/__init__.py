"""HTML pages from frames and plain results."""
