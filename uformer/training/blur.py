"""Blur: of a shaking camera, of moving cameras and things, of a lens out of focus. It happens to light."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from uformer.training.dice import Dice
from uformer.training.light import to_light, to_srgb

MARGIN = 24
"""Pixels on each side whose blur needs what lies outside of the picture; callers cut them off."""
_MOMENTS = 96  # of a camera's path during one exposure
_FRAMES = 16  # averaged to one picture of moving things


def shake(image: Tensor, dice: Dice, max_path: float) -> Tensor:
    """Blur (B, 3, H, W) sRGB in [0, 1] along random paths of a hand-held camera; max_path: pixels, up to 2 * MARGIN."""
    return _convolve(image, _kernels(_paths(len(image), _MOMENTS, max_path, dice)))


def defocus(image: Tensor, dice: Dice, max_radius: float) -> Tensor:
    """Blur (B, 3, H, W) sRGB in [0, 1] with discs of random radii, in pixels, up to `max_radius`."""
    radius = dice.uniform((len(image), 1, 1), 0, max_radius)
    place = torch.arange(-MARGIN, MARGIN + 1, device=image.device)
    distance = (place[:, None] ** 2 + place**2).sqrt()
    disc = (radius + 0.5 - distance).clamp(0, 1)  # A soft edge, a pixel wide.
    return _convolve(image, disc / disc.sum((1, 2), keepdim=True))


def moving_frames(image: Tensor, other: Tensor, dice: Dice, max_path: float) -> tuple[Tensor, Tensor]:
    """An exposure of a moving scene, and the scene at rest.

    image, other: (B, 3, H, W) sRGB in [0, 1]; the camera shifts, turns and zooms over `image`, while parts of `other`
    pass in front of it on a path of their own. Frames are averaged as light (Nah et al., CVPR 2017).
    max_path: pixels that each of the two moves at most. Returns blurred and sharp, both (B, 3, H, W).
    """
    count, _, height, width = image.shape
    coarse = dice.normal((count, 1, 6, 6))
    field = functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    softness = dice.uniform((count, 1, 1, 1), 10, 40)
    mask = ((field - dice.uniform((count, 1, 1, 1), 0, 1.5)) * softness).sigmoid() * dice.happens(count, 0.7)
    behind, front = to_light(image), torch.cat((to_light(other), mask), 1)
    camera, things = (_motions(count, max_path, height, dice) for _ in range(2))
    blurred = torch.zeros_like(behind)
    for moment in range(_FRAMES):
        frame = _warp(behind, camera[:, moment])
        passing = _warp(front, things[:, moment])
        blurred += torch.lerp(frame, passing[:, :3], passing[:, 3:])
    return to_srgb(blurred / _FRAMES), to_srgb(torch.lerp(behind, front[:, :3], mask))


def _paths(count: int, moments: int, max_path: float, dice: Dice) -> Tensor:
    """Random walks with inertia and sudden jerks: (B, moments, 2) pixels around their mean, which is at 0."""
    heading = dice.uniform((count, 1, 1), 0, 2 * torch.pi)
    drift = torch.cat((heading.cos(), heading.sin()), -1)
    jerks = dice.normal((count, moments, 2)) * (1 + 8 * (dice.uniform((count, moments, 1)) < 0.03))
    restlessness = dice.log_uniform((count, 1, 1), 0.01, 0.6)
    walk = (drift + restlessness * jerks.cumsum(1)).cumsum(1)
    walk = walk - walk.mean(1, keepdim=True)
    reach = walk.abs().amax((1, 2), keepdim=True)
    return walk / reach * dice.uniform((count, 1, 1), 0.5, max_path) / 2


def _kernels(paths: Tensor) -> Tensor:
    """How long the light of a point falls on each pixel around it: (B, K, K), summing to 1; K = 2 * MARGIN + 1."""
    count, moments, _ = paths.shape
    side = 2 * MARGIN + 1
    place = (paths + MARGIN).clamp(0, side - 1.001)
    corner = place.floor()
    part = place - corner
    kernels = torch.zeros(count, side * side, device=paths.device)
    for down in (0, 1):
        for right in (0, 1):
            weight = (part[..., 0] if down else 1 - part[..., 0]) * (part[..., 1] if right else 1 - part[..., 1])
            index = ((corner[..., 0] + down) * side + corner[..., 1] + right).long()
            kernels.scatter_add_(1, index, weight / moments)
    return kernels.view(count, side, side)


def _convolve(image: Tensor, kernels: Tensor) -> Tensor:
    """Each sample with its own kernel (B, K, K), as light. Around the border it wraps, which MARGIN covers."""
    height, width = image.shape[2:]
    side = kernels.shape[-1]
    padded = functional.pad(kernels[:, None], (0, width - side, 0, height - side))
    centred = padded.roll((-(side // 2), -(side // 2)), (2, 3))
    spectrum = torch.fft.rfft2(to_light(image)) * torch.fft.rfft2(centred)
    return to_srgb(torch.fft.irfft2(spectrum, s=(height, width)).clamp(0, 1))


def _motions(count: int, max_path: float, side: int, dice: Dice) -> Tensor:
    """(B, frames, 2, 3) affine maps of coordinates in [-1, 1], as `affine_grid` takes them; on average, at rest."""
    shift = _paths(count, _FRAMES, max_path, dice) * 2 / side
    # An edge moves by about as much as the centre: max_path / side radians.
    turn, zoom = (_paths(count, _FRAMES, max_path, dice)[..., 0] / side for _ in range(2))
    scale = 1 + zoom * (dice.uniform((count, 1)) < 0.5)
    turn = turn * (dice.uniform((count, 1)) < 0.5)
    rows = (
        scale * turn.cos(),
        -scale * turn.sin(),
        shift[..., 0],
        scale * turn.sin(),
        scale * turn.cos(),
        shift[..., 1],
    )
    return torch.stack(rows, -1).view(count, _FRAMES, 2, 3)


def _warp(light: Tensor, maps: Tensor) -> Tensor:
    grid = functional.affine_grid(maps, list(light.shape), align_corners=False)
    return functional.grid_sample(light, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
