"""Benchmark: how fast this machine restores, beside the plain way and beside what its hardware could do at best."""
