"""Restoring clips: the job handler, its segments and the pipeline behind them."""
