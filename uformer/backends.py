"""How a network runs fast here: on CUDA and the CPU with PyTorch, on the CPU with OpenVINO."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from uformer.checkpoint import Weights
from uformer.devices import find_device, prefers_bfloat16

logger = logging.getLogger(__name__)

Precision = Literal["bfloat16", "float32"]
# The value that means 1.0, by type of pixels.
FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


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

    def prepare(self, height: int, width: int, *, steady: bool = False) -> None:
        """Make ready for tiles of height × width, and stay so until `release` was called as often.

        Whoever has tiles calls it first, in a thread of his own: it may take as long as compiling the network, and
        where that is left to `run`, all others wait for it. A shape that does not fit into memory is left to `run` to
        report.
        steady: such tiles will run for so long that `between` will at times have something to do, which is made ready
        too, without waiting for it.
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


def open_backend(
    weights: Weights,
    *,
    device: str = "auto",
    precision: str = "auto",
    cpu_backend: str = "auto",
    threads: int | None = None,
    cache_dir: Path | None = None,
    alone: bool = False,
    begin_thread: Callable[[], None] | None = None,
) -> Backend:
    """Make the network with these weights ready to run, as fast as this machine can.

    device: auto (CUDA where there is one), cpu, cuda or cuda:N. precision: bfloat16, float32, or auto: the faster one
        on this hardware. cpu_backend: openvino, torch, or auto: OpenVINO where it is installed.
    threads: on the CPU; None for all cores. cache_dir: where compiled graphs are kept between runs. alone: nobody
        more urgent will want to run in the middle of what runs long, so nothing is made ready for that.
    begin_thread: called at the beginning of each thread that compiles graphs.
    Raises ValueError for a choice that does not exist here, OutOfMemory if the weights do not fit on the device.
    """
    for value, choices in ((precision, ("auto", "bfloat16", "float32")), (cpu_backend, ("auto", "openvino", "torch"))):
        if value not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(choices)}.")
    device = find_device(device)
    chosen: Precision
    if precision == "auto":
        chosen = "bfloat16" if prefers_bfloat16(device) else "float32"
    else:
        chosen = "bfloat16" if precision == "bfloat16" else "float32"
    available = importlib.util.find_spec("openvino") is not None
    if device == "cpu" and cpu_backend == "openvino" and not available:
        raise ValueError("OpenVINO is not installed: `pip install openvino`, or choose the CPU backend torch.")
    if device == "cpu" and cpu_backend != "torch" and available:
        try:
            from uformer.openvino_backend import OpenVinoBackend

            return OpenVinoBackend(
                weights,
                precision=chosen,
                threads=threads,
                cache_dir=cache_dir,
                alone=alone,
                begin_thread=begin_thread,
            )
        except (ImportError, RuntimeError) as error:
            if cpu_backend == "openvino":
                raise ValueError(f"OpenVINO does not start here: {error}") from error
            logger.warning("PyTorch runs the network, for OpenVINO does not start: %s", error)
    # Only now, for importing PyTorch takes seconds.
    from uformer.torch_backend import TorchBackend

    return TorchBackend(weights, device=device, precision=chosen, threads=threads)
