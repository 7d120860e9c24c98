"""Running a network with OpenVINO on the CPU: graphs compiled for each tile shape."""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uformer.backends import FULL_SCALE, OutOfMemory, Precision
from uformer.checkpoint import Weights
from uformer.openvino_chain import Chain
from uformer.openvino_compiler import Compiler, Form, Shape
from uformer.openvino_whole import Whole

if TYPE_CHECKING:
    from uformer.torch_backend import TorchBackend

logger = logging.getLogger(__name__)

# Graphs are kept up to this many bytes of working memory per embedding channel: 1.2 megapixels of tiles.
KEPT_BYTES_PER_CHANNEL = 100_000_000


class OpenVinoBackend:
    """A network as OpenVINO graphs, compiled for each tile shape.

    One graph computes the whole network, which is fastest. Where `between` is likely to have something to do, a chain
    of pieces does so once it is compiled, and `between` is called after every strip of every piece. Which of them
    computes a tile, and what else runs in the middle, makes no difference to its pixels.

    PyTorch runs the shapes that OpenVINO cannot compile, in the same precision.

    alone: nobody more urgent is foreseen, so a chain is compiled only when it is first wanted. begin_thread: called at
    the beginning of each thread that compiles.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        precision: Precision,
        threads: int | None = None,
        cache_dir: Path | None = None,
        alone: bool = False,
        begin_thread: Callable[[], None] | None = None,
    ) -> None:
        self._weights = weights
        self._precision = precision
        self._threads = threads
        self._plain: TorchBackend | None = None
        self._plain_lock = threading.Lock()
        self._compiler = Compiler(weights, precision=precision, threads=threads, cache_dir=cache_dir)
        self._graphs: OrderedDict[Form, Future[Whole | Chain]] = OrderedDict()
        self._awaited: list[
            Future[Whole | Chain]
        ] = []  # Those that are still being made, in `_graphs` or not any more.
        self._running: list[Shape] = []
        self._held: Counter[Shape] = Counter()
        self._alone = alone
        self._refused: set[Form] = set()
        # Reentrant, because a graph that is made at once is settled by whoever asked for it.
        self._lock = threading.RLock()
        # Whole graphs are waited for and chains are not, so the ones get in the way of the others nowhere.
        self._whole_thread = ThreadPoolExecutor(1, "openvino-compile", begin_thread)
        self._chain_thread = ThreadPoolExecutor(1, "openvino-compile-chain", begin_thread)
        self._wholes = 0
        self._closed = False
        self._calm = threading.Condition()

    @property
    def name(self) -> str:
        return f"openvino-cpu-{self._precision}"

    @property
    def memory_bytes(self) -> int:
        with self._lock:
            graphs = dict(self._graphs)
            plain = self._plain
        size = self._weights.nbytes + (0 if plain is None else plain.memory_bytes)
        weights = self._weights.nbytes // (1 if self._precision == "float32" else 2)
        return size + sum(weights + self._working(*graph) for graph in graphs.items())

    def run(
        self, batch: NDArray[Any], between: Callable[[], None] | None = None, *, likely: bool = True
    ) -> NDArray[np.float32]:
        height, width = shape = batch.shape[1:3]
        with self._lock:
            self._running.append(shape)
        try:
            graph = (self._chain(shape) if between and likely else None) or self._whole(shape)
            if graph is None:
                return self._without_graph().run(batch, between)
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

    def prepare(self, height: int, width: int, *, steady: bool = False) -> None:
        shape = height, width
        with self._lock:
            self._held[shape] += 1
        try:
            self._ready(shape, steady)
        except BaseException as error:
            if not _is_out_of_memory(error):
                self.release(height, width)
                raise
            logger.warning("The graph for tiles of %dx%d does not fit into memory: %s", width, height, error)
            self._forget(shape)

    def release(self, height: int, width: int) -> None:
        shape = height, width
        with self._lock:
            self._held[shape] -= 1
            if not self._held[shape]:
                del self._held[shape]
                self._make_room(0)

    def close(self) -> None:
        # A graph that is being compiled is let go when it is done, and the queued ones are not begun: nobody should
        # have to wait for that.
        with self._calm:
            self._closed = True
            self._calm.notify_all()
        for thread in (self._whole_thread, self._chain_thread):
            thread.shutdown(wait=False)
        with self._lock:
            for graph in self._awaited:
                graph.cancel()
            self._awaited.clear()
            self._graphs.clear()
            plain = self._plain
        if plain is not None:
            plain.close()

    def _without_graph(self) -> TorchBackend:
        """What runs the shapes that OpenVINO cannot compile. Raises CancelledError once closed."""
        with self._plain_lock:
            if self._plain is None:
                # Only now, for importing PyTorch takes seconds.
                from uformer.torch_backend import TorchBackend

                self._check_open()
                self._plain = TorchBackend(
                    self._weights, device="cpu", precision=self._precision, threads=self._threads
                )
            return self._plain

    def _ready(self, shape: Shape, steady: bool) -> None:
        """Wait for the graph for tiles of `shape`, or for what runs them without."""
        if self._whole(shape) is None:
            self._without_graph()
        elif steady and not self._alone:
            # For what runs long: the first who is more urgent should not have to wait until it is compiled.
            chain = Form(*shape, whole=False)
            if chain not in self._refused:
                self._graph(chain)

    def _whole(self, shape: Shape) -> Whole | Chain | None:
        """The graph for tiles of `shape`, waited for if nobody prepared it; None where PyTorch is to run them."""
        form = Form(*shape)
        return None if form in self._refused else self._opened(form, self._graph(form))

    def _chain(self, shape: Shape) -> Whole | Chain | None:
        """The chain for tiles of `shape`, if it is there; it is compiled for the next time, while others run."""
        form = Form(*shape, whole=False)
        if form in self._refused:
            return None
        graph = self._graph(form)
        return self._opened(form, graph) if graph.done() else None

    def _opened(self, form: Form, graph: Future[Whole | Chain]) -> Whole | Chain | None:
        """The graph, waited for; None where OpenVINO cannot compile it: from now on, unless a file was to blame."""
        try:
            return graph.result()
        except CancelledError:
            raise
        except Exception as error:
            if form.whole and _is_out_of_memory(error):
                raise
            logger.warning("OpenVINO cannot compile %s, so it is done without: %r", form, error)
            with self._lock:
                if self._graphs.get(form) is graph:
                    del self._graphs[form]
            if not isinstance(error, OSError):
                self._refused.add(form)
            return None

    def _graph(self, form: Form) -> Future[Whole | Chain]:
        """What computes tiles of one form, being compiled if it is new; the least recently used idle ones make room.

        Raises CancelledError once closed.
        """
        with self._lock:
            if form in self._graphs:
                self._graphs.move_to_end(form)
                return self._graphs[form]
            self._make_room(self._compiler.expected_bytes(form))
            with self._calm:
                if self._closed:
                    raise CancelledError
                thread, work = (
                    (self._whole_thread, self._open_whole) if form.whole else (self._chain_thread, self._open_chain)
                )
                making = thread.submit(copy_context().run, work, form)
                self._wholes += form.whole
            # One of its own, since who waits for a graph that is being compiled must be told of the end all the same.
            graph: Future[Whole | Chain] = Future()
            self._graphs[form] = graph
            self._awaited.append(graph)
            making.add_done_callback(lambda made: self._settle(graph, made))
            return graph

    def _make_room(self, size: int) -> None:
        """Forget graphs that nobody uses, the least recently used first, until `size` more bytes are allowed."""
        kept = {form: self._working(form, graph) for form, graph in self._graphs.items()}
        excess = size + sum(kept.values()) - KEPT_BYTES_PER_CHANNEL * self._weights.config.embed_dim
        for idle in [form for form in kept if form.shape not in self._running and form.shape not in self._held]:
            if excess > 0:
                del self._graphs[idle]
                excess -= kept[idle]

    def _settle(self, graph: Future[Whole | Chain], made: Future[Whole | Chain]) -> None:
        """Hand on what was made, unless those who wait were told in the meantime that there will be none."""
        with self._lock:
            if graph.done():
                return
            self._awaited.remove(graph)
            if error := made.exception():
                graph.set_exception(error)
            else:
                graph.set_result(made.result())

    def _open_whole(self, form: Form) -> Whole | Chain:
        try:
            return self._compiler.make(form, self._check_open)
        finally:
            with self._calm:
                self._wholes -= 1
                self._calm.notify_all()

    def _open_chain(self, form: Form) -> Whole | Chain:
        return self._compiler.make(form, self._let_wholes_pass)

    def _let_wholes_pass(self) -> None:
        """Wait while a whole graph is compiled, for which somebody waits; raise CancelledError once closed."""
        with self._calm:
            self._calm.wait_for(lambda: not self._wholes or self._closed)
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise CancelledError

    def _working(self, form: Form, graph: Future[Whole | Chain]) -> int:
        """Roughly what a graph holds, or will hold once it is compiled, but for the weights."""
        if graph.done() and not graph.cancelled() and graph.exception() is None:
            opened = graph.result()
            if isinstance(opened, Chain):
                return opened.memory_bytes
        return self._compiler.expected_bytes(form)

    def _forget(self, shape: Shape) -> None:
        with self._lock:
            for form in (Form(*shape), Form(*shape, whole=False)):
                self._graphs.pop(form, None)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether OpenVINO means that memory ran out; it has no exception of its own for that."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "alloc" in str(error))
