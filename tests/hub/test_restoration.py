from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.choices import check_strength
from hub.errors import Cancelled, HubError, InvalidInput
from hub.media.photo import Photo, PhotoInfo
from hub.restoration import PhotoOptions, RestoreLimits, restore_photo
from uformer.backends import OutOfMemory
from uformer.restore import RestoreOptions

LIMITS = RestoreLimits(max_tile_pixels=128 * 128, max_whole_pixels=10**6)
TILED = RestoreOptions(tile=128, overlap=32)


class Halver:
    """A TileRunner whose network halves every value."""

    def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        for tile in tiles:
            scale = 1.0 if tile.dtype.kind == "f" else np.iinfo(tile.dtype).max
            yield (tile / np.float32(2 * scale)).astype(np.float32)


class Full:
    """A TileRunner for which no tile is small enough."""

    def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        for tile in tiles:
            raise OutOfMemory(f"No memory for {tile.shape}.")
        yield from ()


def photo(channels: int = 3, dtype: str = "uint8", height: int = 200, width: int = 300) -> Photo:
    pixels = np.random.default_rng(2).integers(0, 256, (height, width, channels)).astype(np.uint16)
    if dtype == "uint16":
        pixels = pixels * 257
    info = PhotoInfo(
        "png", width, height, 8 if dtype == "uint8" else 16, "rgb" if channels > 2 else "grey", channels in (2, 4)
    )
    return Photo(pixels=pixels.astype(dtype), info=info, icc=b"profile", dpi=(300.0, 300.0))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_and_metadata_are_kept(channels: int, dtype: str) -> None:
    original = photo(channels, dtype)

    restored, report = restore_photo(original, Halver(), TILED, limits=LIMITS)

    assert restored.pixels.dtype == original.pixels.dtype
    assert restored.pixels.shape == original.pixels.shape
    colours = 1 if channels < 3 else 3
    expected = original.pixels[..., :colours].astype(np.float64) / 2
    assert np.abs(restored.pixels[..., :colours] - expected).max() <= 0.5001
    assert np.array_equal(restored.pixels[..., colours:], original.pixels[..., colours:])
    assert (restored.icc, restored.dpi, restored.info) == (original.icc, original.dpi, original.info)
    assert report.tiles > 1


def test_progress_counts_tiles() -> None:
    told: list[tuple[float, str]] = []

    _, report = restore_photo(
        photo(), Halver(), TILED, limits=LIMITS, progress=lambda fraction, message: told.append((fraction, message))
    )

    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert told[-1][1] == f"Restoring tile {report.tiles} of {report.tiles}"


def test_cancel() -> None:
    with pytest.raises(Cancelled):
        restore_photo(photo(), Halver(), TILED, limits=LIMITS, cancelled=lambda: True)


def test_no_memory_even_for_the_smallest_tile() -> None:
    with pytest.raises(HubError, match="too little free memory") as raised:
        restore_photo(photo(), Full(), RestoreOptions(), limits=LIMITS)

    assert raised.value.code == "out_of_memory"


def test_an_overlap_that_no_tile_allows() -> None:
    with pytest.raises(InvalidInput, match="An overlap of 96 is too large: it may be half a tile") as raised:
        restore_photo(photo(), Halver(), RestoreOptions(overlap=96), limits=LIMITS)

    assert raised.value.code == "not_restorable"


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), float("inf")])
def test_strength_out_of_range(strength: float) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        check_strength(strength)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (PhotoOptions(strength=2), "invalid_strength"),
        (PhotoOptions(quality=0), "invalid_quality"),
        (PhotoOptions(output_format="bmp"), "unknown_format"),
    ],
)
def test_options_out_of_range(options: PhotoOptions, code: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        options.check()

    assert raised.value.code == code


def test_options_survive_the_jobs_table() -> None:
    options = PhotoOptions(model_name="denoise_16", strength=0.25, output_format="webp", display=True)

    assert PhotoOptions.from_spec({**options.to_spec(), "of_another_version": 1}) == options
