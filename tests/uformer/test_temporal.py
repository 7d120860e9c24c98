"""Smoothing along motion: steadier and no worse than the network's own frames, measured against the known truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from uformer import load_weights, open_backend
from uformer.temporal import WARM_UP, TemporalSmoother

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "denoise_16.safetensors"
HEIGHT, WIDTH = 128, 256
COUNT = 12


class Clip(NamedTuple):
    """(frames, HEIGHT, WIDTH, 3) uint8 each: the truth, with noise, and restored from that."""

    clean: NDArray[np.uint8]
    noisy: NDArray[np.uint8]
    restored: NDArray[np.uint8]


@pytest.fixture(scope="module")
def clip(real_photo: NDArray[np.uint8]) -> Clip:
    """A face that passes before a still wall, noise of sigma 25, restored by the shipped network."""
    still = real_photo[250 : 250 + HEIGHT, 100 : 100 + WIDTH]
    face = real_photo[20:120, 170:270]
    rows, columns = np.mgrid[:100, :100]
    disc = ((rows - 50) ** 2 + (columns - 50) ** 2 < 45**2)[..., None]
    clean = np.repeat(still[None], COUNT, axis=0)
    for time, frame in enumerate(clean):
        patch = frame[10:110, 4 + 5 * time : 104 + 5 * time]
        patch[:] = np.where(disc, face, patch)
    noise = np.random.default_rng(0).normal(0, 25, clean.shape)
    noisy = (clean + noise).clip(0, 255).round().astype(np.uint8)
    backend = open_backend(load_weights(WEIGHTS), device="cpu", cpu_backend="torch")
    restored = np.concatenate([backend.run(frame[None]) for frame in noisy])
    backend.close()
    return Clip(clean, noisy, (restored * 255).clip(0, 255).round().astype(np.uint8))


@pytest.fixture(scope="module")
def smoothed(clip: Clip) -> NDArray[np.uint8]:
    """`clip`, smoothed."""
    return smooth(clip.noisy, clip.restored)


def smooth(originals: Sequence[NDArray[Any]], restored: Sequence[NDArray[Any]]) -> NDArray[Any]:
    smoother = TemporalSmoother()
    return np.stack([smoother.push(*pair) for pair in zip(originals, restored, strict=True)])


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    """In decibels, of 8-bit images."""
    return float(10 * np.log10(255**2 / np.mean((one.astype(np.float64) - other) ** 2)))


def flicker(frames: NDArray[np.uint8], clean: NDArray[np.uint8]) -> float:
    """The mean change from frame to frame where nothing changes in truth."""
    still = (np.diff(clean.astype(np.int16), axis=0) == 0).all(axis=-1)
    return float(np.abs(np.diff(frames.astype(np.int16), axis=0))[still].mean())


def test_still_regions_flicker_less_than_half_as_much(clip: Clip, smoothed: NDArray[np.uint8]) -> None:
    assert flicker(smoothed[2:], clip.clean[2:]) < 0.5 * flicker(clip.restored[2:], clip.clean[2:])


def test_every_frame_is_nearer_to_the_truth(clip: Clip, smoothed: NDArray[np.uint8]) -> None:
    gains = [psnr(s, c) - psnr(r, c) for s, r, c in zip(smoothed, clip.restored, clip.clean, strict=True)]
    assert gains[0] == 0
    assert min(gains[1:]) > 0.3
    assert np.mean(gains[WARM_UP:]) > 1


def test_what_moves_and_what_it_uncovers_gets_no_ghost(clip: Clip, smoothed: NDArray[np.uint8]) -> None:
    changing = (np.diff(clip.clean.astype(np.int16), axis=0) != 0).any(axis=-1)
    before, after = (
        np.square(frames[1:].astype(np.float64) - clip.clean[1:])[changing] for frames in (clip.restored, smoothed)
    )
    assert after.mean() < before.mean()
    # Nor anywhere a spot that is far worse than it was: a ghost of the face on the wall errs by 50 levels and more.
    worst = [
        np.sqrt(cv2.blur(np.square(frame.astype(np.float64) - clean).mean(axis=-1), (7, 7)))
        for frames in (clip.restored, smoothed)
        for frame, clean in zip(frames, clip.clean, strict=True)
    ]
    assert (np.stack(worst[COUNT:]) - np.stack(worst[:COUNT])).max() < 12


def test_a_pan_gains_by_flow(real_photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    clean = np.stack([real_photo[60 + time : 252 + time, 3 * time : 256 + 3 * time] for time in range(12)])
    # What a network leaves of noise is smooth; drawn here, it costs no time.
    error = np.stack([cv2.GaussianBlur(generator.normal(0, 25, frame.shape), (0, 0), 1) for frame in clean])
    noisy, restored = (
        (clean + noise).clip(0, 255).round().astype(np.uint8) for noise in (generator.normal(0, 25, clean.shape), error)
    )
    along = psnr(smooth(noisy, restored)[4:], clean[4:])
    monkeypatch.setattr("uformer.temporal.SMALLEST_FLOW", 10_000)
    in_place = psnr(smooth(noisy, restored)[4:], clean[4:])
    assert along > psnr(restored[4:], clean[4:]) + 1.5
    assert along > in_place + 1


def test_a_scene_cut_is_left_alone(clip: Clip, real_photo: NDArray[np.uint8]) -> None:
    generator = np.random.default_rng(1)
    other = np.repeat(real_photo[None, :HEIGHT, 140 : 140 + WIDTH], 3, axis=0)
    after = (other + generator.normal(0, 6, other.shape)).clip(0, 255).astype(np.uint8)
    noisy = (other + generator.normal(0, 25, other.shape)).clip(0, 255).astype(np.uint8)
    result = smooth([*clip.noisy[:4], *noisy], [*clip.restored[:4], *after])
    np.testing.assert_array_equal(result[4], after[0])
    assert (result[5] != after[1]).any()


def test_a_clip_without_noise_is_left_alone(clip: Clip) -> None:
    np.testing.assert_array_equal(smooth(clip.clean, clip.clean), clip.clean)


def test_warming_up_gives_the_state_of_one_that_saw_everything(clip: Clip, smoothed: NDArray[np.uint8]) -> None:
    start = COUNT - 1 - WARM_UP
    fresh = smooth(clip.noisy[start:], clip.restored[start:])[-1].astype(np.float64)
    assert np.sqrt(np.square(fresh - smoothed[-1]).mean()) < 1


def test_results_depend_on_the_frames_alone(clip: Clip, smoothed: NDArray[np.uint8]) -> None:
    threads = cv2.getNumThreads()
    smoother = TemporalSmoother()
    try:
        for number in (1, 3):
            cv2.setNumThreads(number)
            smoother.reset()
            again = [smoother.push(*pair) for pair in zip(clip.noisy, clip.restored, strict=True)]
            np.testing.assert_array_equal(again, smoothed)
            smoother.reset()
            smoother.push(clip.noisy[0, :50, :60], clip.restored[0, :50, :60])
    finally:
        cv2.setNumThreads(threads)


def test_frames_that_are_put_in_stay_as_they_are(clip: Clip) -> None:
    pairs = [(clip.noisy[i].copy(), clip.restored[i].copy()) for i in range(3)]
    smooth(*zip(*pairs, strict=True))
    for i, (noisy, restored) in enumerate(pairs):
        np.testing.assert_array_equal(noisy, clip.noisy[i])
        np.testing.assert_array_equal(restored, clip.restored[i])


def test_sixteen_bits_are_smoothed_alike(clip: Clip, smoothed: NDArray[np.uint8]) -> None:
    noisy, restored = (frames.astype(np.uint16) * 257 for frames in (clip.noisy[:6], clip.restored[:6]))
    result = smooth(noisy, restored)
    assert result.dtype == np.uint16
    # Flow may differ where rounding does.
    assert np.abs(result / 257 - smoothed[:6]).mean() < 0.5
    assert psnr(result / 257, clip.clean[:6]) == pytest.approx(psnr(smoothed[:6], clip.clean[:6]), abs=0.05)
    assert (result % 257 != 0).any()


@pytest.mark.parametrize("channels", [(), (1,), (2,)])
def test_grey_is_smoothed_and_alpha_left_alone(clip: Clip, channels: tuple[int, ...]) -> None:
    def grey(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        planes = frames[:6, ..., 1].reshape(6, HEIGHT, WIDTH, 1).repeat((channels or (1,))[0], axis=-1)
        return planes if channels else planes[..., 0]

    restored = grey(clip.restored)
    result = smooth(grey(clip.noisy), restored)
    assert result.shape == restored.shape
    first = result if not channels else result[..., 0]
    clean = clip.clean[:6, ..., 1]
    assert psnr(first[2:], clean[2:]) > psnr(clip.restored[2:6, ..., 1], clean[2:]) + 0.5
    if channels == (2,):
        np.testing.assert_array_equal(result[..., 1], restored[..., 1])


def test_colour_is_smoothed_alike_beside_alpha(clip: Clip, smoothed: NDArray[np.uint8]) -> None:
    alpha = np.random.default_rng(0).integers(0, 256, (6, HEIGHT, WIDTH, 1), np.uint8)
    noisy, restored = (np.concatenate([frames[:6], alpha], axis=-1) for frames in (clip.noisy, clip.restored))
    result = smooth(noisy, restored)
    np.testing.assert_array_equal(result[..., :3], smoothed[:6])
    np.testing.assert_array_equal(result[..., 3:], alpha)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3), (1, 200, 3), (31, 500, 3), (500, 9, 1), (32, 32, 3), (33, 900)])
def test_frames_of_any_size_are_smoothed(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    noisy = (128 + generator.normal(0, 25, (10, *shape))).clip(0, 255).astype(np.uint8)
    restored = (128 + generator.normal(0, 6, (10, *shape))).clip(0, 255).astype(np.uint8)
    result = smooth(noisy, restored)
    assert result.shape == restored.shape
    if result[0].size > 100:
        assert psnr(result[5:], np.full_like(result[5:], 128)) > psnr(restored[5:], np.full_like(result[5:], 128)) + 1


@pytest.mark.parametrize(
    ("original", "restored", "message"),
    [
        (np.zeros((40, 40, 3), np.float32), np.zeros((40, 40, 3), np.float32), "uint8 or uint16"),
        (np.zeros((40, 40, 5), np.uint8), np.zeros((40, 40, 5), np.uint8), "1 to 4"),
        (np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8), "one kind"),
        (np.zeros((40, 41, 3), np.uint8), np.zeros((40, 41, 3), np.uint8), "one kind"),
    ],
)
def test_frames_of_other_kinds_are_refused(original: NDArray[Any], restored: NDArray[Any], message: str) -> None:
    smoother = TemporalSmoother()
    smoother.push(np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(ValueError, match=message):
        smoother.push(original, restored)


@pytest.mark.parametrize("memory", [-0.1, 1.0])
def test_an_impossible_memory_is_refused(memory: float) -> None:
    with pytest.raises(ValueError, match="below 1"):
        TemporalSmoother(memory)
