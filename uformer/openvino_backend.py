"""Running a network with OpenVINO on the CPU: one compiled graph per tile shape."""

from __future__ import annotations

import hashlib
import inspect
import io
import logging
import os
import threading
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
# Compiled graphs are kept up to this many pixels of tiles: their working memory grows with them. One plan has 500,000.
KEPT_PIXELS = 800_000
# Working memory per pixel and embedding channel of a compiled graph, measured in bfloat16.
BYTES_PER_PIXEL_CHANNEL = 130
CACHE_BYTES = 4 << 30
# Plain PyTorch takes a tile of this size about as long as OpenVINO takes to compile a graph.
BRIDGED_PIXELS = 512 * 512


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
    """A network as OpenVINO graphs. Until a new tile shape is compiled, PyTorch runs its tiles.

    Both compute in the same precision, so it makes no visible difference which of them ran a tile.
    """

    def __init__(
        self, model: Uformer, *, precision: Precision, threads: int | None = None, cache_dir: Path | None = None
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
        weights = self._bridge.memory_bytes
        working = pixels * self._network.config.embed_dim * BYTES_PER_PIXEL_CHANNEL
        return weights * (1 + graphs) + working

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        height, width = batch.shape[1:3]
        graph = self._graph((height, width))
        if not graph.done() and height * width <= BRIDGED_PIXELS:
            return self._bridge.run(batch)
        try:
            compiled = graph.result()
            image = batch.astype(np.float32) / np.float32(FULL_SCALE[batch.dtype.name])
            for tile in image:
                tile += compiled.run(tile)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "alloc" not in str(error):
                raise
            with self._lock:
                self._graphs.pop((height, width), None)
            raise OutOfMemory(f"A tile of {width}x{height} pixels does not fit into memory.") from error
        return image

    def max_batch(self, height: int, width: int) -> int:
        # A batch is no faster per tile than its tiles one by one.
        del height, width
        return 1

    def compile(self, height: int, width: int) -> None:
        """Make ready for tiles of height × width, and return once that is done."""
        self._graph((height, width)).result()

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
        """Compile the graph for tiles of `shape`, or take it from the cache."""
        if self._cache_dir is None:
            return _Compiled(self._compile(shape))
        blob = self._cache_dir / f"{self._fingerprint}-{shape[0]}x{shape[1]}.blob"
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
        except OSError as error:
            logger.warning("The compiled graph %s could not be kept: %s", blob.name, error)
            partial.unlink(missing_ok=True)
        return _Compiled(model)

    def _compile(self, shape: Shape) -> ov.CompiledModel:
        return self._core.compile_model(build_graph(self._network, *shape), "CPU", self._config)

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
    """Delete the oldest compiled graphs until the rest takes at most `limit` bytes."""
    blobs = sorted(folder.glob("*.blob"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for blob in blobs:
        total += blob.stat().st_size
        if total > limit:
            logger.info("Deleting the compiled graph %s: the cache is full.", blob.name)
            blob.unlink(missing_ok=True)
