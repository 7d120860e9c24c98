"""Steadier clips: restored frames averaged along motion, where that can be done without a trace.

A network restores each frame by itself, so what it gets wrong differs from frame to frame and flickers. Averaged over
time along the motion, those errors cancel out; what truly changes must be left alone.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from uformer.backends import FULL_SCALE

# How many frames bring a fresh smoother to the state of one that saw them all: older ones weigh 0.75 ** 8 = 10 % then,
# and the pictures differ by less than one 8-bit level (root mean square).
WARM_UP = 8
# The error that a network leaves of noise of standard deviation σ, both in 8-bit levels: the lesser of the two times σ
# and √σ. Measured with the shipped network: 5.2, 6.8 and 10.4 levels of 15, 25 and 50.
ERROR_OF_SIGMA = 0.35
ERROR_OF_ROOT_SIGMA = 1.3
# Differences up to the first multiple of that error are taken for noise, from the second on for change.
NOISE = 1.0
CHANGE = 2.75
# Differences are averaged over squares of this side.
WINDOW = 5
# Moved pixels must match this much better than unmoved ones to be used: over noise, flow finds motion where none is.
PREFER_STILL = 1.1
# With less than this part of a frame matching, the scene has changed.
SAME_SCENE = 0.25
# Side of the squares by which noise is measured.
BLOCK = 16
# DIS refuses frames that are too thin for its pyramid. In smaller ones than this, only what stands still is smoothed.
SMALLEST_FLOW = 32


class TemporalSmoother:
    """A recursive filter along motion for the restored frames of one clip, which it sees in order.

    Each result is the restored frame mixed with the result before it, moved along optical flow (DIS) or left in place,
    whichever matches better. The previous result's weight falls from `memory` to 0 where neither matches: at uncovered
    background, wrong flow, light that changes. A scene cut is returned as it is.

    memory: the previous result's largest weight, at least 0 and below 1. 0.75 takes three quarters of the flicker away;
        more gains little, and more fine texture is lost.
    Results depend on the frames alone, not on timing or the number of threads.
    """

    def __init__(self, memory: float = 0.75) -> None:
        if not 0 <= memory < 1:
            raise ValueError(f"memory must be at least 0 and below 1, not {memory}.")
        self._memory = memory
        self.reset()

    def reset(self) -> None:
        """Forget the frames seen so far: the next one is the first of a clip, of any kind."""
        # Made anew, for DIS can crash when its frames change their size. The stubs ask for more arguments than it does.
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._kind: tuple[tuple[int, ...], str] | None = None
        self._previous: _Picture | None = None

    def push(self, original: NDArray[Any], restored: NDArray[Any]) -> NDArray[Any]:
        """The clip's next frame, smoothed: an array like `restored`.

        original: the frame before restoration, which tells how strong the noise is.
        restored: (H, W) or (H, W, 1 to 4), uint8 or uint16: grey or RGB, then alpha if the number of channels is even.
            Alpha is left as it is.
        Raises ValueError for other arrays, and unless both arrays and all frames of a clip are of one kind.
        """
        self._check(original, restored)
        level = FULL_SCALE[restored.dtype.name] / 255
        smoothed = _colours(restored).astype(np.float32)
        if self._previous is not None:
            error = level * _expected_error(_noise(_colours(original), smoothed) / level)
            change, energy = self._change(self._previous, _Picture(smoothed, _grey(_colours(restored))))
            weight = self._memory * _match(energy, error)
            if np.count_nonzero(weight > self._memory / 2) > SAME_SCENE * weight.size:
                smoothed += change * (weight if change.ndim == 2 else weight[..., None])
        result = restored.copy()
        _colours(result)[...] = np.rint(smoothed).clip(0, FULL_SCALE[restored.dtype.name])
        self._previous = _Picture(smoothed, _grey(_colours(result)))
        return result

    def _change(self, previous: _Picture, current: _Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What turns the current picture into the previous one, moved to where it now is, and its `_energy`."""
        change = previous.colours - current.colours
        energy = _energy(change)
        height, width = current.grey.shape
        if min(height, width) >= SMALLEST_FLOW:
            # Without a flow to begin with: the last one's would make results depend on all frames before.
            flow = self._flow.calc(current.grey, previous.grey, None)
            # Cubic: linear interpolation, repeated in every frame, blurs: 0.3 to 0.6 dB less where pictures move.
            columns = np.arange(width, dtype=np.float32) + flow[..., 0]
            rows = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
            moved: Any = cv2.remap(previous.colours, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            moved_change = moved - current.colours
            moved_energy = _energy(moved_change)
            better = (energy > PREFER_STILL * moved_energy).view(np.uint8)
            cv2.copyTo(moved_change, better, change)
            cv2.copyTo(moved_energy, better, energy)
        return change, energy

    def _check(self, original: NDArray[Any], restored: NDArray[Any]) -> None:
        """Raise ValueError, saying what would be right, unless these can be the clip's next frame."""
        if restored.dtype.name not in ("uint8", "uint16"):
            raise ValueError(f"A frame is of uint8 or uint16, not {restored.dtype}.")
        if restored.ndim not in (2, 3) or (restored.ndim == 3 and restored.shape[2] > 4) or 0 in restored.shape:
            raise ValueError(f"A frame is (H, W) or (H, W, 1 to 4) with at least one pixel, not {restored.shape}.")
        kind = (restored.shape, restored.dtype.name)
        for other in ((original.shape, original.dtype.name), self._kind or kind):
            if other != kind:
                raise ValueError(
                    f"Frames of one kind belong together, not {other[0]} {other[1]} and {kind[0]} {kind[1]}."
                )
        self._kind = kind


class _Picture(NamedTuple):
    """A frame's colours, (H, W) or (H, W, 3) float32 in the levels of its type, and its grey in 8 bits."""

    colours: NDArray[np.float32]
    grey: NDArray[np.uint8]


def _colours(frame: NDArray[Any]) -> NDArray[Any]:
    """A view of `frame` without alpha: (H, W) if it is grey, or (H, W, 3)."""
    if frame.ndim == 2:
        return frame
    return frame[..., :3] if frame.shape[2] >= 3 else frame[..., 0]


def _grey(colours: NDArray[Any]) -> NDArray[np.uint8]:
    """uint8 or uint16 colours as 8-bit grey."""
    grey: NDArray[Any] = np.ascontiguousarray(colours)
    if grey.ndim == 3:
        grey = np.asarray(cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY))
    return grey if grey.dtype == np.uint8 else np.asarray(cv2.convertScaleAbs(grey, alpha=1 / 257), np.uint8)


def _noise(original: NDArray[Any], restored: NDArray[np.float32]) -> float:
    """The standard deviation of what restoration took away, by the median over blocks, which few textures reach."""
    height, width = restored.shape[:2]
    taken = cv2.absdiff(original.astype(np.float32), restored)
    blocks = cv2.resize(taken, (max(1, width // BLOCK), max(1, height // BLOCK)), interpolation=cv2.INTER_AREA)
    # A normal distribution's mean absolute deviation is this much smaller.
    return float(np.median(blocks)) * math.sqrt(math.pi / 2)


def _expected_error(sigma: float) -> float:
    """The standard deviation of a network's error from that of the noise, both in 8-bit levels."""
    return min(ERROR_OF_SIGMA * sigma, ERROR_OF_ROOT_SIGMA * math.sqrt(sigma))


def _energy(change: NDArray[np.float32]) -> NDArray[np.float32]:
    """The squared change, averaged over channels and around each pixel: (H, W)."""
    squared: Any = cv2.multiply(change, change)
    if squared.ndim == 3:
        squared = cv2.transform(squared, np.full((1, 3), 1 / 3, np.float32))
    return np.asarray(cv2.boxFilter(squared, -1, (WINDOW, WINDOW), borderType=cv2.BORDER_REFLECT), np.float32)


def _match(energy: NDArray[np.float32], error: float) -> NDArray[np.float32]:
    """1 where a change of this energy is noise of the expected error, 0 where it is more, and between them."""
    ratio = energy / np.float32(max(error**2, 1e-6))
    return ((CHANGE**2 - ratio) / (CHANGE**2 - NOISE**2)).clip(0, 1)
