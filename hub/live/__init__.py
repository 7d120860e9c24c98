"""Frames of live pictures: the newest of each client is restored before everything else."""
