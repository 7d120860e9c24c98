"""What JPEG does to a picture, for a whole batch on the device; nothing is encoded."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 8
# ITU-T T.81, tables K.1 and K.2, as libjpeg scales them by quality.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1, 0, 1.402), (1, -0.344136, -0.714136), (1, 1.772, 0))


def compress(image: Tensor, quality: Tensor, halved: Tensor) -> Tensor:
    """The picture after JPEG and back, in steps of 1/255.

    image: (B, 3, H, W) RGB in [0, 1], H and W multiples of 16.
    quality: (B,) 1 to 100, libjpeg's scale. halved: (B,) booleans, 4:2:0 chroma instead of 4:4:4.
    """
    device = image.device
    pixels = (image.clamp(0, 1) * 255).round()
    planes = torch.einsum("ij,bjhw->bihw", torch.tensor(_TO_YCC, device=device), pixels)
    luma, chroma = planes[:, :1] - 128, planes[:, 1:]
    luma_table, chroma_table = (_tables(table, quality) for table in (_LUMA, _CHROMA))
    luma = _through_blocks(luma, luma_table)
    small = _through_blocks(functional.avg_pool2d(chroma, 2), chroma_table)
    # libjpeg's own triangle filter.
    small = functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    chroma = small.where(halved[:, None, None, None], _through_blocks(chroma, chroma_table))
    decoded = torch.einsum(
        "ij,bjhw->bihw", torch.tensor(_TO_RGB, device=device, dtype=luma.dtype), torch.cat((luma + 128, chroma), 1)
    )
    return decoded.round().clamp(0, 255) / 255


def _tables(table: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """Quantisation steps of every sample: (B, 8, 8)."""
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    steps: Tensor = ((torch.tensor(table, device=quality.device) * scale + 50) / 100).floor().clamp(1, 255)
    return steps


def _through_blocks(plane: Tensor, table: Tensor) -> Tensor:
    """Transform (B, C, H, W) block by block, round to the table's steps, transform back."""
    basis = _cosines(plane.device)
    count, channels, height, width = plane.shape
    blocks = plane.view(count, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).transpose(3, 4)
    steps = table[:, None, None, None]
    rounded = (basis @ blocks @ basis.T / steps).round() * steps
    result: Tensor = (basis.T @ rounded @ basis).transpose(3, 4).reshape(plane.shape)
    return result


def _cosines(device: torch.device) -> Tensor:
    """The orthonormal DCT-II of 8 values, as a matrix."""
    place = torch.arange(_BLOCK, device=device, dtype=torch.float32)
    basis: Tensor = torch.cos(torch.pi / _BLOCK * (place + 0.5) * place[:, None]) * (2 / _BLOCK) ** 0.5
    basis[0] *= 0.5**0.5
    return basis
