"""Hubs and tables that are closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.jobs.handler import Handler
from hub.jobs.store import JobStore

from .bench import Bench, copy_upload


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


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    opened = JobStore(f"sqlite:///{tmp_path / 'hub.sqlite3'}")
    yield opened
    opened.close()
