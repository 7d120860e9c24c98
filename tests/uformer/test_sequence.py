"""Frames of a clip: the same as one by one, in order, few at a time, whatever memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uformer import BackendRunner, OutOfMemory, RestoreOptions, Restorer, SequenceRestorer, load_weights, open_backend
from uformer.backends import FULL_SCALE
from uformer.restore import RestoreCancelled

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "denoise_16.safetensors"
HEIGHT, WIDTH = 150, 300
TILE_PIXELS = 128 * 256


class AheadRunner:
    """Negates tiles, `ahead` of them in flight; from tile number `full` on it refuses those beyond 128x128."""

    def __init__(self, ahead: int = 5, full: int = 10**9) -> None:
        self.ahead = ahead
        self.full = full
        self.pulled = 0
        self.closed = 0

    def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        flying: list[NDArray[Any]] = []
        try:
            for tile in tiles:
                self.pulled += 1
                if self.pulled > self.full and tile.shape[0] * tile.shape[1] > 128**2:
                    raise OutOfMemory("too large")
                flying.append(tile)
                if len(flying) == self.ahead:
                    yield self._negate(flying.pop(0))
            yield from map(self._negate, flying)
        finally:
            self.closed += 1

    @staticmethod
    def _negate(tile: NDArray[Any]) -> NDArray[np.float32]:
        return 1 - tile.astype(np.float32) / np.float32(FULL_SCALE[tile.dtype.name])


def clip(count: int, channels: tuple[int, ...] = (3,), dtype: str = "uint8") -> list[NDArray[Any]]:
    generator = np.random.default_rng(1)
    return [generator.integers(0, FULL_SCALE[dtype], (HEIGHT, WIDTH, *channels), dtype) for _ in range(count)]


def sequence(runner: Any, **options: Any) -> SequenceRestorer:
    return SequenceRestorer(runner, HEIGHT, WIDTH, RestoreOptions(**options), max_tile_pixels=TILE_PIXELS)


@pytest.mark.parametrize(("channels", "dtype"), [((3,), "uint8"), ((), "uint16"), ((1,), "uint8"), ((4,), "uint16")])
def test_every_frame_comes_back_in_order_and_of_its_kind(channels: tuple[int, ...], dtype: str) -> None:
    frames = clip(4, channels, dtype)
    results = list(sequence(AheadRunner()).restore(frames))
    assert len(results) == 4
    for frame, result in zip(frames, results, strict=True):
        assert result.dtype == frame.dtype
        colours = 3 if channels == (4,) else None
        np.testing.assert_array_equal(result[..., :colours], FULL_SCALE[dtype] - frame[..., :colours])
    if channels == (4,):
        np.testing.assert_array_equal(results[-1][..., 3], frames[-1][..., 3])


def test_frames_are_what_the_restorer_of_photos_makes_of_them(noisy_real_photo: NDArray[np.uint8]) -> None:
    backend = open_backend(load_weights(WEIGHTS), device="cpu", cpu_backend="torch")
    runner = BackendRunner(backend)
    frames = [noisy_real_photo[top : top + 100, 120:320] for top in (0, 100)]
    restorer = Restorer(runner, max_tile_pixels=128**2, max_whole_pixels=128**2)
    results = list(SequenceRestorer(runner, 100, 200, max_tile_pixels=128**2).restore(iter(frames)))
    for frame, result in zip(frames, results, strict=True):
        restored = restorer.restore(frame)
        assert restored.report.tiles > 1
        np.testing.assert_array_equal(result, restored.image)
    backend.close()


def test_the_next_frames_are_in_flight_and_no_more_than_those() -> None:
    runner = AheadRunner(ahead=20)
    restorer = sequence(runner)
    pulled: list[int] = []

    def frames() -> Iterator[NDArray[Any]]:
        for number, frame in enumerate(clip(30)):
            pulled.append(number)
            yield frame

    ahead = -(-20 // restorer.plan.tiles)
    for number, _result in enumerate(restorer.restore(frames())):
        assert min(number + 2, 30) <= len(pulled) <= number + ahead + 1
    assert len(pulled) == 30


def test_when_memory_runs_out_the_frames_not_yet_yielded_get_smaller_tiles() -> None:
    whole = sequence(AheadRunner())
    runner = AheadRunner(ahead=5, full=3 * whole.plan.tiles + 1)
    restorer = sequence(runner)
    frames = clip(6)
    before = restorer.report
    results = list(restorer.restore(iter(frames)))
    for frame, result in zip(frames, results, strict=True):
        np.testing.assert_array_equal(result, 255 - frame)
    assert before.notes == ()
    assert "Too little memory" in restorer.report.notes[0]
    assert (restorer.report.tile_height, restorer.report.tile_width) == (128, 128)
    # It stays so for whatever follows.
    assert len(list(restorer.restore(frames[:2]))) == 2
    assert len(restorer.report.notes) == 1


def test_not_even_the_smallest_tile_fits() -> None:
    class Full:
        def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
            for _tile in tiles:
                raise OutOfMemory("too large")
            yield from ()

    with pytest.raises(OutOfMemory, match="Not even"):
        list(sequence(Full()).restore(clip(1)))


def test_cancel_stops_between_tiles() -> None:
    runner = AheadRunner()
    with pytest.raises(RestoreCancelled):
        list(sequence(runner).restore(clip(5), cancelled=lambda: runner.pulled >= 7))
    assert (runner.pulled, runner.closed) == (7, 1)


def test_a_caller_that_stops_early_closes_the_runner() -> None:
    runner = AheadRunner()
    results: Any = sequence(runner).restore(clip(5))
    next(results)
    results.close()
    assert runner.closed == 1


def test_nothing_is_pulled_before_the_first_result_is_wanted_and_no_frames_give_none() -> None:
    runner = AheadRunner()
    sequence(runner).restore(clip(2))
    assert list(sequence(runner).restore([])) == []
    assert runner.pulled == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame[:-1], "of this clip"),
        (lambda frame: frame.astype(np.float32), "uint8 or uint16"),
        (lambda frame: np.dstack([frame, frame]), "1 to 4"),
        (lambda frame: frame.astype(np.uint16), "alike"),
        (lambda frame: frame[..., 0], "alike"),
    ],
)
def test_a_frame_of_another_kind_is_refused(change: Callable[[Any], Any], message: str) -> None:
    first, second = clip(2)
    with pytest.raises(ValueError, match=message):
        list(sequence(AheadRunner()).restore([first, change(second)]))


@pytest.mark.parametrize("options", [{"whole": True}, {"strength": 0.5}])
def test_options_of_photos_alone_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="in tiles and in full strength"):
        sequence(AheadRunner(), **options)


def test_the_tile_may_be_chosen() -> None:
    restorer = sequence(AheadRunner(), tile=128, overlap=32)
    assert restorer.plan.shapes == {(128, 128)}
    assert restorer.report.tiles == restorer.plan.tiles
