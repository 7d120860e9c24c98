"""A lock for each job."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class _Lock:
    lock: threading.Lock = field(default_factory=threading.Lock)
    wanted: int = 0


class JobLocks:
    """Locks by their job's id; they are there only while somebody holds them or waits for them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, _Lock] = {}

    @contextmanager
    def hold(self, job_id: str) -> Iterator[None]:
        """Let nobody else hold the job's lock as long as the block lasts."""
        with self._guard:
            entry = self._locks.setdefault(job_id, _Lock())
            entry.wanted += 1
        try:
            with entry.lock:
                yield
        finally:
            with self._guard:
                entry.wanted -= 1
                if not entry.wanted:
                    del self._locks[job_id]
