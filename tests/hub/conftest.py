"""Small hubs around handlers of the tests, closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.jobs.handler import Handler

from .jobs.bench import Bench, copy_upload


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes Benches on one folder; starts them, and stops them all at the end."""
    made: list[Bench] = []

    def make(handler: Handler = copy_upload, **options: Any) -> Bench:
        new = Bench(tmp_path, handler, **options)
        made.append(new)
        new.manager.start()
        return new

    yield make
    for each in made:
        each.manager.stop(5)
        each.store.close()
