"""The stages of a job: a part of its progress bar each, and the one that fetches missing weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.catalog import unavailable

if TYPE_CHECKING:
    from hub.catalog import ModelEntry
    from hub.fetch import Fetcher
    from hub.jobs.handler import JobContext


class Stage:
    """A part of a job's progress bar, from `begin` to `end` (0..1)."""

    def __init__(self, context: JobContext, begin: float, end: float) -> None:
        self._context = context
        self._begin = begin
        self._end = end

    def report(self, fraction: float, message: str = "") -> None:
        """Tell that `fraction` of this stage is done."""
        self._context.report(self._begin + fraction * (self._end - self._begin), message)


def fetch_weights(fetcher: Fetcher, entry: ModelEntry, context: JobContext, stage: Stage, *, allowed: bool) -> None:
    """Download a model's weights. Raises Conflict unless `allowed`, and what the fetcher raises."""
    if not allowed:  # They were here when the job was accepted.
        raise unavailable(entry)

    def told(received: int, total: int | None) -> None:
        if total:
            stage.report(received / total, f"Downloading {entry.text}: {received / 1e6:.0f} of {total / 1e6:.0f} MB")
        else:
            stage.report(0.0, f"Downloading {entry.text}: {received / 1e6:.0f} MB")

    stage.report(0.0, f"Downloading {entry.text}")
    fetcher.fetch(entry.name, progress=told, cancelled=context.cancelled)
