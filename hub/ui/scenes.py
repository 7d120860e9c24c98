"""Three scenes drawn with arithmetic alone: photos that anybody may use, and whose clean version is known.

Each function returns (height, width, 3) float32 linear-light RGB, nominally in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def still_life(height: int = 640, width: int = 960) -> Image:
    """Four glazed balls on a wooden table, ray traced with soft shadows and one reflection."""
    balls = [
        # centre x, y (up), z (away), radius; red, green, blue; gloss
        ((-1.55, 0.80, 4.6), 0.80, (0.75, 0.07, 0.03), 0.10),
        ((0.25, 1.05, 5.5), 1.05, (0.86, 0.44, 0.03), 0.08),
        ((1.75, 0.62, 4.3), 0.62, (0.10, 0.33, 0.06), 0.12),
        ((0.38, 0.36, 3.5), 0.36, (0.12, 0.10, 0.42), 0.16),
    ]
    centres = np.array([ball[0] for ball in balls], np.float32)
    radii = np.array([ball[1] for ball in balls], np.float32)
    paints = np.array([ball[2] for ball in balls], np.float32)
    gloss = np.array([ball[3] for ball in balls], np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    rays = np.stack([(x - width / 2) / width * 1.55, (height * 0.42 - y) / width * 1.55 - 0.10, np.ones_like(x)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    eye = np.broadcast_to(np.array([0.0, 1.75, -0.6], np.float32), rays.shape)

    def shade(origin: Image, direction: Image) -> tuple[Image, Image, Image, Image]:
        """Colour, hit point, normal and gloss of the nearest surface along each ray."""
        best = np.full(origin.shape[:2], np.inf, np.float32)
        normal = np.zeros_like(origin)
        colour = np.zeros_like(origin)
        shine = np.zeros_like(best)
        with np.errstate(divide="ignore", invalid="ignore"):
            floor = -origin[..., 1] / direction[..., 1]
        on_floor = (direction[..., 1] < -1e-4) & (floor > 1e-3)
        best = np.where(on_floor, floor, best)
        normal[on_floor] = (0.0, 1.0, 0.0)
        for centre, radius, paint, glaze in zip(centres, radii, paints, gloss, strict=True):
            away = origin - centre
            half = (away * direction).sum(-1)
            root = half**2 - (away**2).sum(-1) + radius**2
            distance = -half - np.sqrt(np.maximum(root, 0))
            hit = (root > 0) & (distance > 1e-3) & (distance < best)
            best = np.where(hit, distance, best)
            point = origin + direction * distance[..., None]
            normal = np.where(hit[..., None], (point - centre) / radius, normal)
            colour = np.where(hit[..., None], paint, colour)
            shine = np.where(hit, glaze, shine)
            on_floor &= ~hit
        seen = np.isfinite(best)
        point = origin + direction * np.where(seen, best, 0)[..., None]
        colour = np.where(on_floor[..., None], _wood(point[..., 0], point[..., 2]), colour)
        shine = np.where(on_floor, 0.04, shine).astype(np.float32)
        light = np.array([-3.2, 5.5, 0.2], np.float32) - point
        light /= np.linalg.norm(light, axis=-1, keepdims=True)
        shadow = np.ones_like(best)
        for centre, radius in zip(centres, radii, strict=True):
            offset = centre - point
            along = (offset * light).sum(-1)
            miss = np.sqrt(np.maximum((offset**2).sum(-1) - along**2, 0))
            soft = np.clip((miss - radius) / (0.10 * np.maximum(along, 0.1)) + 0.5, 0, 1)
            shadow = np.where((along > 0.05) & seen, np.minimum(shadow, soft), shadow)
        facing = np.clip((normal * light).sum(-1), 0, 1) * shadow
        halfway = light - direction
        halfway /= np.linalg.norm(halfway, axis=-1, keepdims=True)
        glint = np.clip((normal * halfway).sum(-1), 0, 1) ** 90 * shadow * np.minimum(shine * 9, 1)
        lit = colour * (0.10 + 0.95 * facing)[..., None] + 0.8 * glint[..., None]
        wall = np.array([0.060, 0.085, 0.100], np.float32) * (1.25 - 0.9 * np.abs(direction[..., :1] + 0.25))
        return np.where(seen[..., None], lit, np.maximum(wall, 0.012)), point, normal, shine

    image, point, normal, shine = shade(eye, rays)
    mirror = rays - 2 * (rays * normal).sum(-1, keepdims=True) * normal
    reflected, *_ = shade(point + normal * 2e-3, mirror)
    grazing = (1 - np.clip(-(rays * normal).sum(-1), 0, 1)) ** 5
    weight = np.where(shine > 0, shine + (1 - shine) * grazing * 0.6, 0)[..., None]
    return np.asarray(image * (1 - weight) + reflected * weight, np.float32)


def mountain_lake(height: int = 640, width: int = 960) -> Image:
    """Ridges in the haze at dusk, mirrored in a lake under the first stars."""
    rng = np.random.default_rng(7)
    horizon = int(height * 0.60)
    up = np.linspace(1, 0, horizon, dtype=np.float32)[:, None, None]
    low, middle, high = (np.array(c, np.float32) for c in ((0.95, 0.42, 0.18), (0.42, 0.20, 0.26), (0.03, 0.06, 0.17)))
    land = np.where(up < 0.45, low + (middle - low) * up / 0.45, middle + (high - middle) * (up - 0.45) / 0.55)
    land = np.repeat(land, width, axis=1)
    y, x = np.mgrid[0:horizon, 0:width].astype(np.float32)
    sun = np.hypot(x - 0.66 * width, y - 0.74 * height)
    land += np.exp(-((sun / (0.16 * width)) ** 2))[..., None] * np.array([0.55, 0.28, 0.08], np.float32)
    for _ in range(120):
        star = int(rng.integers(0, horizon // 2)), int(rng.integers(0, width))
        land[star] += rng.uniform(0.1, 0.7) * (1 - star[0] / (horizon / 2))
    clouds = _fractal(rng, horizon, width, stretch=6)
    band = np.exp(-(((up[:, :, 0] - 0.35) / 0.16) ** 2))
    land += (np.clip(clouds - 0.1, 0, 1) * band)[..., None] * np.array([0.55, 0.20, 0.14], np.float32)
    for depth in range(5):
        rise = 0.22 - 0.050 * depth
        ridge = horizon * (1 - rise - (0.36 - 0.062 * depth) * _ridge(rng, width, 5 + depth))
        near = (depth + 1) / 5
        haze = (
            np.array([0.42, 0.24, 0.25], np.float32) * (1 - near) + np.array([0.008, 0.016, 0.022], np.float32) * near
        )
        cover = np.clip(y - ridge[None, :] + 0.5, 0, 1)[..., None]
        texture = 1 + 0.35 * near * _fractal(rng, horizon, width, stretch=1)[..., None]
        land = land * (1 - cover) + haze * np.maximum(texture, 0.2) * cover
    rows = height - horizon
    depth_down = np.arange(rows, dtype=np.float32)[:, None] / rows
    waves = _fractal(rng, rows, width, stretch=2) * (1 + 7 * depth_down)
    source = np.clip(horizon - 1 - np.arange(rows)[:, None] * 1.15 + waves, 0, horizon - 1)
    columns = np.repeat(np.arange(width, dtype=np.float32)[None, :], rows, axis=0)
    mirrored = cv2.remap(land.astype(np.float32), columns, source.astype(np.float32), cv2.INTER_LINEAR)
    water = mirrored * (0.72 - 0.30 * depth_down)[..., None] + np.array([0.004, 0.010, 0.018], np.float32)
    return np.concatenate([land, water]).astype(np.float32)


def night_street(height: int = 640, width: int = 960) -> Image:
    """A row of houses with lit windows behind lamps out of focus, in the rain-wet street below."""
    rng = np.random.default_rng(11)
    ground = int(height * 0.70)
    fade = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = np.array([0.006, 0.010, 0.028], np.float32) + fade * np.array([0.030, 0.022, 0.034], np.float32)
    image = np.repeat(image, width, axis=1)
    left = 0
    while left < width:
        right = min(left + int(rng.integers(90, 160)), width)
        top = int(rng.integers(int(height * 0.10), int(height * 0.34)))
        wall = np.array([0.075, 0.042, 0.030], np.float32) * rng.uniform(0.5, 1.5) + rng.uniform(0, 0.02, 3)
        light = np.linspace(0.55, 1.25, ground - top, dtype=np.float32)[:, None, None]
        bricks = 1 + 0.10 * rng.standard_normal(((ground - top + 5) // 6, (right - left + 11) // 12, 1))
        pattern = cv2.resize(bricks.astype(np.float32), (right - left, ground - top), interpolation=cv2.INTER_NEAREST)
        image[top:ground, left:right] = wall * light * pattern[..., None]
        image[top : top + 5, left:right] *= 1.7
        for window_top in range(top + 24, ground - 60, 58):
            for window_left in range(left + 14, right - 30, 38):
                glow = rng.choice([0.02, 0.03, 0.45, 0.8], p=[0.3, 0.15, 0.3, 0.25])
                tint = np.array([1.0, 0.58, 0.22], np.float32) if rng.random() < 0.8 else np.array([0.6, 0.75, 0.9])
                pane = image[window_top : window_top + 36, window_left : window_left + 22]
                drop = np.linspace(1.15, 0.75, 36, dtype=np.float32)[: pane.shape[0], None, None]
                pane[:] = glow * tint * drop
                pane[17:19] *= 0.25
                pane[:, 10:12] *= 0.25
        left = right
    image = np.maximum(cv2.GaussianBlur(image, (0, 0), 0.8), 0)
    rows = height - ground
    below = np.arange(rows, dtype=np.float32)[:, None]
    ripple = _fractal(rng, rows, width, stretch=10) * (2 + 0.12 * below)
    columns = np.arange(width, dtype=np.float32)[None, :] + ripple * 0.4
    source = np.clip(ground - 1 - below * 1.7 + ripple * 3, 0, ground - 1)
    wet = cv2.remap(image[:ground], columns.astype(np.float32), source.astype(np.float32), cv2.INTER_LINEAR)
    image[ground:] = cv2.GaussianBlur(wet, (0, 0), sigmaX=1.5, sigmaY=6) * 0.55 + 0.006
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for _ in range(16):
        centre = rng.uniform(0, width), rng.uniform(height * 0.42, height * 0.86)
        radius = rng.uniform(10, 30)
        tint = np.array([(1.0, 0.45, 0.10), (1.0, 0.75, 0.40), (0.25, 0.65, 1.0), (1.0, 0.15, 0.12)], np.float32)
        disc = np.clip(radius - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1)
        image += (disc * rng.uniform(0.10, 0.40))[..., None] * tint[rng.integers(0, 4)]
    return image.astype(np.float32)


def _wood(x: Image, z: Image) -> Image:
    """Planks with a grain that follows x, (H, W, 3)."""
    plank = np.floor(z * 1.1)
    offset = np.sin(plank * 12.9898) * 43.7
    rings = np.sin(x * 0.9 + offset + 9 * np.sin(z * 7.0 + offset + 0.6 * np.sin(x * 1.3 + offset)))
    fibre = np.sin(z * 160 + 3 * np.sin(x * 2.2 + offset)) * np.sin(z * 61 + offset)
    tone = 0.75 + 0.14 * rings + 0.07 * fibre + 0.10 * np.sin(plank * 78.2)
    gap = np.clip(np.abs(z * 1.1 - np.round(z * 1.1)) / 0.02, 0.25, 1)
    return np.asarray((tone * gap)[..., None] * np.array([0.36, 0.19, 0.085], np.float32), np.float32)


def _fractal(rng: np.random.Generator, height: int, width: int, *, stretch: int) -> Image:
    """Smooth noise of many scales, wider than high by `stretch`; zero mean, nearly within [-1, 1]."""
    total = np.zeros((height, width), np.float32)
    for octave in range(1, 6):
        grid = rng.standard_normal((2 ** (octave + 1) + 1, max(2, 2 ** (octave + 2) // stretch) + 1)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return total


def _ridge(rng: np.random.Generator, width: int, octaves: int) -> NDArray[np.float32]:
    """A jagged line of hills, (width,), about 0..1."""
    line = np.zeros(width, np.float32)
    for octave in range(octaves):
        grid = rng.uniform(0, 1, 4 * 2**octave + 1)
        line += np.interp(np.linspace(0, 4 * 2**octave, width), np.arange(grid.size), grid) * 0.5 ** (octave + 1)
    return line
