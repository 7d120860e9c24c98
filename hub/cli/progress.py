"""The progress bar of a run over several photos, some of them at the same time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total_fmt} [{elapsed}<{remaining}]"


class PhotosBar:
    """Shows how many of `total` photos are done, fractions included; silent where stderr is no terminal."""

    def __init__(self, total: int) -> None:
        self._bar = tqdm(total=total, desc="Restoring", bar_format=BAR, disable=None, leave=False, dynamic_ncols=True)
        self._lock = threading.Lock()
        self._fractions: dict[object, float] = {}

    def __enter__(self) -> PhotosBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def reporter(self, photo: object) -> Callable[[float, str], None]:
        """A callback for one photo's fraction done (0..1); any thread may call it."""

        def report(fraction: float, _message: str = "") -> None:
            with self._lock:
                self._fractions[photo] = fraction
                self._bar.update(sum(self._fractions.values()) - self._bar.n)

        return report

    def say(self, line: str) -> None:
        """Print a remark to stderr, above the bar."""
        with self._lock:
            self._bar.write(line, file=sys.stderr)

    def answer(self, line: str) -> None:
        """Print a result to stdout, above the bar."""
        with self._lock:
            self._bar.write(line, file=sys.stdout)
