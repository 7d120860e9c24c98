"""Any image in, the same kind out: geometry and arithmetic with a known runner, quality with the shipped model."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uformer import BackendRunner, OutOfMemory, RestoreOptions, Restorer, blend, load_weights, open_backend
from uformer.backends import FULL_SCALE
from uformer.restore import RestoreCancelled

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "denoise_16.safetensors"


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    """In decibels, of images in [0, 1]; 200 for equal ones."""
    return float(-10 * np.log10(np.mean((one.astype(np.float64) - other) ** 2) + 1e-20))


class ArithmeticRunner:
    """Applies a function to pixels in [0, 1] instead of a network; refuses tiles beyond `most` pixels."""

    def __init__(self, function: Callable[[NDArray[Any]], NDArray[Any]], most: int = 10**9) -> None:
        self.function = function
        self.most = most
        self.shapes: list[tuple[int, ...]] = []

    def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        for tile in tiles:
            assert tile.flags.c_contiguous
            self.shapes.append(tile.shape)
            if tile.shape[0] * tile.shape[1] > self.most:
                raise OutOfMemory("too large")
            yield self.function(tile.astype(np.float32) / FULL_SCALE[tile.dtype.name]).astype(np.float32)


def restorer(runner: Any, max_tile_pixels: int = 128 * 256, max_whole_pixels: int = 10**6) -> Restorer:
    return Restorer(runner, max_tile_pixels=max_tile_pixels, max_whole_pixels=max_whole_pixels)


def random_image(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    generator = np.random.default_rng(1)
    if dtype == "float32":
        return generator.random(shape, np.float32)
    return generator.integers(0, FULL_SCALE[dtype], shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (37, 500), (300, 200, 1), (129, 260, 2), (300, 301, 3), (257, 128, 4)])
def test_an_identity_network_gives_the_image_back(shape: tuple[int, ...], dtype: str) -> None:
    image = random_image(shape, dtype)
    result = restorer(ArithmeticRunner(lambda x: x)).restore(image)
    assert result.image.dtype == image.dtype
    if dtype == "float32":
        np.testing.assert_allclose(result.image, image, atol=1e-6)
    else:
        np.testing.assert_array_equal(result.image, image)


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_strength_blends_and_rounds_once(strength: float) -> None:
    image = random_image((200, 300, 3), "uint8")
    result = restorer(ArithmeticRunner(lambda x: 1 - x)).restore(image, RestoreOptions(strength=strength))
    expected = np.rint(image + strength * (255.0 - 2.0 * image))
    assert np.abs(result.image - expected).max() <= (0 if strength in (0, 1) else 1)
    full = restorer(ArithmeticRunner(lambda x: 1 - x)).restore(image).image
    np.testing.assert_array_equal(blend(image, full, strength), result.image)


def test_a_thin_image_takes_no_more_memory_than_its_pixels_ask_for() -> None:
    image = random_image((1, 200_000, 3), "uint8")
    tracemalloc.start()
    result = restorer(ArithmeticRunner(lambda x: 1 - x)).restore(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(result.image, 255 - image)
    assert peak < 20e6


def test_24_megapixels_take_little_more_than_their_input_and_output() -> None:
    image = np.zeros((4000, 6000, 3), np.uint8)
    tracemalloc.start()
    restorer(ArithmeticRunner(lambda x: 1 - x), max_tile_pixels=400_000).restore(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < image.nbytes + 200e6


def test_alpha_is_left_alone_and_values_are_clipped() -> None:
    image = random_image((150, 150, 4), "uint8")
    result = restorer(ArithmeticRunner(lambda x: x + 2)).restore(image).image
    np.testing.assert_array_equal(result[..., 3], image[..., 3])
    assert (result[..., :3] == 255).all()


def test_whole_is_one_piece_up_to_its_limit_and_says_when_it_is_not() -> None:
    runner = ArithmeticRunner(lambda x: x)
    image = random_image((500, 700, 3), "uint8")
    report = restorer(runner).restore(image, RestoreOptions(whole=True)).report
    assert (report.tiles, report.whole, runner.shapes, report.notes) == (1, True, [(512, 768, 3)], ())
    report = restorer(runner, max_whole_pixels=256 * 512).restore(image, RestoreOptions(whole=True)).report
    assert not report.whole
    assert "Too large to restore in one piece" in report.notes[0]
    assert report.tile_height * report.tile_width > 128 * 256


def test_out_of_memory_shrinks_the_tiles_and_says_so() -> None:
    runner = ArithmeticRunner(lambda x: 1 - x, most=128 * 128)
    image = random_image((300, 400, 3), "uint8")
    result = restorer(runner, max_tile_pixels=400_000).restore(image)
    np.testing.assert_array_equal(result.image, 255 - image)
    assert (result.report.tile_height, result.report.tile_width) == (128, 128)
    assert "Too little memory" in result.report.notes[0]
    with pytest.raises(OutOfMemory, match="Not even"):
        restorer(ArithmeticRunner(lambda x: x, most=1)).restore(image)


def test_progress_counts_tiles_and_cancel_stops_between_them() -> None:
    seen: list[tuple[int, int]] = []
    image = random_image((500, 500, 3), "uint8")
    runner = ArithmeticRunner(lambda x: x)
    restorer(runner).restore(image, progress=lambda done, total: seen.append((done, total)))
    total = len(runner.shapes)
    assert seen == [(done, total) for done in range(total + 1)]
    stopped = ArithmeticRunner(lambda x: x)
    with pytest.raises(RestoreCancelled):
        restorer(stopped).restore(image, cancelled=lambda: len(stopped.shapes) >= 3)
    assert len(stopped.shapes) == 3


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3), np.int32), "uint8, uint16, float32"),
        (np.zeros((8, 8, 5), np.uint8), "1 to 4"),
        (np.zeros((0, 8, 3), np.uint8), "at least one pixel"),
        (np.full((8, 8), np.nan, np.float32), "NaN"),
    ],
)
def test_other_arrays_are_refused(image: NDArray[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        restorer(ArithmeticRunner(lambda x: x)).restore(image)


@pytest.mark.parametrize(
    "options",
    [{"strength": 1.5}, {"strength": float("nan")}, {"tile": 100}, {"overlap": -1}, {"tile": 128, "overlap": 65}],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        RestoreOptions(**options)


def test_blending_images_of_two_kinds_is_refused() -> None:
    with pytest.raises(ValueError, match="one kind"):
        blend(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint16), 0.5)


def test_a_backend_runner_batches_equal_neighbours_and_halves_what_does_not_fit() -> None:
    class Recorder:
        name = "recorder"
        memory_bytes = 0

        def __init__(self) -> None:
            self.batches: list[int] = []

        def run(
            self, batch: NDArray[Any], between: Callable[[], None] | None = None, *, likely: bool = True
        ) -> NDArray[np.float32]:
            if len(batch) > 2:
                raise OutOfMemory("too many")
            self.batches.append(len(batch))
            return batch.astype(np.float32)

        def prepare(self, height: int, width: int, *, steady: bool = False) -> None: ...

        def release(self, height: int, width: int) -> None: ...

        def max_batch(self, height: int, width: int) -> int:
            return 4

        def close(self) -> None: ...

    backend = Recorder()
    tiles = [np.full((128, 128, 3), i, np.uint8) for i in range(5)] + [np.full((128, 256, 3), 5, np.uint8)]
    restored = list(BackendRunner(backend).map(tiles))
    assert [int(tile[0, 0, 0]) for tile in restored] == [0, 1, 2, 3, 4, 5]
    assert backend.batches == [2, 2, 1, 1]


@pytest.fixture(scope="module")
def shipped() -> Iterator[Restorer]:
    """The shipped denoiser in float32, with tiles of at most 256x256 pixels."""
    backend = open_backend(load_weights(WEIGHTS), device="cpu", precision="float32")
    yield Restorer(BackendRunner(backend), max_tile_pixels=256**2, max_whole_pixels=10**6)
    backend.close()


def test_tiles_agree_with_the_whole_to_60_db_and_gain_6(
    shipped: Restorer, real_photo: NDArray[np.uint8], noisy_real_photo: NDArray[np.uint8]
) -> None:
    image = noisy_real_photo.astype(np.float32) / 255
    whole = shipped.restore(image, RestoreOptions(whole=True))
    tiled = shipped.restore(image)
    assert whole.report.whole
    assert tiled.report.tiles >= 4
    assert psnr(whole.image, tiled.image) >= 60
    clean = real_photo / 255
    assert psnr(tiled.image.clip(0, 1), clean) - psnr(image, clean) >= 6


def test_no_grid_shows_in_a_flat_region(shipped: Restorer) -> None:
    flat = np.clip(0.5 + np.random.default_rng(0).normal(0, 15 / 255, (320, 448, 3)), 0, 1).astype(np.float32)
    tiled = shipped.restore(flat)
    whole = shipped.restore(flat, RestoreOptions(whole=True))
    assert tiled.report.tiles >= 4
    # Where tiles meet, steps between neighbouring pixels are those of the whole image.
    for axis in (0, 1):
        steps, expected = (
            np.abs(np.diff(image, axis=axis)).mean(axis=(1 - axis, 2)) for image in (tiled.image, whole.image)
        )
        assert np.abs(steps - expected).max() < 0.5 / 255
