"""A Uformer as an OpenVINO graph, whole or in pieces.

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
from uformer.openvino_plan import Piece, Port

Array = NDArray[np.float32]


def build_whole(network: Uformer, pieces: Sequence[Piece]) -> ov.Model:
    """The graph of all pieces, which are in one strip each.

    Inputs: the image, (height · width, 3) float32, RGB in [0, 1], then `mask_values` of their names. Output: what the
    network would add to it, same shape.
    """
    builder = _Builder(network, edges=True)
    image = pieces[0].inputs[0].map
    node = opset13.parameter([image.height * image.width, image.dim], np.float32, name=image.name)
    maps = {image: _Map(node, image.height, image.width)}
    for piece in pieces:
        tokens = builder.piece(piece, [maps[port.map] for port in piece.inputs])
        for port, made in zip(piece.outputs, tokens, strict=True):
            maps[port.map] = _Map(made, port.map.height, port.map.width)
    return _model([maps[pieces[-1].outputs[0].map].tokens], [node], builder, "uformer")


def build_piece(network: Uformer, piece: Piece, *, narrow: bool) -> ov.Model:
    """The graph of one piece for one strip; narrow: maps between pieces are bfloat16.

    Inputs: the piece's, (rows · width, dim), then `mask_values` of their names. Outputs: the piece's.
    """
    builder = _Builder(network, edges=False)
    inputs, maps = [], []
    for port in piece.inputs:
        first, end = port.span(0, piece.strips)
        node = _input(port, end - first, narrow)
        inputs.append(node)
        wide = opset13.convert(node, "f32") if narrow and not port.map.wide else node
        maps.append(_Map(wide, end - first, port.map.width))
    outputs = [
        tokens if port.map.wide or not narrow else opset13.convert(tokens, "bf16")
        for port, tokens in zip(piece.outputs, builder.piece(piece, maps), strict=True)
    ]
    return _model(outputs, inputs, builder, f"{piece.part}_{piece.stage}_{piece.block}")


def _model(outputs: list[Node], inputs: list[Node], builder: _Builder, name: str) -> ov.Model:
    parameters = [*inputs, *builder.masks.values()]
    for parameter in parameters:
        parameter.output(0).set_names({parameter.get_friendly_name()})
    return ov.Model(outputs, parameters, name)


def _input(port: Port, rows: int, narrow: bool) -> Node:
    kind = ov.Type.f32 if port.map.wide or not narrow else ov.Type.bf16
    return opset13.parameter([rows * port.map.width, port.map.dim], kind, name=port.map.name)


def mask_values(name: str) -> Array:
    """What the input `rows_N` or `columns_N` takes: the score offsets of the last of N rows or columns of windows.

    All strips but a map's last take noughts for `rows_N`.
    """
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


_STAGE_NAMES = (
    *(f"encoderlayer_{i}" for i in range(STAGES)),
    "conv",
    *(f"decoderlayer_{i}" for i in range(STAGES)),
)


@dataclass
class _Builder:
    """Adds operations.

    edges: maps end at the tile's edges, so noughts are added around them, and shifted windows take the top after the
    bottom; else the rows beyond a strip's come with it.
    """

    uformer: Uformer
    edges: bool
    masks: dict[str, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.weights: dict[str, Array] = {
            name: parameter.detach().numpy() for name, parameter in self.uformer.named_parameters()
        }

    def piece(self, piece: Piece, maps: Sequence[_Map]) -> list[Node]:
        """The tokens of a piece's outputs."""
        if piece.part == "output":
            return [self.convolution(maps[0], "output_proj.proj.0", stride=1).tokens]
        name = f"{_STAGE_NAMES[piece.stage]}.blocks.{piece.block}"
        if piece.part == "feed":
            wide, x = maps
            y = self.depthwise(wide, f"{name}.mlp.dwconv.0")
            return [opset13.add(x.tokens, self.linear(opset13.gelu(y.tokens, "erf"), f"{name}.mlp.linear2.0"))]
        x = maps[0] if piece.block else self.entrance(piece.stage, maps)
        y = replace(x, tokens=self.norm(x.tokens, f"{name}.norm1"))
        tokens = opset13.add(x.tokens, self.attention(y, name, cast(LeWinBlock, self.uformer.get_submodule(name))))
        wide = self.linear(self.norm(tokens, f"{name}.norm2"), f"{name}.mlp.linear1.0")
        return [tokens, opset13.gelu(wide, "erf")]

    def entrance(self, stage: int, maps: Sequence[_Map]) -> _Map:
        """From the stage before, and the skip connection, to this one."""
        if stage == 0:
            x = self.convolution(maps[0], "input_proj.proj.0", stride=1)
            return replace(x, tokens=opset13.prelu(x.tokens, _constant(np.array([0.01]))))
        if stage <= STAGES:
            return self.convolution(maps[0], f"dowsample_{stage - 1}.conv.0", stride=2)
        x = self.upsample(maps[0], f"upsample_{stage - STAGES - 1}.deconv.0")
        return replace(x, tokens=opset13.concat([x.tokens, maps[1].tokens], 1))

    def attention(self, x: _Map, name: str, block: LeWinBlock) -> Node:
        """(Shifted) window attention; tokens in raster order again."""
        dim, heads = x.dim, block.attn.heads
        rows, columns = x.height // WINDOW, x.width // WINDOW
        count = rows * columns
        tokens = self.roll(x, block.shift) if block.shift else x.tokens
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
        return self.roll(replace(x, tokens=tokens), -block.shift) if block.shift else tokens

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

    @property
    def padding(self) -> list[int]:
        """Rows and columns that convolutions add on each side."""
        return [int(self.edges), 1]

    def roll(self, x: _Map, shift: int) -> Node:
        """The tokens moved `shift` pixels left, and up where there are edges, what leaves coming in again."""
        rows = _reshape(x.tokens, x.height, x.width * x.dim)
        if self.edges:
            rows = _turned(rows, 0, shift % x.height, x.height)
        return _reshape(_turned(rows, 1, shift * x.dim % (x.width * x.dim), x.width * x.dim), x.height * x.width, x.dim)

    def linear(self, x: Node, name: str) -> Node:
        """A linear layer on the last axis."""
        return _affine(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, x: Node, name: str) -> Node:
        """Layer normalisation of the last axis."""
        x = opset13.mvn(x, _integers(-1), True, 1e-5, "inside_sqrt")
        x = opset13.multiply(x, _constant(self.weights[f"{name}.weight"]))
        return opset13.add(x, _constant(self.weights[f"{name}.bias"]))

    def convolution(self, x: _Map, name: str, *, stride: int) -> _Map:
        """A 3×3 or 4×4 convolution, padded."""
        weight = _constant(self.weights[f"{name}.weight"])
        y = opset13.convolution(_to_image(x), weight, [stride] * 2, self.padding, self.padding, [1, 1])
        return self.biased(y, name)

    def depthwise(self, x: _Map, name: str) -> _Map:
        """A 3×3 depth-wise convolution, padded."""
        weight = _constant(self.weights[f"{name}.weight"][:, None])
        return self.biased(
            opset13.group_convolution(_to_image(x), weight, [1, 1], self.padding, self.padding, [1, 1]),
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


def _turned(rows: Node, axis: int, cut: int, length: int) -> Node:
    """What lies before `cut` moved behind the rest; faster than the Roll operation."""
    parts = ((cut, length), (0, cut))
    return opset13.concat(
        [opset13.slice(rows, _integers(a), _integers(b), _integers(1), _integers(axis)) for a, b in parts], axis
    )
