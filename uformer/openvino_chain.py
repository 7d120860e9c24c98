"""A network for tiles of one shape as a chain of compiled pieces, between which others may run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from uformer.architecture import SHIFT
from uformer.openvino_attention import mask_values
from uformer.openvino_plan import MapShape, Piece, Port, Rows

# Rows kept beside a map: above one of noughts, below one of noughts or the map's first rows again.
ABOVE, BELOW = 1, SHIFT
# Working memory of a compiled piece in bytes per number of its strip, measured in bfloat16.
WORKING_BYTES = 4.5


class Chain:
    """The compiled pieces of a network, run one after the other; for one thread at a time."""

    def __init__(self, pieces: Sequence[Piece], models: Sequence[ov.CompiledModel], *, narrow: bool) -> None:
        self._pieces = pieces
        self._narrow = narrow
        self._links = [_Link(piece, model) for piece, model in zip(pieces, models, strict=True)]
        self._spare: list[_Maps] = []
        self._runs = 0

    @property
    def memory_bytes(self) -> int:
        """Roughly what it holds, but for the weights."""
        return working_bytes(self._pieces, narrow=self._narrow, runs=max(1, self._runs))

    def run(self, image: NDArray[np.float32], between: Callable[[], None] | None = None) -> None:
        """Restore a tile in place: (h, w, 3) RGB in [0, 1].

        between: called after every strip but the last. It may run this chain on another tile.
        """
        maps = self._take()
        try:
            maps.pixels(self._pieces[0].inputs[0].map)[:] = image
            last = self._links[-1]
            for link in self._links:
                for strip in link.run(maps):
                    if between is not None and (link is not last or strip + 1 < link.piece.strips):
                        between()
            image += maps.pixels(last.piece.outputs[0].map)
        finally:
            self._spare.append(maps)

    def _take(self) -> _Maps:
        """Maps that no interrupted run uses. They are kept, for new memory is slow at first."""
        if not self._spare:
            self._spare.append(_Maps(self._pieces, narrow=self._narrow))
            self._runs += 1
        return self._spare.pop()


def working_bytes(pieces: Sequence[Piece], *, narrow: bool, runs: int = 1) -> int:
    """Roughly what a chain of `pieces` needs beside its weights while `runs` of its runs interrupt each other."""
    numbers = sum(prod(_stored(port.map)) // piece.strips for piece in pieces for port in piece.outputs)
    return runs * sum(_storage(pieces, narrow).values()) + int(numbers * WORKING_BYTES * (1 if narrow else 1.4))


class _Maps:
    """The memory of one run: all that lies between the pieces. Runs that interrupt each other have one each."""

    def __init__(self, pieces: Sequence[Piece], *, narrow: bool) -> None:
        storage = {
            name: ov.Tensor(ov.Type.u8, ov.Shape([size])).data for name, size in _storage(pieces, narrow).items()
        }
        self._rows: dict[MapShape, NDArray[Any]] = {}
        self._tensors: dict[MapShape, ov.Tensor] = {}
        for shape in _shapes(pieces):
            # NumPy has no bfloat16, but nothing here does more than copy.
            stored, kind = _stored(shape), _kind(shape, narrow)
            rows = np.ndarray(stored, np.float32 if kind == ov.Type.f32 else np.uint16, storage[shape.storage])
            tokens = rows.reshape(-1, shape.dim)
            self._rows[shape] = rows
            self._tensors[shape] = ov.Tensor(tokens, ov.Shape(list(tokens.shape)), kind)

    def pixels(self, shape: MapShape) -> NDArray[Any]:
        """The map's own rows, (height, width, dim): a view."""
        return self._rows[shape][ABOVE:-BELOW]

    def strip(self, port: Port, strip: int, strips: int) -> ov.Tensor:
        """What a piece reads or writes of a map in one strip, (rows · width, dim): a view."""
        first, end = ((ABOVE + row) * port.map.width for row in port.span(strip, strips))
        return ov.Tensor(self._tensors[port.map], ov.Coordinate([first, 0]), ov.Coordinate([end, port.map.dim]))

    def surround(self, port: Port) -> None:
        """Fill the rows beside a map that is about to be read."""
        rows = self._rows[port.map]
        if port.rows is Rows.HALO:
            rows[0] = rows[-BELOW] = 0
        elif port.rows is Rows.SHIFTED:
            rows[-BELOW:] = rows[ABOVE : ABOVE + SHIFT]

    def gather(self, port: Port) -> None:
        """Bring the rows that were written below a map to its top, where they belong."""
        if port.rows is Rows.SHIFTED:
            rows = self._rows[port.map]
            rows[ABOVE : ABOVE + SHIFT] = rows[-BELOW:]


class _Link:
    """One piece's graph, ready to run; it keeps nothing from one strip to the next."""

    def __init__(self, piece: Piece, model: ov.CompiledModel) -> None:
        self.piece = piece
        self._request = model.create_infer_request()
        # For each input that is a mask: its values in the last strip, and in the others.
        self._masks: dict[int, tuple[ov.Tensor, ov.Tensor]] = {}
        for number, port in list(enumerate(model.inputs))[len(piece.inputs) :]:
            name = port.get_any_name()
            self._masks[number] = ov.Tensor(mask_values(name)), ov.Tensor(mask_values(name, last=False))

    def run(self, maps: _Maps) -> Iterator[int]:
        """Run strip by strip, and yield the number of each as it is done."""
        piece, request = self.piece, self._request
        for port in piece.inputs:
            maps.surround(port)
        for strip in range(piece.strips):
            for number, port in enumerate(piece.inputs):
                request.set_input_tensor(number, maps.strip(port, strip, piece.strips))
            for number, (last, other) in self._masks.items():
                request.set_input_tensor(number, last if strip + 1 == piece.strips else other)
            for number, port in enumerate(piece.outputs):
                request.set_output_tensor(number, maps.strip(port, strip, piece.strips))
            request.infer()
            yield strip
        for port in piece.outputs:
            maps.gather(port)


def _shapes(pieces: Sequence[Piece]) -> set[MapShape]:
    return {port.map for piece in pieces for port in (*piece.inputs, *piece.outputs)}


def _storage(pieces: Sequence[Piece], narrow: bool) -> dict[str, int]:
    """The bytes of each storage: enough for the largest of its maps."""
    sizes: dict[str, int] = {}
    for shape in _shapes(pieces):
        size = prod(_stored(shape)) * _kind(shape, narrow).size
        sizes[shape.storage] = max(sizes.get(shape.storage, 0), size)
    return sizes


def _stored(shape: MapShape) -> tuple[int, int, int]:
    return ABOVE + shape.height + BELOW, shape.width, shape.dim


def _kind(shape: MapShape, narrow: bool) -> ov.Type:
    return ov.Type.bf16 if narrow and not shape.wide else ov.Type.f32
