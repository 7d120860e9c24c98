"""Running a network with OpenVINO on the CPU: graphs compiled for each tile shape."""

from __future__ import annotations

import hashlib
import inspect
import io
import logging
import os
import sys
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from uformer import openvino_chain, openvino_graph, openvino_plan, openvino_whole
from uformer.backends import FULL_SCALE, OutOfMemory, Precision, TorchBackend
from uformer.model import Uformer
from uformer.openvino_chain import Chain, working_bytes
from uformer.openvino_graph import build_piece, build_whole
from uformer.openvino_plan import Piece, plan_pieces
from uformer.openvino_whole import Whole, whole_bytes

logger = logging.getLogger(__name__)

Shape = tuple[int, int]
# Graphs are kept up to this many bytes of working memory per embedding channel: three of 0.4 megapixels.
KEPT_BYTES_PER_CHANNEL = 100_000_000
CACHE_BYTES = 4 << 30
ABANDONED_SECONDS = 3600
# A strip has at most this many numbers per core: work for about 20 ms, and enough for all cores.
STRIP_NUMBERS = 400_000
# PyTorch takes a tile of this size about as long as OpenVINO takes to compile a graph.
BRIDGED_PIXELS = 400_000


class Form(NamedTuple):
    """What is compiled: for tiles of which shape, and whole or in pieces."""

    height: int
    width: int
    whole: bool = True

    @property
    def shape(self) -> Shape:
        return self.height, self.width


class OpenVinoBackend:
    """A network as OpenVINO graphs, compiled for each tile shape.

    One graph computes the whole network, which is fastest. Where `between` is likely to have something to do, a chain
    of pieces does so once it is compiled, and `between` is called after every strip of every piece. Which of them
    computes a tile, and what else runs in the middle, makes no difference to its pixels.

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
        self._strip_numbers = STRIP_NUMBERS * (threads or _cores())
        self._graphs: OrderedDict[Form, Future[Whole | Chain]] = OrderedDict()
        self._running: list[Shape] = []
        self._bridging = bridge
        self._refused: set[Form] = set()
        self._lock = threading.Lock()
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="openvino-compile")

    @property
    def name(self) -> str:
        return f"openvino-cpu-{self._precision}"

    @property
    def memory_bytes(self) -> int:
        with self._lock:
            graphs = dict(self._graphs)
        weights = self._bridge.memory_bytes if self._precision == "float32" else self._bridge.memory_bytes // 2
        return self._bridge.memory_bytes + sum(weights + self._working(*graph) for graph in graphs.items())

    def run(
        self, batch: NDArray[Any], between: Callable[[], None] | None = None, *, likely: bool = True
    ) -> NDArray[np.float32]:
        height, width = shape = batch.shape[1:3]
        with self._lock:
            self._running.append(shape)
        try:
            graph = (self._chain(shape) if between and likely else None) or self._whole(shape)
            if graph is None:
                return self._bridge.run(batch, between)
            image = batch.astype(np.float32) / np.float32(FULL_SCALE[batch.dtype.name])
            for number, tile in enumerate(image):
                if number and between is not None:
                    between()
                graph.run(tile, between)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, OutOfMemory) or not _is_out_of_memory(error):
                raise
            self._forget(shape)
            raise OutOfMemory(f"A tile of {width}x{height} pixels does not fit into memory.") from error
        finally:
            with self._lock:
                self._running.remove(shape)
        return image

    def max_batch(self, height: int, width: int) -> int:
        # A batch is no faster per tile than its tiles one by one.
        del height, width
        return 1

    def prepare(self, height: int, width: int) -> None:
        # Not only for this shape: whoever prepares may fall back to smaller tiles, which must not be bridged either.
        self._bridging = False
        try:
            self._whole((height, width))
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            logger.warning("The graph for tiles of %dx%d does not fit into memory: %s", width, height, error)
            self._forget((height, width))

    def close(self) -> None:
        self._compiler.shutdown(wait=True, cancel_futures=True)
        self._graphs.clear()
        self._bridge.close()

    def _whole(self, shape: Shape) -> Whole | Chain | None:
        """The graph for tiles of `shape`, waited for; None where PyTorch is to run them."""
        form = Form(*shape)
        if form in self._refused:
            return None
        graph = self._graph(form)
        if self._bridging and not graph.done() and shape[0] * shape[1] <= BRIDGED_PIXELS:
            blob = self._blob(form)
            if blob is None or not blob.exists():
                return None
        return self._opened(form, graph)

    def _chain(self, shape: Shape) -> Whole | Chain | None:
        """The chain for tiles of `shape`, if it is there; it is compiled for the next time, while others run."""
        form = Form(*shape, whole=False)
        if form in self._refused or self._bridging:
            return None
        graph = self._graph(form)
        return self._opened(form, graph) if graph.done() else None

    def _opened(self, form: Form, graph: Future[Whole | Chain]) -> Whole | Chain | None:
        """The graph, waited for; None, now and in future, where OpenVINO cannot compile it."""
        try:
            return graph.result()
        except RuntimeError as error:
            if _is_out_of_memory(error):
                raise
            logger.warning("OpenVINO cannot compile %s, so it is done without: %s", form, error)
            with self._lock:
                self._graphs.pop(form, None)
            self._refused.add(form)
            return None

    def _graph(self, form: Form) -> Future[Whole | Chain]:
        """What computes tiles of one form, being compiled if it is new; the least recently used idle ones make room."""
        with self._lock:
            if form in self._graphs:
                self._graphs.move_to_end(form)
                return self._graphs[form]
            kept = {other: self._working(other, graph) for other, graph in self._graphs.items()}
            excess = self._expected(form) + sum(kept.values())
            excess -= KEPT_BYTES_PER_CHANNEL * self._network.config.embed_dim
            for idle in [other for other in self._graphs if other.shape not in self._running]:
                if excess > 0:
                    del self._graphs[idle]
                    excess -= kept[idle]
            self._graphs[form] = self._compiler.submit(copy_context().run, self._open, form)
            return self._graphs[form]

    def _open(self, form: Form) -> Whole | Chain:
        """Take graphs from the cache, or compile and keep them; from the first ones on there is no need of a bridge."""
        pieces, blob = self._plan(form), self._blob(form)
        models = None
        if blob is not None and blob.exists():
            try:
                models = self._import(blob)
            except (RuntimeError, ValueError, zipfile.BadZipFile) as error:
                logger.warning("Compiling again, for the cached graphs %s cannot be read: %s", blob.name, error)
        if models is None:
            models = [self._core.compile_model(graph, "CPU", self._config) for graph in self._build(form, pieces)]
            if blob is not None:
                _export(models, blob)
        opened = Whole(models[0]) if form.whole else Chain(pieces, models, narrow=self._narrow)
        self._bridging = False
        return opened

    def _build(self, form: Form, pieces: list[Piece]) -> Iterable[ov.Model]:
        if form.whole:
            return [build_whole(self._network, pieces)]
        return (build_piece(self._network, piece, narrow=self._narrow) for piece in pieces)

    def _import(self, blob: Path) -> list[ov.CompiledModel]:
        with zipfile.ZipFile(blob) as archive:
            return [
                self._core.import_model(io.BytesIO(archive.read(name)), "CPU", self._config)
                for name in archive.namelist()
            ]

    def _plan(self, form: Form) -> list[Piece]:
        # In one piece nothing is cut into strips.
        strip_numbers = sys.maxsize if form.whole else self._strip_numbers
        return plan_pieces(self._network.config, *form.shape, strip_numbers)

    def _expected(self, form: Form) -> int:
        """Roughly what a graph will hold, but for the weights."""
        if form.whole:
            return whole_bytes(*form.shape, self._network.config.embed_dim)
        return working_bytes(self._plan(form), narrow=self._narrow)

    def _working(self, form: Form, graph: Future[Whole | Chain]) -> int:
        """Roughly what a graph holds, or will hold once it is compiled, but for the weights."""
        if graph.done() and not graph.cancelled() and graph.exception() is None:
            opened = graph.result()
            if isinstance(opened, Chain):
                return opened.memory_bytes
        return self._expected(form)

    @property
    def _narrow(self) -> bool:
        return self._precision == "bfloat16"

    def _blob(self, form: Form) -> Path | None:
        """Where the graphs of one form are kept on disk."""
        name = f"{self._fingerprint}-{form.height}x{form.width}{'' if form.whole else '-pieces'}.blob"
        return self._cache_dir and self._cache_dir / name

    def _forget(self, shape: Shape) -> None:
        with self._lock:
            for form in (Form(*shape), Form(*shape, whole=False)):
                self._graphs.pop(form, None)

    @cached_property
    def _fingerprint(self) -> str:
        """Names everything that compiled graphs depend on, but the shape of the tiles."""
        digest = hashlib.blake2b(digest_size=16)
        processor = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        settings = (sorted(self._config.items()), self._strip_numbers, self._network.config)
        for text in (ov.get_version(), processor, capabilities, *settings):
            digest.update(f"{text}\n".encode())
        for module in (openvino_plan, openvino_graph, openvino_chain, openvino_whole):
            digest.update(inspect.getsource(module).encode())
        for parameter in self._network.parameters():
            digest.update(parameter.numpy().data)
        return digest.hexdigest()


def _export(models: Iterable[ov.CompiledModel], blob: Path) -> None:
    """Keep compiled graphs in one file; a failure is told, for nothing depends on it."""
    partial = blob.with_suffix(f".{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            for number, model in enumerate(models):
                archive.writestr(f"{number:03}", model.export_model().getbuffer())
        partial.replace(blob)
    except (OSError, RuntimeError) as error:
        logger.warning("The compiled graphs %s could not be kept: %s", blob.name, error)
        partial.unlink(missing_ok=True)


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prune(folder: Path, limit: int) -> None:
    """Delete what a killed process left half written, and the oldest graphs until `limit` bytes are left."""
    for partial in folder.glob("*.partial"):
        if partial.stat().st_mtime < time.time() - ABANDONED_SECONDS:
            partial.unlink(missing_ok=True)
    total = 0
    for blob in sorted(folder.glob("*.blob"), key=lambda path: path.stat().st_mtime, reverse=True):
        total += blob.stat().st_size
        if total > limit:
            logger.info("Deleting the compiled graphs %s: the cache is full.", blob.name)
            blob.unlink(missing_ok=True)


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether OpenVINO means that memory ran out; it has no exception of its own for that."""
    return isinstance(error, MemoryError) or "alloc" in str(error)
