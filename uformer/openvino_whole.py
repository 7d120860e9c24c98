"""A network for tiles of one shape as one compiled graph: the fastest way, but nothing can run in the middle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from uformer.openvino_attention import mask_values

# Working memory per pixel and embedding channel of the compiled graph, measured in bfloat16.
BYTES_PER_PIXEL_CHANNEL = 65


class Whole:
    """The compiled graph of a whole network; for one thread at a time."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._masks = [mask_values(port.get_any_name()) for port in model.inputs[1:]]
        self._request = model.create_infer_request()

    def run(self, image: NDArray[np.float32], between: Callable[[], None] | None = None) -> None:
        """Restore a tile in place: (h, w, 3) RGB in [0, 1]. `between` is never called."""
        del between
        output = self._request.infer([image.reshape(-1, 3), *self._masks], share_inputs=True, share_outputs=True)
        image += output[0].reshape(image.shape)


def whole_bytes(height: int, width: int, channels: int) -> int:
    """Roughly what a compiled graph needs beside its weights."""
    return height * width * channels * BYTES_PER_PIXEL_CHANNEL
