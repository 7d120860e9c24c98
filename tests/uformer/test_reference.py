"""The network against a second implementation of the paper (arXiv 2106.03106), which shares no code with it.

The reference works on (B, C, pixels) with plain functions over a state dict. Instead of rolling the image it
lists, for every window, the pixels that are in it; instead of library layers it writes the sums out.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from uformer.architecture import VARIANTS, UformerConfig
from uformer.model import Uformer

Weights = dict[str, Tensor]
HEADS = {"encoderlayer_": (1, 2, 4, 8), "conv": (16,), "decoderlayer_": (16, 8, 4, 2)}


def window_pixels(height: int, width: int, shift: int) -> tuple[Tensor, Tensor]:
    """For every window its 64 pixels, as places in the flattened image, and on which side of a border they are.

    A shifted window that crosses the image's border goes on at the opposite one. Both (windows, 64).
    """
    places, sides = [], []
    for top in range(shift, height + shift, 8):
        for left in range(shift, width + shift, 8):
            pixels = [(top + y, left + x) for y in range(8) for x in range(8)]
            places.append([y % height * width + x % width for y, x in pixels])
            sides.append([2 * (y >= height) + (x >= width) for y, x in pixels])
    return torch.tensor(places), torch.tensor(sides)


def position_bias(table: Tensor) -> Tensor:
    """What each head adds to the score of each pair of pixels in a window: (heads, 64, 64)."""
    pixels = [(y, x) for y in range(8) for x in range(8)]
    rows = [[(qy - ky + 7) * 15 + (qx - kx + 7) for ky, kx in pixels] for qy, qx in pixels]
    return table[torch.tensor(rows)].permute(2, 0, 1)


def norm(x: Tensor, w: Weights, name: str) -> Tensor:
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).square().mean(1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * w[f"{name}.weight"][:, None] + w[f"{name}.bias"][:, None]


def linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return torch.einsum("oc,bc...->bo...", w[f"{name}.weight"], x) + w[f"{name}.bias"].reshape(
        1, -1, *[1] * (x.ndim - 2)
    )


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def convolve(image: Tensor, w: Weights, name: str, size: int, stride: int = 1) -> Tensor:
    """A convolution as a product with every patch of the image, zeros around it: (B, C, H, W) in and out."""
    batch, _, height, width = image.shape
    patches = functional.unfold(image, size, padding=1, stride=stride)
    flat = torch.einsum("ok,bkl->bol", w[f"{name}.weight"].flatten(1), patches) + w[f"{name}.bias"][:, None]
    return flat.reshape(batch, -1, height // stride, width // stride)


def convolve_each(image: Tensor, w: Weights, name: str) -> Tensor:
    """3x3 convolution of every channel by itself, as nine shifted copies."""
    height, width = image.shape[2:]
    padded = functional.pad(image, (1, 1, 1, 1))
    total = w[f"{name}.bias"].reshape(1, -1, 1, 1)
    for y in range(3):
        for x in range(3):
            factor = w[f"{name}.weight"][:, 0, y, x].reshape(1, -1, 1, 1)
            total = total + factor * padded[:, :, y : y + height, x : x + width]
    return total


def enlarge(image: Tensor, w: Weights, name: str) -> Tensor:
    """Every pixel becomes a square of four."""
    batch, _, height, width = image.shape
    squares = torch.einsum("coyx,bchw->bohywx", w[f"{name}.weight"], image)
    return squares.reshape(batch, -1, 2 * height, 2 * width) + w[f"{name}.bias"].reshape(1, -1, 1, 1)


def attention(x: Tensor, w: Weights, name: str, heads: int, sides: Tensor) -> Tensor:
    """(B, C, windows, 64) → the same; head by head."""
    depth = x.shape[1] // heads
    query = linear(x, w, f"{name}.qkv.to_q")
    key, value = linear(x, w, f"{name}.qkv.to_kv").chunk(2, 1)
    bias = position_bias(w[f"{name}.relative_position_bias_table"])
    apart = (sides[:, :, None] != sides[:, None, :]) * -100.0
    mixed = []
    for head in range(heads):
        own = slice(head * depth, (head + 1) * depth)
        scores = torch.einsum("bdwq,bdwk->bwqk", query[:, own], key[:, own]) / math.sqrt(depth) + bias[head] + apart
        share = (scores - scores.amax(-1, keepdim=True)).exp()
        share = share / share.sum(-1, keepdim=True)
        mixed.append(torch.einsum("bwqk,bdwk->bdwq", share, value[:, own]))
    return linear(torch.cat(mixed, 1), w, f"{name}.proj")


def block(image: Tensor, w: Weights, name: str, heads: int, shift: int) -> Tensor:
    """LeWin block: attention within windows, then the locally enhanced feed-forward."""
    batch, channels, height, width = image.shape
    places, sides = window_pixels(height, width, shift)
    x = image.flatten(2)
    windows = norm(x, w, f"{name}.norm1")[:, :, places]
    if f"{name}.modulator.weight" in w:
        windows = windows + w[f"{name}.modulator.weight"].T[:, None, :]
    update = torch.empty_like(x)
    update[:, :, places] = attention(windows, w, f"{name}.attn", heads, sides)
    x = x + update
    wide = gelu(linear(norm(x, w, f"{name}.norm2"), w, f"{name}.mlp.linear1.0"))
    wide = gelu(convolve_each(wide.reshape(batch, -1, height, width), w, f"{name}.mlp.dwconv.0"))
    x = x + linear(wide.flatten(2), w, f"{name}.mlp.linear2.0")
    return x.reshape(batch, channels, height, width)


def stage(image: Tensor, w: Weights, name: str, heads: int, *, shifts: bool) -> Tensor:
    number = 0
    while f"{name}.blocks.{number}.norm1.weight" in w:
        image = block(image, w, f"{name}.blocks.{number}", heads, 4 if shifts and number % 2 else 0)
        number += 1
    return image


def reference(image: Tensor, w: Weights, *, shift: bool, train_size: int) -> Tensor:
    """The whole network on (B, 3, H, W)."""

    def shifts(level: int) -> bool:
        return shift and train_size / 2**level > 8

    x = convolve(image, w, "input_proj.proj.0", 3)
    x = torch.where(x > 0, x, 0.01 * x)
    skipped = []
    for level in range(4):
        x = stage(x, w, f"encoderlayer_{level}", HEADS["encoderlayer_"][level], shifts=shifts(level))
        skipped.append(x)
        x = convolve(x, w, f"dowsample_{level}.conv.0", 4, stride=2)
    x = stage(x, w, "conv", HEADS["conv"][0], shifts=shifts(4))
    for step in range(4):
        x = torch.cat([enlarge(x, w, f"upsample_{step}.deconv.0"), skipped[3 - step]], 1)
        x = stage(x, w, f"decoderlayer_{step}", HEADS["decoderlayer_"][step], shifts=shifts(3 - step))
    return image + convolve(x, w, "output_proj.proj.0", 3)


def random_network(config: UformerConfig) -> Uformer:
    """A network in which every weight and every bias is random and matters."""
    model = Uformer(config).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(generator=generator)
            if name.startswith("output_proj"):
                parameter.mul_(0.2 / math.sqrt(parameter[0].numel()))  # So that the result stays near [0, 1].
            elif ".norm" in name and name.endswith("weight"):
                parameter.mul_(0.2).add_(1)
            elif name.endswith("bias"):
                parameter.mul_(0.2)
            elif "deconv" in name:
                parameter.div_(math.sqrt(parameter.shape[0]))
            elif "bias_table" not in name and "modulator" not in name:
                parameter.mul_(0.7 / math.sqrt(parameter[0].numel()))
    return model


def random_image(batch: int, height: int, width: int) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height + width))


@pytest.mark.parametrize(
    ("variant", "train_size", "batch", "height", "width"),
    [
        ("uformer_16", 128, 1, 128, 128),
        ("uformer_16", 128, 2, 256, 128),
        ("uformer_16", 256, 1, 256, 384),
        ("uformer_t", 128, 1, 256, 128),
        ("uformer_t", 256, 2, 128, 128),
        ("uformer_s", 128, 1, 128, 128),
        ("uformer_s", 256, 1, 128, 256),
        ("uformer_s_noshift", 128, 1, 128, 256),
        ("uformer_s_noshift", 256, 1, 128, 128),
        ("uformer_b", 128, 1, 128, 128),
        ("uformer_b", 256, 1, 128, 256),
    ],
)
def test_network_equals_the_paper(variant: str, train_size: int, batch: int, height: int, width: int) -> None:
    model = random_network(replace(VARIANTS[variant], train_size=train_size))
    image = random_image(batch, height, width)
    with torch.inference_mode():
        ours = model(image)
        theirs = reference(image, model.state_dict(), shift=model.config.shift, train_size=train_size)
    assert ours.shape == image.shape
    assert (ours - image).std() > 0.1  # The network does something, so that agreeing means something.
    assert (ours - theirs).abs().max() <= 1e-5


def test_the_network_that_learns_is_the_network_that_restores() -> None:
    """Attention is computed in another way where the position bias has a gradient."""
    model, image = random_network(VARIANTS["uformer_16"]), random_image(1, 128, 256)
    learning = model(image)
    with torch.inference_mode():
        restoring = model(image)
    assert (learning - restoring).abs().max() <= 1e-5
    learning.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in model.parameters())


def test_train_size_and_shift_are_seen_in_the_output() -> None:
    image, config = random_image(1, 128, 256), VARIANTS["uformer_16"]
    with torch.inference_mode():
        at_128 = random_network(config)(image)
        at_256 = random_network(replace(config, train_size=256))(image)
        never = random_network(replace(config, shift=False))(image)
    assert (at_128 - at_256).abs().max() > 1e-3
    assert (at_128 - never).abs().max() > 1e-3
