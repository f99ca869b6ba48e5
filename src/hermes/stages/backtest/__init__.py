"""The backtest: signals → trades, equity and measures."""
