"""A Uformer as an OpenVINO graph for tiles of one shape.

Built operation by operation rather than traced: that takes a fraction of a second instead of up to a
minute, and the score offsets of shifted windows stay two small inputs instead of a constant of 4096
numbers per window folded into every block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
class _Builder:
    """Adds operations; feature maps are (1, H, W, C), windows (N, 64, C)."""

    uformer: Uformer
    masks: dict[str, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.weights: dict[str, Array] = {
            name: parameter.detach().numpy() for name, parameter in self.uformer.named_parameters()
        }

    def network(self, image: Node) -> Node:
        """The whole U."""
        x = self.convolution(image, "input_proj.proj.0", stride=1)
        x = opset13.prelu(x, _constant(np.array([0.01])))
        skips = []
        for i in range(STAGES):
            x = self.stage(x, f"encoderlayer_{i}")
            skips.append(x)
            x = self.convolution(x, f"dowsample_{i}.conv.0", stride=2)
        x = self.stage(x, "conv")
        for i in range(STAGES):
            x = opset13.concat([self.upsample(x, f"upsample_{i}.deconv.0"), skips.pop()], 3)
            x = self.stage(x, f"decoderlayer_{i}")
        return self.convolution(x, "output_proj.proj.0", stride=1)

    def stage(self, x: Node, name: str) -> Node:
        """The blocks of one resolution."""
        for i, block in enumerate(self.uformer.get_submodule(f"{name}.blocks").children()):
            x = self.block(x, f"{name}.blocks.{i}", cast(LeWinBlock, block))
        return x

    def block(self, x: Node, name: str, block: LeWinBlock) -> Node:
        """Window attention and LeFF, each with its residual."""
        x = opset13.add(x, self.attention(self.norm(x, f"{name}.norm1"), name, block))
        y = opset13.gelu(self.linear(self.norm(x, f"{name}.norm2"), f"{name}.mlp.linear1.0"), "erf")
        y = opset13.gelu(self.depthwise(y, f"{name}.mlp.dwconv.0"), "erf")
        return opset13.add(x, self.linear(y, f"{name}.mlp.linear2.0"))

    def attention(self, x: Node, name: str, block: LeWinBlock) -> Node:
        """(Shifted) window attention."""
        _, height, width, dim = _shape(x)
        rows, columns, heads = height // WINDOW, width // WINDOW, block.attn.heads
        count = rows * columns
        if block.shift:
            x = _roll(x, block.shift)
        # Windows as two transposes of whole rows of pixels: (rows, 8, columns, 8·C) → (rows, columns, 8, 8·C).
        x = _transpose(_reshape(x, rows, WINDOW, columns, WINDOW * dim), 0, 2, 1, 3)
        x = _reshape(x, count, TOKENS, dim)
        if block.modulator is not None:
            x = opset13.add(x, _constant(self.weights[f"{name}.modulator.weight"][None]))

        weights, biases = self.projections(f"{name}.attn.qkv", dim, heads)
        query, key, value = (
            _transpose(_reshape(_affine(x, w, b), count, TOKENS, heads, dim // heads), 0, 2, 1, 3)
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
        x = _reshape(_transpose(mixed, 0, 2, 1, 3), count, TOKENS, dim)
        x = self.linear(x, f"{name}.attn.proj")
        x = _transpose(_reshape(x, rows, columns, WINDOW, WINDOW * dim), 0, 2, 1, 3)
        x = _reshape(x, 1, height, width, dim)
        return _roll(x, -block.shift) if block.shift else x

    def projections(self, name: str, dim: int, heads: int) -> tuple[list[Array], list[Array]]:
        """Weights and biases of query, key and value; the query's carry the scale of the scores."""
        scale = (dim // heads) ** -0.5
        kv_weight, kv_bias = self.weights[f"{name}.to_kv.weight"], self.weights[f"{name}.to_kv.bias"]
        return (
            [self.weights[f"{name}.to_q.weight"] * scale, kv_weight[:dim], kv_weight[dim:]],
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

    def convolution(self, x: Node, name: str, *, stride: int) -> Node:
        """A convolution padded by one pixel."""
        x = _transpose(x, 0, 3, 1, 2)
        x = opset13.convolution(x, _constant(self.weights[f"{name}.weight"]), [stride] * 2, [1, 1], [1, 1], [1, 1])
        return self.biased(x, name)

    def depthwise(self, x: Node, name: str) -> Node:
        """A 3×3 depth-wise convolution padded by one pixel."""
        kernel = self.weights[f"{name}.weight"]
        x = _transpose(x, 0, 3, 1, 2)
        x = opset13.group_convolution(x, _constant(kernel[:, None]), [1, 1], [1, 1], [1, 1], [1, 1])
        return self.biased(x, name)

    def upsample(self, x: Node, name: str) -> Node:
        """A 2×2 transposed convolution with stride 2."""
        x = _transpose(x, 0, 3, 1, 2)
        x = opset13.convolution_backprop_data(x, _constant(self.weights[f"{name}.weight"]), [2, 2])
        return self.biased(x, name)

    def biased(self, x: Node, name: str) -> Node:
        """A convolution's bias; (1, C, H, W) → (1, H, W, C)."""
        x = opset13.add(x, _constant(self.weights[f"{name}.bias"].reshape(1, -1, 1, 1)))
        return _transpose(x, 0, 2, 3, 1)


def _shape(x: Node) -> list[int]:
    return list(x.get_output_shape(0))


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


def _roll(x: Node, shift: int) -> Node:
    """Move a feature map `shift` pixels up and left, what leaves coming in again; faster than the Roll operation."""
    for axis in (1, 2):
        length = _shape(x)[axis]
        cut = shift % length
        parts: Sequence[tuple[int, int]] = ((cut, length), (0, cut))
        x = opset13.concat(
            [opset13.slice(x, _integers(a), _integers(b), _integers(1), _integers(axis)) for a, b in parts], axis
        )
    return x
