"""Operations of an OpenVINO graph, as the parts of a Uformer need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openvino import Node, opset13

Array = NDArray[np.float32]


@dataclass
class FeatureMap:
    """A feature map: tokens in raster order, (height · width, C).

    In two dimensions OpenVINO has no choice of layout; given four it takes them for an image and turns them to and fro.
    """

    tokens: Node
    height: int
    width: int

    @property
    def dim(self) -> int:
        return int(self.tokens.get_output_shape(0)[1])


def constant(values: NDArray[Any]) -> Node:
    # Shared, not copied: a model may have hundreds of megabytes of weights.
    return opset13.constant(np.ascontiguousarray(values, np.float32), shared_memory=True)


def integers(*values: int) -> Node:
    return opset13.constant(np.array(values, np.int64))


def reshape(x: Node, *shape: int) -> Node:
    return opset13.reshape(x, integers(*shape), False)


def transpose(x: Node, *order: int) -> Node:
    return opset13.transpose(x, integers(*order))


def part(x: Node, axis: int, first: int, end: int) -> Node:
    """What lies from `first` to before `end` along an axis."""
    return opset13.slice(x, integers(first), integers(end), integers(1), integers(axis))


def joined(parts: list[Node], axis: int) -> Node:
    return opset13.concat(parts, axis) if len(parts) > 1 else parts[0]


def affine(x: Node, weight: Array, bias: Array) -> Node:
    """A linear layer on the last axis; weight: (out, in)."""
    return opset13.add(opset13.matmul(x, constant(weight), False, True), constant(bias))
