"""How a network runs fast here: on CUDA and the CPU with PyTorch, on the CPU with OpenVINO."""

from __future__ import annotations

import importlib.util
import logging
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from uformer.layers import LeWinBlock
from uformer.model import Uformer

logger = logging.getLogger(__name__)

Precision = Literal["bfloat16", "float32"]
# The value that means 1.0, by type of pixels.
FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
# Working memory per pixel and embedding channel of the eager network in float32, measured at its widest stage.
BYTES_PER_PIXEL_CHANNEL = 400
LARGEST_BATCH = 64


class OutOfMemory(RuntimeError):
    """A batch did not fit into memory; a smaller one may."""


class Backend(Protocol):
    """A network made ready to run on one device. `run` is for one thread at a time, all else for any.

    Between the parts of its work `run` may call `between`, in its own thread, and `between` may call `run` of this or
    another backend: so a long batch gives way to a more urgent one. The interrupted batch's results are the same, bit
    for bit. What `between` raises ends the batch, and is raised.
    """

    @property
    def name(self) -> str:
        """Library, device and precision, such as `openvino-cpu-bfloat16`."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Roughly what it holds while loaded."""
        ...

    def run(
        self, batch: NDArray[Any], between: Callable[[], None] | None = None, *, likely: bool = True
    ) -> NDArray[np.float32]:
        """Restore a batch.

        batch: (B, h, w, 3) uint8, uint16 or float32 RGB, h and w multiples of 128.
        likely: whether `between` will probably have something to do. If not, a backend may call it more rarely or not
        at all, where that is faster.
        Returns the same shape in float32, nominally in [0, 1], not clamped. Raises OutOfMemory.
        """
        ...

    def prepare(self, height: int, width: int, *, steady: bool = True) -> None:
        """Make ready for tiles of height × width, and stay so until `release` was called as often.

        Whoever has tiles calls it first, in a thread of his own: it may take as long as compiling the network, and
        where that is left to `run`, all others wait for it. A shape that does not fit into memory is left to `run` to
        report.
        steady: once it returns, what computes such tiles no longer depends on timing, and it is foreseen that `between`
        will often have something to do. If not, something slower may run the first tiles.
        Raises CancelledError (of concurrent.futures) when the backend is closed meanwhile; then it holds nothing.
        """
        ...

    def release(self, height: int, width: int) -> None:
        """Take one `prepare` back. Quick."""
        ...

    def max_batch(self, height: int, width: int) -> int:
        """The largest batch of tiles worth forming; at least 1. Quick, and safe from any thread."""
        ...

    def close(self) -> None:
        """Give its memory back, without waiting for anything; `run` must not be called again."""
        ...


class TorchBackend:
    """The network as PyTorch runs it eagerly. bfloat16 means autocast: sums and the image itself stay float32.

    On the CPU `between` is called after every block; on a GPU, where batches are short, not at all.
    """

    def __init__(self, model: Uformer, *, device: str, precision: Precision, threads: int | None = None) -> None:
        if threads is not None and device == "cpu":
            torch.set_num_threads(threads)
        self._device = torch.device(device)
        self._precision = precision
        self._model: Uformer | None = model.eval().requires_grad_(False).to(self._device)
        self._channels = model.config.embed_dim
        self._bytes = sum(parameter.nbytes for parameter in model.parameters())
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
        return int(self._bytes)

    def run(
        self, batch: NDArray[Any], between: Callable[[], None] | None = None, *, likely: bool = True
    ) -> NDArray[np.float32]:
        del likely  # Calling it costs next to nothing here.
        if self._model is None:
            raise RuntimeError("This backend has been closed.")
        scale = FULL_SCALE[batch.dtype.name]
        # What is interrupted has its own way of giving way, which does not concern this batch.
        interrupted, self._between = self._between, between
        try:
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bfloat16"),
            ):
                # The bytes travel as they are; the device widens them.
                pixels = torch.from_numpy(batch).to(self._device).to(torch.float32) / scale
                image = self._model(pixels.permute(0, 3, 1, 2).contiguous())
                restored: NDArray[np.float32] = image.permute(0, 2, 3, 1).contiguous().cpu().numpy()
                return restored
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
                raise
            message = f"{batch.shape[0]} tiles of {batch.shape[2]}x{batch.shape[1]} pixels do not fit into memory."
            raise OutOfMemory(message) from error
        finally:
            self._between = interrupted

    def prepare(self, height: int, width: int, *, steady: bool = True) -> None:
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
        tile = height * width * self._channels * BYTES_PER_PIXEL_CHANNEL
        return max(1, min(LARGEST_BATCH, int(free + reusable) // 2 // tile))

    def close(self) -> None:
        self._model = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _pause(self, *_: object) -> None:
        if self._between is not None:
            self._between()


def open_backend(
    model: Uformer,
    *,
    device: str = "auto",
    precision: str = "auto",
    cpu_backend: str = "auto",
    threads: int | None = None,
    cache_dir: Path | None = None,
    bridge: bool = True,
    begin_thread: Callable[[], None] | None = None,
) -> Backend:
    """Make `model` ready to run, as fast as this machine can; the backend owns it from then on.

    device: auto (CUDA where there is one), cpu, cuda or cuda:N. precision: bfloat16, float32, or auto: bfloat16 where
        the hardware computes it. cpu_backend: openvino, torch, or auto: OpenVINO where it is installed.
    threads: on the CPU; None for all cores. cache_dir: where compiled graphs are kept between runs. bridge: let PyTorch
        serve until OpenVINO's first graph is compiled, at the price of single pixels that differ by a level or two.
    begin_thread: called at the beginning of each thread that compiles graphs.
    Raises ValueError for a choice that does not exist here.
    """
    for value, choices in ((precision, ("auto", "bfloat16", "float32")), (cpu_backend, ("auto", "openvino", "torch"))):
        if value not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(choices)}.")
    device = find_device(device)
    chosen: Precision
    if precision == "auto":
        chosen = "bfloat16" if _computes_bfloat16(device) else "float32"
    else:
        chosen = "bfloat16" if precision == "bfloat16" else "float32"
    if device != "cpu":
        return TorchBackend(model, device=device, precision=chosen)
    available = importlib.util.find_spec("openvino") is not None
    if cpu_backend == "openvino" and not available:
        raise ValueError("OpenVINO is not installed: `pip install openvino`, or choose the CPU backend torch.")
    if available and cpu_backend != "torch":
        try:
            from uformer.openvino_backend import OpenVinoBackend

            return OpenVinoBackend(
                model,
                precision=chosen,
                threads=threads,
                cache_dir=cache_dir,
                bridge=bridge,
                begin_thread=begin_thread,
            )
        except (ImportError, RuntimeError) as error:
            if cpu_backend == "openvino":
                raise ValueError(f"OpenVINO does not start here: {error}") from error
            logger.warning("PyTorch runs the network, for OpenVINO does not start: %s", error)
    return TorchBackend(model, device=device, precision=chosen, threads=threads)


def find_device(device: str) -> str:
    """The device meant by `device`; raises ValueError if this machine has none such."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = ["cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count))]
    if device == "auto":
        return "cuda" if count else "cpu"
    if device not in known:
        raise ValueError(f"There is no device {device!r} here; there are {', '.join(known)}.")
    return device


def _computes_bfloat16(device: str) -> bool:
    """Whether the hardware multiplies bfloat16 by itself, rather than by way of float32."""
    if device != "cpu":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.exists():
        return False
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch means that memory ran out; on the CPU it has no exception of its own for that."""
    # oneDNN says of memory that it cannot get for its own work only that there is no primitive.
    words = ("can't allocate memory", "could not create a primitive")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)
