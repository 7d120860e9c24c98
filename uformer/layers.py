"""The Uformer's building blocks (Wang et al., CVPR 2022), on channels-last feature maps.

Feature maps are (B, H, W, C), H and W multiples of the window. Module names follow the official
code, because they are the names in its checkpoints.
"""

from __future__ import annotations

import torch
from einops import rearrange
from timm.layers.drop import DropPath
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn
from torch.nn import functional

from uformer.architecture import SHIFT, TOKENS, WIDENING, WINDOW, relative_position_index, shift_masks


def partition(x: Tensor) -> Tensor:
    """Cut (B, H, W, C) into windows: (B, rows, columns, 64, C), tokens in raster order."""
    return rearrange(x, "b (r i) (c j) d -> b r c (i j) d", i=WINDOW, j=WINDOW)


def unpartition(windows: Tensor) -> Tensor:
    """Put windows (B, rows, columns, 64, C) back together: the inverse of `partition`."""
    return rearrange(windows, "b r c (i j) d -> b (r i) (c j) d", i=WINDOW)


class QKV(nn.Module):
    """The query, key and value projections."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(dim, dim)
        self.to_kv = nn.Linear(dim, 2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) → (..., 3C): query, key, value, in one product."""
        weight = torch.cat((self.to_q.weight, self.to_kv.weight))
        bias = torch.cat((self.to_q.bias, self.to_kv.bias))
        return functional.linear(x, weight, bias)


class WindowAttention(nn.Module):
    """Multi-head self-attention within each window, with a learned relative position bias."""

    relative_position_index: Tensor
    lower_mask: Tensor
    right_mask: Tensor

    def __init__(self, dim: int, heads: int, *, shifted: bool) -> None:
        super().__init__()
        self.heads = heads
        self.shifted = shifted
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, heads))
        self.register_buffer("relative_position_index", torch.from_numpy(relative_position_index()))
        lower, right = (torch.from_numpy(mask) for mask in shift_masks())
        self.register_buffer("lower_mask", lower, persistent=False)
        self.register_buffer("right_mask", right, persistent=False)
        self.qkv = QKV(dim)
        self.proj = nn.Linear(dim, dim)
        trunc_normal_(self.relative_position_bias_table, std=0.02)

    def position_bias(self) -> Tensor:
        """The bias of every pair of tokens: (heads, 64, 64)."""
        table = self.relative_position_bias_table[self.relative_position_index.flatten()]
        return rearrange(table, "(n m) h -> h n m", n=TOKENS)

    def score_bias(self, rows: int, columns: int) -> Tensor:
        """What is added to the scores: (heads, 64, 64), or (rows, columns, heads, 64, 64) where shifted."""
        bias = self.position_bias()
        if not self.shifted:
            return bias
        bias = bias.repeat(rows, columns, 1, 1, 1)
        bias[-1] += self.lower_mask
        bias[:, -1] += self.right_mask
        return bias

    def forward(self, windows: Tensor) -> Tensor:
        """(B, rows, columns, 64, C) → the same shape."""
        rows, columns = windows.shape[1:3]
        q, k, v = rearrange(self.qkv(windows), "b r c n (t h d) -> t b r c h n d", t=3, h=self.heads)
        bias = self.score_bias(rows, columns).to(q.dtype)
        if bias.requires_grad and q.device.type == "cpu":
            # Nothing fused learns a bias on the CPU: what PyTorch falls back to takes a fifth longer.
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias
            out = scores.softmax(-1).to(v.dtype) @ v
        else:
            out = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(*q.shape[:-1], TOKENS))
        out = rearrange(out, "b r c h n d -> b r c n (h d)")
        result: Tensor = self.proj(out)
        return result


class LeFF(nn.Module):
    """Locally-enhanced feed-forward: widen, 3×3 depth-wise convolution, narrow."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Sequential(nn.Linear(dim, hidden), nn.GELU())
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden), nn.GELU())
        self.linear2 = nn.Sequential(nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → the same shape."""
        x = self.linear1(x)
        x = rearrange(self.dwconv(rearrange(x, "b h w c -> b c h w")), "b c h w -> b h w c")
        result: Tensor = self.linear2(x)
        return result


class LeWinBlock(nn.Module):
    """LeWin transformer block: (shifted) window attention, then LeFF, each with a residual."""

    def __init__(self, dim: int, heads: int, *, shifted: bool, modulator: bool, drop_path: float = 0.0) -> None:
        super().__init__()
        self.shift = SHIFT if shifted else 0
        self.modulator = nn.Embedding(TOKENS, dim) if modulator else None
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, shifted=shifted)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = LeFF(dim, WIDENING * dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def attend(self, x: Tensor) -> Tensor:
        """Window attention on (B, H, W, C), windows shifted by half their size where the block is."""
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        windows = partition(x)
        if self.modulator is not None:
            windows = windows + self.modulator.weight
        x = unpartition(self.attn(windows))
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        return x

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → the same shape."""
        x = x + self.drop_path(self.attend(self.norm1(x)))
        result: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return result


class Stage(nn.Module):
    """The LeWin blocks of one resolution."""

    def __init__(
        self, dim: int, depth: int, heads: int, *, shifted: list[bool], modulator: bool, drop_path: list[float]
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                LeWinBlock(dim, heads, shifted=shifted[i], modulator=modulator, drop_path=drop_path[i])
                for i in range(depth)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → the same shape."""
        result: Tensor = self.blocks(x)
        return result


class InputProj(nn.Module):
    """Image → features."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(3, dim, 3, padding=1), nn.LeakyReLU(inplace=True))

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, H, W, C)."""
        features: Tensor = self.proj(image)
        return rearrange(features, "b c h w -> b h w c")


class OutputProj(nn.Module):
    """Features → residual image."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(dim, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, 3, H, W)."""
        result: Tensor = self.proj(rearrange(x, "b h w c -> b c h w"))
        return result


class Downsample(nn.Module):
    """Half the resolution: 4×4 convolution with stride 2."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(dim_in, dim_out, 4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, H/2, W/2, C')."""
        features: Tensor = self.conv(rearrange(x, "b h w c -> b c h w"))
        return rearrange(features, "b c h w -> b h w c")


class Upsample(nn.Module):
    """Twice the resolution: 2×2 transposed convolution with stride 2."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.deconv = nn.Sequential(nn.ConvTranspose2d(dim_in, dim_out, 2, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, 2H, 2W, C')."""
        features: Tensor = self.deconv(rearrange(x, "b h w c -> b c h w"))
        return rearrange(features, "b c h w -> b h w c")
