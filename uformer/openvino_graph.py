"""A Uformer as an OpenVINO graph for tiles of one shape.

Built operation by operation rather than traced: that takes a fraction of a second instead of up to a
minute, and the score offsets of shifted windows stay two small inputs instead of a constant of 4096
numbers per window folded into every block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import Node, opset13

from uformer.layers import TOKENS, WINDOW, LeWinBlock, shift_masks
from uformer.model import STAGES, Uformer

Array = NDArray[np.float32]


def build_graph(network: Uformer, height: int, width: int) -> ov.Model:
    """The graph of `network` for tiles of height × width, multiples of 128.

    First input: the tile, (1, H, W, 3) float32, RGB in [0, 1]. The others: `mask_values` of their names.
    Output: what the network would add to the tile, same shape.
    """
    builder = _Builder(network)
    image = opset13.parameter([1, height, width, 3], np.float32, name="image")
    residual = builder.network(image)
    parameters = [image, *builder.masks.values()]
    for parameter in parameters:
        parameter.output(0).set_names({parameter.get_friendly_name()})
    return ov.Model([residual], parameters, "uformer")


def mask_values(name: str) -> Array:
    """What the input `rows_N` or `columns_N` takes: the score offsets of the last of N rows or columns of windows."""
    axis, count = name.split("_")
    values = np.zeros((int(count), TOKENS, TOKENS), np.float32)
    values[-1] = shift_masks()[axis == "columns"].numpy()
    return values.reshape(_mask_shape(axis, int(count)))


def _mask_shape(axis: str, count: int) -> list[int]:
    """Of scores in six dimensions: 1, rows, columns, heads, 64, 64."""
    return [1, count, 1, 1, TOKENS, TOKENS] if axis == "rows" else [1, 1, count, 1, TOKENS, TOKENS]


@dataclass
class _Map:
    """A feature map: tokens in raster order, (height · width, C).

    In two dimensions OpenVINO has no choice of layout; given four it takes them for an image and turns them to and fro.
    """

    tokens: Node
    height: int
    width: int

    @property
    def dim(self) -> int:
        return int(self.tokens.get_output_shape(0)[1])


@dataclass
class _Builder:
    """Adds operations."""

    uformer: Uformer
    masks: dict[str, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.weights: dict[str, Array] = {
            name: parameter.detach().numpy() for name, parameter in self.uformer.named_parameters()
        }

    def network(self, image: Node) -> Node:
        """The whole U: (1, H, W, 3) → the residual, the same shape."""
        _, height, width, _ = image.get_output_shape(0)
        x = self.convolution(
            _Map(_reshape(image, height * width, 3), height, width),
            "input_proj.proj.0",
            stride=1,
        )
        x = replace(x, tokens=opset13.prelu(x.tokens, _constant(np.array([0.01]))))
        skips = []
        for i in range(STAGES):
            x = self.stage(x, f"encoderlayer_{i}")
            skips.append(x)
            x = self.convolution(x, f"dowsample_{i}.conv.0", stride=2)
        x = self.stage(x, "conv")
        for i in range(STAGES):
            x, skip = self.upsample(x, f"upsample_{i}.deconv.0"), skips.pop()
            x = replace(x, tokens=opset13.concat([x.tokens, skip.tokens], 1))
            x = self.stage(x, f"decoderlayer_{i}")
        return _reshape(
            self.convolution(x, "output_proj.proj.0", stride=1).tokens,
            1,
            height,
            width,
            3,
        )

    def stage(self, x: _Map, name: str) -> _Map:
        """The blocks of one resolution."""
        for i, block in enumerate(self.uformer.get_submodule(f"{name}.blocks").children()):
            x = self.block(x, f"{name}.blocks.{i}", cast(LeWinBlock, block))
        return x

    def block(self, x: _Map, name: str, block: LeWinBlock) -> _Map:
        """Window attention and LeFF, each with its residual."""
        y = replace(x, tokens=self.norm(x.tokens, f"{name}.norm1"))
        tokens = opset13.add(x.tokens, self.attention(y, name, block))
        wide = opset13.gelu(
            self.linear(self.norm(tokens, f"{name}.norm2"), f"{name}.mlp.linear1.0"),
            "erf",
        )
        y = self.depthwise(replace(x, tokens=wide), f"{name}.mlp.dwconv.0")
        narrow = self.linear(opset13.gelu(y.tokens, "erf"), f"{name}.mlp.linear2.0")
        return replace(x, tokens=opset13.add(tokens, narrow))

    def attention(self, x: _Map, name: str, block: LeWinBlock) -> Node:
        """(Shifted) window attention; tokens in raster order again."""
        dim, heads = x.dim, block.attn.heads
        rows, columns = x.height // WINDOW, x.width // WINDOW
        count = rows * columns
        tokens = _roll(x, block.shift) if block.shift else x.tokens
        # To windows by moving whole rows of pixels: (rows, 8, columns, 8·C) → (rows, columns, 8, 8·C).
        tokens = _transpose(_reshape(tokens, rows, WINDOW, columns, WINDOW * dim), 0, 2, 1, 3)
        if block.modulator is not None:
            tokens = _reshape(tokens, count, TOKENS * dim)
            tokens = opset13.add(
                tokens,
                _constant(self.weights[f"{name}.modulator.weight"].reshape(1, -1)),
            )
        tokens = _reshape(tokens, count * TOKENS, dim)

        weights, biases = self.projections(f"{name}.attn.qkv", dim, heads)
        query, key, value = (
            _transpose(
                _reshape(_affine(tokens, w, b), count, TOKENS, heads, dim // heads),
                0,
                2,
                1,
                3,
            )
            for w, b in zip(weights, biases, strict=True)
        )
        scores = opset13.matmul(query, key, False, True)
        scores = opset13.add(scores, _constant(block.attn.position_bias().detach().numpy()[None]))
        if block.shift:
            scores = _reshape(scores, 1, rows, columns, heads, TOKENS, TOKENS)
            scores = opset13.add(scores, self.mask("rows", rows))
            scores = opset13.add(scores, self.mask("columns", columns))
            scores = _reshape(scores, count, heads, TOKENS, TOKENS)
        mixed = opset13.matmul(opset13.softmax(scores, -1), value, False, False)
        tokens = _reshape(_transpose(mixed, 0, 2, 1, 3), count * TOKENS, dim)
        tokens = self.linear(tokens, f"{name}.attn.proj")
        tokens = _transpose(_reshape(tokens, rows, columns, WINDOW, WINDOW * dim), 0, 2, 1, 3)
        tokens = _reshape(tokens, x.height * x.width, dim)
        return _roll(replace(x, tokens=tokens), -block.shift) if block.shift else tokens

    def projections(self, name: str, dim: int, heads: int) -> tuple[list[Array], list[Array]]:
        """Weights and biases of query, key and value; the query's carry the scale of the scores."""
        scale = (dim // heads) ** -0.5
        kv_weight, kv_bias = (
            self.weights[f"{name}.to_kv.weight"],
            self.weights[f"{name}.to_kv.bias"],
        )
        return (
            [
                self.weights[f"{name}.to_q.weight"] * scale,
                kv_weight[:dim],
                kv_weight[dim:],
            ],
            [self.weights[f"{name}.to_q.bias"] * scale, kv_bias[:dim], kv_bias[dim:]],
        )

    def mask(self, axis: str, count: int) -> Node:
        """The input `rows_N` or `columns_N`, shared by all blocks of that size."""
        name = f"{axis}_{count}"
        if name not in self.masks:
            self.masks[name] = opset13.parameter(_mask_shape(axis, count), np.float32, name=name)
        return self.masks[name]

    def linear(self, x: Node, name: str) -> Node:
        """A linear layer on the last axis."""
        return _affine(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, x: Node, name: str) -> Node:
        """Layer normalisation of the last axis."""
        x = opset13.mvn(x, _integers(-1), True, 1e-5, "inside_sqrt")
        x = opset13.multiply(x, _constant(self.weights[f"{name}.weight"]))
        return opset13.add(x, _constant(self.weights[f"{name}.bias"]))

    def convolution(self, x: _Map, name: str, *, stride: int) -> _Map:
        """A convolution padded by one pixel."""
        weight = _constant(self.weights[f"{name}.weight"])
        y = opset13.convolution(_to_image(x), weight, [stride] * 2, [1, 1], [1, 1], [1, 1])
        return self.biased(y, name)

    def depthwise(self, x: _Map, name: str) -> _Map:
        """A 3×3 depth-wise convolution padded by one pixel."""
        weight = _constant(self.weights[f"{name}.weight"][:, None])
        return self.biased(
            opset13.group_convolution(_to_image(x), weight, [1, 1], [1, 1], [1, 1], [1, 1]),
            name,
        )

    def upsample(self, x: _Map, name: str) -> _Map:
        """A 2×2 transposed convolution with stride 2."""
        weight = _constant(self.weights[f"{name}.weight"])
        return self.biased(opset13.convolution_backprop_data(_to_image(x), weight, [2, 2]), name)

    def biased(self, image: Node, name: str) -> _Map:
        """A convolution's bias; (1, C, H, W) → tokens."""
        image = opset13.add(image, _constant(self.weights[f"{name}.bias"].reshape(1, -1, 1, 1)))
        _, dim, height, width = image.get_output_shape(0)
        return _Map(_reshape(_transpose(image, 0, 2, 3, 1), height * width, dim), height, width)


def _to_image(x: _Map) -> Node:
    """Tokens → (1, C, H, W)."""
    return _transpose(_reshape(x.tokens, 1, x.height, x.width, x.dim), 0, 3, 1, 2)


def _constant(values: NDArray[Any]) -> Node:
    # Shared, not copied: a model may have hundreds of megabytes of weights.
    return opset13.constant(np.ascontiguousarray(values, np.float32), shared_memory=True)


def _integers(*values: int) -> Node:
    return opset13.constant(np.array(values, np.int64))


def _reshape(x: Node, *shape: int) -> Node:
    return opset13.reshape(x, _integers(*shape), False)


def _transpose(x: Node, *order: int) -> Node:
    return opset13.transpose(x, _integers(*order))


def _affine(x: Node, weight: Array, bias: Array) -> Node:
    return opset13.add(opset13.matmul(x, _constant(weight), False, True), _constant(bias))


def _roll(x: _Map, shift: int) -> Node:
    """The tokens moved `shift` pixels up and left, what leaves coming in again; faster than the Roll operation."""
    rows = _reshape(x.tokens, x.height, x.width * x.dim)
    for axis, length, step in ((0, x.height, 1), (1, x.width * x.dim, x.dim)):
        cut = shift * step % length
        parts: Sequence[tuple[int, int]] = ((cut, length), (0, cut))
        rows = opset13.concat(
            [opset13.slice(rows, _integers(a), _integers(b), _integers(1), _integers(axis)) for a, b in parts],
            axis,
        )
    return _reshape(rows, x.height * x.width, x.dim)
