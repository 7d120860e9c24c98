"""Live frames over a real engine, which is made once."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hub.catalog import Catalog
from hub.fetch import Fetcher
from hub.live.service import Live
from hub.networks import Networks
from hub.settings import Settings


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Networks]:
    """The shipped models on the real engine."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("live") / "data")
    networks = Networks(settings, Catalog(settings.weights_dir, settings.data_dir))
    yield networks
    networks.stop()


MakeLive = Callable[..., Live]


@pytest.fixture
def make_live(networks: Networks, settings: Settings) -> Iterator[MakeLive]:
    """Makes the live part with other settings: `make_live(live_clients=3)`."""
    made: list[Live] = []

    def make(**changes: Any) -> Live:
        changed = settings.model_copy(update=changes)
        catalog = Catalog(changed.weights_dir, changed.data_dir / "weights")
        fetcher = Fetcher(catalog, changed.data_dir / "weights", changed.fetch_urls)
        made.append(Live(changed, catalog, networks, fetcher))
        return made[-1]

    yield make
    for live in made:
        live.stop()


def save(pixels: NDArray[Any] | Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    """A picture as the bytes of a file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def flat(*colour: int, width: int = 60, height: int = 40) -> NDArray[np.uint8]:
    """A picture of one colour."""
    return np.full((height, width, 3), colour, np.uint8)


@pytest.fixture(name="save")
def _save() -> Callable[..., bytes]:
    """`save(pixels, "JPEG", quality=90)`: a picture as the bytes of a file."""
    return save


@pytest.fixture(name="flat")
def _flat() -> Callable[..., NDArray[np.uint8]]:
    """`flat(255, 0, 0, width=60, height=40)`: a picture of one colour."""
    return flat
