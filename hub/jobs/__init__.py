"""Durable jobs: admitted, queued, run, cancelled, and carried over a crash."""
