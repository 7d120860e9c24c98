"""(Shifted) window attention as operations of an OpenVINO graph.

Scores, offsets and softmax are written so that OpenVINO computes them as one operation, and the scores of a whole map,
larger than all else, never lie in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from openvino import Node, opset13

from uformer.architecture import SHIFT, STAGE_NAMES, TOKENS, WINDOW, relative_position_index, shift_masks
from uformer.checkpoint import Weights
from uformer.openvino_nodes import Array, FeatureMap, affine, constant, joined, part, reshape, transpose

_MASK = "edges_"


def mask_values(name: str, *, last: bool = True) -> Array:
    """What the input `edges_RxC` takes: the score offsets of the windows that wrap around, (windows, 1, 64, 64).

    These are the last window of each row but the last row, then the last row. last: whether the strip is the map's
    last one, so that its last row does wrap around.
    """
    rows, columns = (int(number) for number in name.removeprefix(_MASK).split("x"))
    below, aside = shift_masks()
    values = np.zeros((rows + columns - 1, 1, TOKENS, TOKENS), np.float32)
    values[: rows - 1] = aside
    values[-1] = aside
    if last:
        values[rows - 1 :] += below
    return values


@dataclass
class Attention:
    """Adds the attention of blocks, and collects the inputs that they need besides the map, by name.

    edges: maps end at the tile's edges, so shifted windows take the top after the bottom; else a strip's rows come
    shifted.
    """

    network: Weights
    edges: bool
    masks: dict[str, Node] = field(default_factory=dict)

    def add(self, x: FeatureMap, stage: int, block: int) -> Node:
        """The tokens after a block's attention, in raster order."""
        name, heads = f"{STAGE_NAMES[stage]}.blocks.{block}", self.network.config.num_heads[stage]
        if self.network.config.shifts(stage, block):
            return self._shifted(x, name, heads)
        rows, columns = x.height // WINDOW, x.width // WINDOW
        return _to_raster(self._attend(_to_windows(x.tokens, rows, columns), name, heads), rows, columns)

    def _shifted(self, x: FeatureMap, name: str, heads: int) -> Node:
        """Attention in windows moved by half of one.

        Those that do not wrap around, nearly all, need no mask and go by themselves.
        """
        rows, columns = x.height // WINDOW, x.width // WINDOW
        numbers, margin = x.width * x.dim, SHIFT * x.dim
        inner = numbers - WINDOW * x.dim
        bands = self._bands(reshape(x.tokens, x.height, numbers), x.height)
        middles, sides = [], []
        for band, count in bands:
            middles.append(_to_windows(part(band, 1, margin, margin + inner), count, columns - 1))
            side = joined([part(band, 1, margin + inner, numbers), part(band, 1, 0, margin)], 1)
            sides.append(reshape(side, count * TOKENS, x.dim))

        wrapped = [*sides[:-1], middles[-1], sides[-1]]
        attended = self._attend(joined(wrapped, 0), name, heads, self._mask(rows, columns))
        ends = np.cumsum([0, *(int(tokens.get_output_shape(0)[0]) for tokens in wrapped)]).tolist()
        parts = [part(attended, 0, first, end) for first, end in pairwise(ends)]
        *sides, middle, corner = parts
        middles = [*(self._attend(tokens, name, heads) for tokens in middles[:-1]), middle]

        finished = []
        for tokens, side, (_, count) in zip(middles, [*sides, corner], bands, strict=True):
            height = count * WINDOW
            band = reshape(_to_raster(tokens, count, columns - 1), height, inner)
            side = reshape(side, height, numbers - inner)
            right, left = (
                part(side, 1, 0, numbers - inner - margin),
                part(side, 1, numbers - inner - margin, numbers - inner),
            )
            finished.append(joined([left, band, right], 1))
        if self.edges:
            last = finished.pop()
            cut = WINDOW - SHIFT
            finished = [part(last, 0, cut, WINDOW), *finished, part(last, 0, 0, cut)]
        return reshape(joined(finished, 0), x.height * x.width, x.dim)

    def _bands(self, rows: Node, height: int) -> list[tuple[Node, int]]:
        """All rows of windows but the last, if there are any, and the last; each with the number of rows of windows."""
        start = SHIFT if self.edges else 0
        last = part(rows, 0, start + height - WINDOW, height)
        if self.edges:
            last = joined([last, part(rows, 0, 0, SHIFT)], 0)
        before = height // WINDOW - 1
        return [*([(part(rows, 0, start, start + before * WINDOW), before)] if before else []), (last, 1)]

    def _attend(self, tokens: Node, name: str, heads: int, mask: Node | None = None) -> Node:
        """Attention within each window, (windows · 64, C)."""
        size, dim = tokens.get_output_shape(0)
        count, weights = size // TOKENS, self.network.arrays
        modulator = weights.get(f"{name}.modulator.weight")
        if modulator is not None:
            tokens = reshape(tokens, count, TOKENS * dim)
            tokens = opset13.add(tokens, constant(modulator.reshape(1, -1)))
            tokens = reshape(tokens, size, dim)
        query, key, value = (
            transpose(reshape(affine(tokens, weight, bias), count, TOKENS, heads, dim // heads), 0, 2, 1, 3)
            for weight, bias in self._projections(f"{name}.attn.qkv", dim, heads)
        )
        scores = opset13.matmul(query, key, False, True)
        scores = opset13.add(scores, constant(_position_bias(weights[f"{name}.attn.relative_position_bias_table"])))
        if mask is not None:
            scores = opset13.add(scores, mask)
        mixed = opset13.matmul(opset13.softmax(scores, -1), value, False, False)
        mixed = reshape(transpose(mixed, 0, 2, 1, 3), size, dim)
        return affine(mixed, weights[f"{name}.attn.proj.weight"], weights[f"{name}.attn.proj.bias"])

    def _projections(self, name: str, dim: int, heads: int) -> list[tuple[Array, Array]]:
        """Weights and biases of query, key and value; the query's carry the scale of the scores."""
        scale = (dim // heads) ** -0.5
        (q_weight, q_bias), (kv_weight, kv_bias) = (
            (self.network.arrays[f"{name}.{layer}.weight"], self.network.arrays[f"{name}.{layer}.bias"])
            for layer in ("to_q", "to_kv")
        )
        return [(q_weight * scale, q_bias * scale), (kv_weight[:dim], kv_bias[:dim]), (kv_weight[dim:], kv_bias[dim:])]

    def _mask(self, rows: int, columns: int) -> Node:
        """The input `edges_RxC`, shared by all blocks of that size."""
        name = f"{_MASK}{rows}x{columns}"
        if name not in self.masks:
            self.masks[name] = opset13.parameter([rows + columns - 1, 1, TOKENS, TOKENS], np.float32, name=name)
        return self.masks[name]


def _position_bias(table: Array) -> Array:
    """The bias of every pair of tokens: (1, heads, 64, 64)."""
    return table[relative_position_index()].transpose(2, 0, 1)[None]


def _to_windows(rows: Node, down: int, across: int) -> Node:
    """Rows of pixels → windows, by moving whole rows of theirs: (R, 8, C, 8·dim) → (R, C, 8, 8·dim)."""
    numbers = int(np.prod(rows.get_output_shape(0))) // (down * across * WINDOW)
    windows = transpose(reshape(rows, down, WINDOW, across, numbers), 0, 2, 1, 3)
    return reshape(windows, down * across * TOKENS, numbers // WINDOW)


def _to_raster(windows: Node, down: int, across: int) -> Node:
    """The tokens of windows in raster order."""
    dim = int(windows.get_output_shape(0)[1])
    rows = transpose(reshape(windows, down, across, WINDOW, WINDOW * dim), 0, 2, 1, 3)
    return reshape(rows, down * across * TOKENS, dim)
