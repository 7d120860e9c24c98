"""The network as PyTorch runs it: on CUDA, and on a CPU without OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uformer.backends import FULL_SCALE, OutOfMemory, Precision
from uformer.checkpoint import Weights
from uformer.layers import LeWinBlock
from uformer.model import Uformer
from uformer.modelfile import build_model

# Working memory per pixel and embedding channel of the eager network in float32, measured at its widest stage.
BYTES_PER_PIXEL_CHANNEL = 400
LARGEST_BATCH = 64


class TorchBackend:
    """The network as PyTorch runs it eagerly. The image itself stays float32, in whatever precision it runs.

    On the CPU `between` is called after every block; on a GPU, where batches are short, not at all.
    """

    def __init__(self, weights: Weights, *, device: str, precision: Precision, threads: int | None = None) -> None:
        """Raises OutOfMemory if the weights do not fit on the device."""
        if threads is not None and device == "cpu":
            torch.set_num_threads(threads)
        self._device = torch.device(device)
        self._precision = precision
        self._kind = {"bfloat16": torch.bfloat16, "float32": torch.float32}[precision]
        model = build_model(weights).requires_grad_(False)
        try:
            self._model: Uformer | None = model.to(self._device, self._kind)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(f"{weights.nbytes} bytes of weights do not fit into memory.") from error
        self._channels = weights.config.embed_dim
        self._bytes = weights.nbytes * self._kind.itemsize // 4
        # Measured on a GPU: the pixels of the largest batch, and the working memory that each of them took.
        self._most_pixels, self._pixel_bytes = 0, 0.0
        self._between: Callable[[], None] | None = None
        if self._device.type == "cpu":
            for block in model.modules():
                if isinstance(block, LeWinBlock):
                    block.register_forward_hook(self._pause)

    @property
    def name(self) -> str:
        return f"torch-{self._device.type}-{self._precision}"

    @property
    def memory_bytes(self) -> int:
        return self._bytes

    def run(
        self, batch: NDArray[Any], between: Callable[[], None] | None = None, *, likely: bool = True
    ) -> NDArray[np.float32]:
        del likely  # Calling it costs next to nothing here.
        if self._model is None:
            raise RuntimeError("This backend has been closed.")
        # What is interrupted has its own way of giving way, which does not concern this batch.
        interrupted, self._between = self._between, between
        try:
            with torch.inference_mode(), self._measured(batch.shape):
                return self._restored(self._model, batch)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
                raise
            message = f"{batch.shape[0]} tiles of {batch.shape[2]}x{batch.shape[1]} pixels do not fit into memory."
            raise OutOfMemory(message) from error
        finally:
            self._between = interrupted

    def prepare(self, height: int, width: int, *, steady: bool = False) -> None:
        # Eager PyTorch is ready for every shape.
        del height, width, steady

    def release(self, height: int, width: int) -> None:
        del height, width

    def max_batch(self, height: int, width: int) -> int:
        if self._device.type != "cuda":
            # On a CPU a batch is no faster per tile than its tiles one by one, and it needs more memory.
            return 1
        free, _ = torch.cuda.mem_get_info(self._device)
        reusable = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        tile = height * width * (self._pixel_bytes or self._channels * BYTES_PER_PIXEL_CHANNEL)
        return max(1, min(LARGEST_BATCH, int((free + reusable) // 2 // tile)))

    def close(self) -> None:
        self._model = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _restored(self, model: Uformer, batch: NDArray[Any]) -> NDArray[np.float32]:
        # The bytes travel as they are; the device widens them.
        pixels = torch.from_numpy(batch).to(self._device).to(torch.float32) / FULL_SCALE[batch.dtype.name]
        residual = model.residual(pixels.permute(0, 3, 1, 2).to(self._kind).contiguous())
        restored: NDArray[np.float32] = (pixels + residual.permute(0, 2, 3, 1)).contiguous().cpu().numpy()
        return restored

    @contextmanager
    def _measured(self, shape: tuple[int, ...]) -> Iterator[None]:
        """Learn from a batch of that shape what memory batches need, where it is a GPU's.

        Only if as much is held afterwards as before: else another model was loaded meanwhile, or a library took what it
        will keep, and that is no matter of pixels.
        """
        if self._device.type != "cuda":
            yield
            return
        torch.cuda.reset_peak_memory_stats(self._device)
        held = torch.cuda.memory_allocated(self._device)
        yield
        pixels = shape[0] * shape[1] * shape[2]
        if pixels >= self._most_pixels and torch.cuda.memory_allocated(self._device) == held:
            self._most_pixels = pixels
            self._pixel_bytes = (torch.cuda.max_memory_allocated(self._device) - held) / pixels

    def _pause(self, *_: object) -> None:
        if self._between is not None:
            self._between()


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch means that memory ran out; on the CPU it has no exception of its own for that."""
    # oneDNN says of memory that it cannot get for its own work only that there is no primitive.
    words = ("can't allocate memory", "could not create a primitive")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)
