"""Running a network with OpenVINO on the CPU: one compiled graph per tile shape."""

from __future__ import annotations

import hashlib
import inspect
import io
import logging
import os
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from uformer import openvino_graph
from uformer.backends import FULL_SCALE, OutOfMemory, Precision, TorchBackend
from uformer.model import Uformer
from uformer.openvino_graph import build_graph, mask_values

logger = logging.getLogger(__name__)

Shape = tuple[int, int]
# Compiled graphs are kept up to this many pixels of tiles, which their working memory grows with.
KEPT_PIXELS = 1_300_000
# Working memory per pixel and embedding channel of a compiled graph, measured in bfloat16.
BYTES_PER_PIXEL_CHANNEL = 65
CACHE_BYTES = 4 << 30
ABANDONED_SECONDS = 3600
# PyTorch takes a tile of this size about as long as OpenVINO takes to compile a graph.
BRIDGED_PIXELS = 400_000


class _Compiled:
    """A graph ready to run tiles of one shape."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._masks = [mask_values(port.get_any_name()) for port in model.inputs[1:]]
        self._request = model.create_infer_request()

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, w, 3) → the residual, a view that the next call overwrites."""
        output = self._request.infer([image[None], *self._masks], share_inputs=True, share_outputs=True)
        residual: NDArray[np.float32] = output[0][0]
        return residual


class OpenVinoBackend:
    """A network as OpenVINO graphs, one per tile shape.

    PyTorch bridges the time until the first of them is compiled, unless one is kept on disk, and runs the shapes that
    OpenVINO cannot compile. Both compute in the same precision: single pixels of their results differ by two 8-bit
    levels at the most. bridge: False waits instead, and so does every backend from its first `prepare` on, so that
    results never depend on timing.
    """

    def __init__(
        self,
        model: Uformer,
        *,
        precision: Precision,
        threads: int | None = None,
        cache_dir: Path | None = None,
        bridge: bool = True,
    ) -> None:
        self._network = model.eval().requires_grad_(False)
        self._precision = precision
        self._bridge = TorchBackend(model, device="cpu", precision=precision, threads=threads)
        self._core = ov.Core()
        self._config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[precision],
        }
        if threads is not None:
            self._config["INFERENCE_NUM_THREADS"] = threads
        if cache_dir is not None:
            cache_dir.mkdir(parents=True, exist_ok=True)
            _prune(cache_dir, CACHE_BYTES)
        self._cache_dir = cache_dir
        self._graphs: OrderedDict[Shape, Future[_Compiled]] = OrderedDict()
        self._bridging = bridge
        self._refused: set[Shape] = set()
        self._lock = threading.Lock()
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="openvino-compile")

    @property
    def name(self) -> str:
        return f"openvino-cpu-{self._precision}"

    @property
    def memory_bytes(self) -> int:
        with self._lock:
            pixels = sum(height * width for height, width in self._graphs)
            graphs = len(self._graphs)
        weights = self._bridge.memory_bytes if self._precision == "float32" else self._bridge.memory_bytes // 2
        working = pixels * self._network.config.embed_dim * BYTES_PER_PIXEL_CHANNEL
        return self._bridge.memory_bytes + graphs * weights + working

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        height, width = batch.shape[1:3]
        try:
            compiled = self._compiled((height, width))
            if compiled is None:
                return self._bridge.run(batch)
            image = batch.astype(np.float32) / np.float32(FULL_SCALE[batch.dtype.name])
            for tile in image:
                tile += compiled.run(tile)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, OutOfMemory) or not _is_out_of_memory(error):
                raise
            self._forget((height, width))
            raise OutOfMemory(f"A tile of {width}x{height} pixels does not fit into memory.") from error
        return image

    def max_batch(self, height: int, width: int) -> int:
        # A batch is no faster per tile than its tiles one by one.
        del height, width
        return 1

    def prepare(self, height: int, width: int) -> None:
        # Not only for this shape: whoever prepares may fall back to smaller tiles, which must not be bridged either.
        self._bridging = False
        try:
            self._compiled((height, width))
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            logger.warning("The graph for tiles of %dx%d does not fit into memory: %s", width, height, error)
            self._forget((height, width))

    def close(self) -> None:
        self._compiler.shutdown(wait=True, cancel_futures=True)
        self._graphs.clear()
        self._bridge.close()

    def _graph(self, shape: Shape) -> Future[_Compiled]:
        """The graph for `shape`, being compiled if it is new; the least recently used ones make room."""
        with self._lock:
            if shape in self._graphs:
                self._graphs.move_to_end(shape)
                return self._graphs[shape]
            pixels = shape[0] * shape[1] + sum(height * width for height, width in self._graphs)
            while self._graphs and pixels > KEPT_PIXELS:
                (height, width), _ = self._graphs.popitem(last=False)
                pixels -= height * width
            self._graphs[shape] = self._compiler.submit(self._open, shape)
            return self._graphs[shape]

    def _open(self, shape: Shape) -> _Compiled:
        """A graph for tiles of `shape`; from the first one on there is no need of a bridge."""
        compiled = self._load(shape)
        self._bridging = False
        return compiled

    def _load(self, shape: Shape) -> _Compiled:
        """Take the graph for tiles of `shape` from the cache, or compile and keep it."""
        blob = self._blob(shape)
        if blob is None:
            return _Compiled(self._compile(shape))
        if blob.exists():
            try:
                return _Compiled(self._core.import_model(io.BytesIO(blob.read_bytes()), "CPU", self._config))
            except RuntimeError as error:
                logger.warning("Compiling again, for the cached graph %s cannot be read: %s", blob.name, error)
        model = self._compile(shape)
        partial = blob.with_suffix(f".{os.getpid()}.partial")
        try:
            partial.write_bytes(model.export_model().getbuffer())
            partial.replace(blob)
        except (OSError, RuntimeError) as error:
            logger.warning("The compiled graph %s could not be kept: %s", blob.name, error)
            partial.unlink(missing_ok=True)
        return _Compiled(model)

    def _compile(self, shape: Shape) -> ov.CompiledModel:
        return self._core.compile_model(build_graph(self._network, *shape), "CPU", self._config)

    def _compiled(self, shape: Shape) -> _Compiled | None:
        """The graph for tiles of `shape`, waited for; None where PyTorch is to run them."""
        if shape in self._refused:
            return None
        graph = self._graph(shape)
        if self._bridging and not graph.done() and shape[0] * shape[1] <= BRIDGED_PIXELS:
            blob = self._blob(shape)
            if blob is None or not blob.exists():
                return None
        try:
            return graph.result()
        except RuntimeError as error:
            if _is_out_of_memory(error):
                raise
            logger.warning("PyTorch runs tiles of %dx%d, for OpenVINO cannot compile them: %s", *shape[::-1], error)
            self._forget(shape)
            self._refused.add(shape)
            return None

    def _blob(self, shape: Shape) -> Path | None:
        """Where the graph for tiles of `shape` is kept on disk."""
        return self._cache_dir and self._cache_dir / f"{self._fingerprint}-{shape[0]}x{shape[1]}.blob"

    def _forget(self, shape: Shape) -> None:
        with self._lock:
            self._graphs.pop(shape, None)

    @cached_property
    def _fingerprint(self) -> str:
        """Names everything that a compiled graph depends on, but the shape of its tiles."""
        digest = hashlib.blake2b(digest_size=16)
        processor = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        for text in (ov.get_version(), processor, capabilities, sorted(self._config.items()), self._network.config):
            digest.update(f"{text}\n".encode())
        digest.update(inspect.getsource(openvino_graph).encode())
        for parameter in self._network.parameters():
            digest.update(parameter.numpy().data)
        return digest.hexdigest()


def _prune(folder: Path, limit: int) -> None:
    """Delete what a killed process left half written, and the oldest graphs until `limit` bytes are left."""
    for partial in folder.glob("*.partial"):
        if partial.stat().st_mtime < time.time() - ABANDONED_SECONDS:
            partial.unlink(missing_ok=True)
    total = 0
    for blob in sorted(folder.glob("*.blob"), key=lambda path: path.stat().st_mtime, reverse=True):
        total += blob.stat().st_size
        if total > limit:
            logger.info("Deleting the compiled graph %s: the cache is full.", blob.name)
            blob.unlink(missing_ok=True)


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether OpenVINO means that memory ran out; it has no exception of its own for that."""
    return isinstance(error, MemoryError) or "alloc" in str(error)
