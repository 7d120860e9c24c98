"""What people send becomes a job: options checked, a model chosen, the same request recognised when it comes again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from hub.catalog import Catalog, ModelEntry, unavailable
from hub.fetch import Fetcher
from hub.jobs.manager import Idempotency, JobManager
from hub.jobs.model import Job, Kind
from hub.restoration import PhotoOptions
from hub.video.options import VideoOptions


class Submissions:
    """Takes photos and clips in; any thread may call.

    auto_fetch: whether weights may be downloaded when a job needs them.
    """

    def __init__(self, catalog: Catalog, fetcher: Fetcher, manager: JobManager, *, auto_fetch: bool) -> None:
        self._catalog = catalog
        self._fetcher = fetcher
        self._manager = manager
        self._auto_fetch = auto_fetch

    def take(
        self,
        kind: Kind,
        stream: BinaryIO,
        filename: str,
        options: PhotoOptions | VideoOptions,
        check: Callable[[Path], object],
        *,
        owner: str,
        key: str | None,
    ) -> Job:
        """Queue a file; see `Hub.submit_photo`. check: looks at the file and raises what is wrong with it."""
        options.check()
        # By what was asked for: what is answered to the same request must not depend on the models of the day.
        idempotency = None if key is None else Idempotency(key, options.to_spec())
        first = self._manager.repeated(kind, owner, idempotency, stream)
        if first is not None:
            return first
        entry = self._catalog.resolve(options.task_type, options.model_name)
        if not (entry.installed or self.can_fetch(entry)):
            raise unavailable(entry)
        spec = replace(options, model_name=entry.name).to_spec()
        return self._manager.submit(
            kind, entry.task, spec, filename, stream, check=check, owner=owner, idempotency=idempotency
        )

    def can_fetch(self, entry: ModelEntry) -> bool:
        """Whether a model's weights would be downloaded when a job needs them; may take 3 seconds."""
        return entry.source is not None and self._auto_fetch and self._fetcher.reachable(entry.name)
