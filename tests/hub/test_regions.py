from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio as psnr

from hub.errors import Conflict, InvalidInput
from hub.jobs.model import Status
from hub.regions import CONTEXT, GRID, SIDE, Region
from hub.service import Hub, PhotoOptions

WIDTH, HEIGHT = 1000, 700  # No multiple of anything.
SECONDS = 300


@pytest.fixture(scope="module")
def large(clean_photo: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy photo of many tiles, no two parts of which are alike."""
    noise = np.random.default_rng(3)
    tiled = np.tile(clean_photo, (6, 6, 1))[:HEIGHT, :WIDTH]
    shade = np.linspace(0.55, 1, WIDTH)[None, :, None] * np.linspace(1, 0.7, HEIGHT)[:, None, None]
    pixels = (tiled * shade + noise.normal(0, 20, tiled.shape)).clip(0, 255).round().astype(np.uint8)
    path = tmp_path_factory.mktemp("photo") / "large.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def restored(hub: Hub, large: Path) -> NDArray[np.uint8]:
    """The whole photo, restored by a job."""
    with large.open("rb") as stream:
        job = hub.submit_photo(stream, large.name, PhotoOptions())
    job = hub.manager.wait(job.id, SECONDS).job
    assert job.status is Status.COMPLETED, job.error
    return np.asarray(Image.open(hub.result_file(str(job.result_path))))


@pytest.mark.parametrize(
    ("corner", "photo", "region"),
    [
        ((0, 0), (WIDTH, HEIGHT), (0, 0, 512, 512)),
        ((-90, 31), (WIDTH, HEIGHT), (0, 0, 512, 512)),
        ((100, 97), (WIDTH, HEIGHT), (128, 128, 512, 512)),
        ((9999, 9999), (WIDTH, HEIGHT), (512, 192, 488, 508)),
        ((0, 40), (300, 512), (0, 0, 300, 512)),
        ((7, 7), (1, 1), (0, 0, 1, 1)),
    ],
)
def test_regions_lie_on_the_grid_and_inside(
    corner: tuple[int, int], photo: tuple[int, int], region: tuple[int, int, int, int]
) -> None:
    found = Region.near(*corner, *photo)

    assert (found.left, found.top, found.width, found.height) == region
    assert found.left % GRID == found.top % GRID == 0
    assert found.width <= SIDE


@pytest.mark.parametrize("corner", [(0, 192), (256, 128), (99999, 99999)])
def test_a_region_is_that_part_of_the_whole(
    hub: Hub, large: Path, restored: NDArray[np.uint8], corner: tuple[int, int]
) -> None:
    before, after, region = hub.display.preview_region(large, *corner, PhotoOptions())

    part = slice(region.top, region.top + region.height), slice(region.left, region.left + region.width)
    assert np.array_equal(before.pixels, np.asarray(Image.open(large))[part])
    assert after.pixels.shape == before.pixels.shape
    assert psnr(after.pixels, restored[part]) >= 50
    assert psnr(before.pixels, restored[part]) < 30
    assert psnr(after.pixels, np.roll(restored, CONTEXT, axis=1)[part]) < 40, "Another part looks the same."


def test_the_strength_counts(hub: Hub, large: Path, restored: NDArray[np.uint8]) -> None:
    before, after, region = hub.display.preview_region(large, 256, 128, PhotoOptions(strength=0.5))

    part = slice(region.top, region.top + region.height), slice(region.left, region.left + region.width)
    half = (before.pixels.astype(float) + restored[part]) / 2
    assert np.abs(after.pixels - half).mean() < 0.6


def test_what_cannot_be_previewed_is_refused(hub: Hub, large: Path) -> None:
    with pytest.raises(Conflict):
        hub.display.preview_region(large, 0, 0, PhotoOptions(task_type="deblur"))
    with pytest.raises(InvalidInput):
        hub.display.preview_region(large, 0, 0, PhotoOptions(strength=2))
