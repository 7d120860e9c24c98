"""A Uformer as an OpenVINO graph, whole or in pieces.

Built operation by operation rather than traced: that takes a fraction of a second instead of up to a
minute, and the score offsets of shifted windows stay small inputs instead of a constant of 4096
numbers per window folded into every block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov
from openvino import Node, opset13

from uformer.architecture import STAGE_NAMES, STAGES
from uformer.checkpoint import Weights
from uformer.openvino_attention import Attention
from uformer.openvino_nodes import FeatureMap, affine, constant, integers, reshape, transpose
from uformer.openvino_plan import Piece, Port


def build_whole(weights: Weights, pieces: Sequence[Piece]) -> ov.Model:
    """The graph of all pieces, which are in one strip each.

    Inputs: the image, (height · width, 3) float32, RGB in [0, 1], then `mask_values` of their names. Output: what the
    network would add to it, same shape.
    """
    builder = _Builder(weights, edges=True)
    image = pieces[0].inputs[0].map
    node = opset13.parameter([image.height * image.width, image.dim], np.float32, name=image.name)
    maps = {image: FeatureMap(node, image.height, image.width)}
    for piece in pieces:
        tokens = builder.piece(piece, [maps[port.map] for port in piece.inputs])
        for port, made in zip(piece.outputs, tokens, strict=True):
            maps[port.map] = FeatureMap(made, port.map.height, port.map.width)
    return _model([maps[pieces[-1].outputs[0].map].tokens], [node], builder, "uformer")


def build_piece(weights: Weights, piece: Piece, *, narrow: bool) -> ov.Model:
    """The graph of one piece for one strip; narrow: maps between pieces are bfloat16.

    Inputs: the piece's, (rows · width, dim), then `mask_values` of their names. Outputs: the piece's.
    """
    builder = _Builder(weights, edges=False)
    inputs, maps = [], []
    for port in piece.inputs:
        first, end = port.span(0, piece.strips)
        node = _input(port, end - first, narrow)
        inputs.append(node)
        wide = opset13.convert(node, "f32") if narrow and not port.map.wide else node
        maps.append(FeatureMap(wide, end - first, port.map.width))
    outputs = [
        tokens if port.map.wide or not narrow else opset13.convert(tokens, "bf16")
        for port, tokens in zip(piece.outputs, builder.piece(piece, maps), strict=True)
    ]
    return _model(outputs, inputs, builder, f"{piece.part}_{piece.stage}_{piece.block}")


def _model(outputs: list[Node], inputs: list[Node], builder: _Builder, name: str) -> ov.Model:
    parameters = [*inputs, *builder.attention.masks.values()]
    for parameter in parameters:
        parameter.output(0).set_names({parameter.get_friendly_name()})
    return ov.Model(outputs, parameters, name)


def _input(port: Port, rows: int, narrow: bool) -> Node:
    kind = ov.Type.f32 if port.map.wide or not narrow else ov.Type.bf16
    return opset13.parameter([rows * port.map.width, port.map.dim], kind, name=port.map.name)


@dataclass
class _Builder:
    """Adds operations.

    edges: maps end at the tile's edges, so noughts are added around them; else the rows beyond a strip's come with it.
    """

    network: Weights
    edges: bool

    def __post_init__(self) -> None:
        self.weights = self.network.arrays
        self.attention = Attention(self.network, self.edges)

    def piece(self, piece: Piece, maps: Sequence[FeatureMap]) -> list[Node]:
        """The tokens of a piece's outputs."""
        if piece.part == "output":
            return [self.convolution(maps[0], "output_proj.proj.0", stride=1).tokens]
        name = f"{STAGE_NAMES[piece.stage]}.blocks.{piece.block}"
        if piece.part == "feed":
            wide, x = maps
            y = self.depthwise(wide, f"{name}.mlp.dwconv.0")
            return [opset13.add(x.tokens, self.linear(opset13.gelu(y.tokens, "erf"), f"{name}.mlp.linear2.0"))]
        x = maps[0] if piece.block else self.entrance(piece.stage, maps)
        y = replace(x, tokens=self.norm(x.tokens, f"{name}.norm1"))
        tokens = opset13.add(x.tokens, self.attention.add(y, piece.stage, piece.block))
        wide = self.linear(self.norm(tokens, f"{name}.norm2"), f"{name}.mlp.linear1.0")
        return [tokens, opset13.gelu(wide, "erf")]

    def entrance(self, stage: int, maps: Sequence[FeatureMap]) -> FeatureMap:
        """From the stage before, and the skip connection, to this one."""
        if stage == 0:
            x = self.convolution(maps[0], "input_proj.proj.0", stride=1)
            return replace(x, tokens=opset13.prelu(x.tokens, constant(np.array([0.01]))))
        if stage <= STAGES:
            return self.convolution(maps[0], f"dowsample_{stage - 1}.conv.0", stride=2)
        x = self.upsample(maps[0], f"upsample_{stage - STAGES - 1}.deconv.0")
        return replace(x, tokens=opset13.concat([x.tokens, maps[1].tokens], 1))

    @property
    def padding(self) -> list[int]:
        """Rows and columns that convolutions add on each side."""
        return [int(self.edges), 1]

    def linear(self, x: Node, name: str) -> Node:
        """A linear layer on the last axis."""
        return affine(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, x: Node, name: str) -> Node:
        """Layer normalisation of the last axis."""
        x = opset13.mvn(x, integers(-1), True, 1e-5, "inside_sqrt")
        x = opset13.multiply(x, constant(self.weights[f"{name}.weight"]))
        return opset13.add(x, constant(self.weights[f"{name}.bias"]))

    def convolution(self, x: FeatureMap, name: str, *, stride: int) -> FeatureMap:
        """A 3×3 or 4×4 convolution, padded."""
        weight = constant(self.weights[f"{name}.weight"])
        y = opset13.convolution(_to_image(x), weight, [stride] * 2, self.padding, self.padding, [1, 1])
        return self.biased(y, name)

    def depthwise(self, x: FeatureMap, name: str) -> FeatureMap:
        """A 3×3 depth-wise convolution, padded."""
        weight = constant(self.weights[f"{name}.weight"][:, None])
        return self.biased(
            opset13.group_convolution(_to_image(x), weight, [1, 1], self.padding, self.padding, [1, 1]),
            name,
        )

    def upsample(self, x: FeatureMap, name: str) -> FeatureMap:
        """A 2×2 transposed convolution with stride 2."""
        weight = constant(self.weights[f"{name}.weight"])
        return self.biased(opset13.convolution_backprop_data(_to_image(x), weight, [2, 2]), name)

    def biased(self, image: Node, name: str) -> FeatureMap:
        """A convolution's bias; (1, C, H, W) → tokens."""
        image = opset13.add(image, constant(self.weights[f"{name}.bias"].reshape(1, -1, 1, 1)))
        _, dim, height, width = image.get_output_shape(0)
        return FeatureMap(reshape(transpose(image, 0, 2, 3, 1), height * width, dim), height, width)


def _to_image(x: FeatureMap) -> Node:
    """Tokens → (1, C, H, W)."""
    return transpose(reshape(x.tokens, 1, x.height, x.width, x.dim), 0, 3, 1, 2)
