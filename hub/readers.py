"""Who reads which files just now, and what is deleted once nobody does."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


class Readers:
    """Readers and deletions of things known by keys; one thing may have several. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reading: Counter[str] = Counter()
        self._retired: Counter[str] = Counter()
        self._waiting: list[tuple[Collection[str], Callable[[], None]]] = []

    @contextmanager
    def hold(self, key: str) -> Iterator[bool]:
        """Keep what `key` stands for from being deleted as long as the block lasts; yields False if it is retired."""
        with self._lock:
            held = key not in self._retired
            if held:
                self._reading[key] += 1
        try:
            yield held
        finally:
            if held:
                self._leave(key)

    def any(self, keys: Collection[str]) -> bool:
        """Whether anyone reads what has these keys."""
        with self._lock:
            return self._held(keys)

    def keys(self) -> set[str]:
        """The keys of all that is being read."""
        with self._lock:
            return {*self._reading}

    def retired(self, key: str) -> bool:
        """Whether what has this key is being deleted, or will be as soon as its last reader leaves."""
        with self._lock:
            return key in self._retired

    def retire(self, keys: Collection[str], delete: Callable[[], None]) -> None:
        """Call `delete`: now, or when the last reader leaves, on that reader's thread; until then let nobody in."""
        with self._lock:
            self._retired.update(keys)
            if self._held(keys):
                self._waiting.append((keys, delete))
                return
        self._delete(keys, delete)

    def _leave(self, key: str) -> None:
        with self._lock:
            _subtract(self._reading, [key])
            due = [each for each in self._waiting if key in each[0] and not self._held(each[0])]
            self._waiting = [each for each in self._waiting if each not in due]
        for keys, delete in due:
            try:
                self._delete(keys, delete)
            except OSError:  # The reader has what it wanted, and nobody else waits for an answer.
                logger.exception("Files could not be deleted after their last reader had left.")

    def _delete(self, keys: Collection[str], delete: Callable[[], None]) -> None:
        try:
            delete()
        finally:
            with self._lock:
                _subtract(self._retired, keys)

    def _held(self, keys: Collection[str]) -> bool:
        return any(key in self._reading for key in keys)


def _subtract(counts: Counter[str], keys: Collection[str]) -> None:
    for key in keys:
        counts[key] -= 1
        if counts[key] == 0:
            del counts[key]
