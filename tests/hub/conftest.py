"""A hub at work for the tests of a module; and small ones around handlers, closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.jobs.handler import Handler
from hub.service import Hub
from hub.settings import Settings

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


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub at work, with a data folder of its own."""
    hub = Hub(Settings(data_dir=tmp_path_factory.mktemp("hub") / "data", auto_fetch=False))
    hub.start()
    yield hub
    hub.stop()
