"""Graphs of one network for each tile shape: taken from the disk, or compiled and kept there."""

from __future__ import annotations

import hashlib
import inspect
import io
import logging
import os
import secrets
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import openvino as ov

from uformer import (
    architecture,
    openvino_attention,
    openvino_chain,
    openvino_graph,
    openvino_nodes,
    openvino_plan,
    openvino_whole,
)
from uformer.backends import Precision
from uformer.checkpoint import Weights
from uformer.openvino_chain import Chain, working_bytes
from uformer.openvino_graph import build_piece, build_whole
from uformer.openvino_plan import Piece, plan_pieces
from uformer.openvino_whole import Whole, whole_bytes

logger = logging.getLogger(__name__)

Shape = tuple[int, int]
CACHE_BYTES = 4 << 30
ABANDONED_SECONDS = 3600
# A strip has at most this many numbers per core: work for about 20 ms, and enough for all cores.
STRIP_NUMBERS = 400_000


class Form(NamedTuple):
    """What is compiled: for tiles of which shape, and whole or in pieces."""

    height: int
    width: int
    whole: bool = True

    @property
    def shape(self) -> Shape:
        return self.height, self.width


class Compiler:
    """Makes the graphs of one network; thread-safe. cache_dir: where they are kept, if anywhere."""

    def __init__(
        self, weights: Weights, *, precision: Precision, threads: int | None = None, cache_dir: Path | None = None
    ) -> None:
        self._weights = weights
        self._narrow = precision == "bfloat16"
        self._core = ov.Core()
        self._config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[precision],
        }
        if threads is not None:
            self._config["INFERENCE_NUM_THREADS"] = threads
        if cache_dir is not None:
            try:
                cache_dir.mkdir(parents=True, exist_ok=True)
                prune(cache_dir, CACHE_BYTES)
            except OSError as error:  # What is there already may be read all the same.
                logger.warning("Compiled graphs cannot be kept in %s: %s", cache_dir, error)
        self._cache_dir = cache_dir
        self._strip_numbers = STRIP_NUMBERS * (threads or _cores())

    def make(self, form: Form, between: Callable[[], None]) -> Whole | Chain:
        """Take graphs from the disk, or compile and keep them. between: called before each; raises to give up."""
        pieces, blob = self._plan(form), self._blob(form)
        models = None
        if blob is not None:
            try:
                models = list(self._read(blob, between))
            except FileNotFoundError:
                pass  # Never compiled, or deleted by another process.
            except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
                logger.warning("Compiling again, for the cached graphs %s cannot be read: %s", blob.name, error)
        if models is None:
            models = list(self._compile(form, pieces, between))
            if blob is not None:
                _export(models, blob)
        return Whole(models[0]) if form.whole else Chain(pieces, models, narrow=self._narrow)

    def expected_bytes(self, form: Form) -> int:
        """Roughly what a graph will hold, but for the weights."""
        if form.whole:
            return whole_bytes(*form.shape, self._weights.config.embed_dim)
        return working_bytes(self._plan(form), narrow=self._narrow)

    def _compile(self, form: Form, pieces: list[Piece], between: Callable[[], None]) -> Iterator[ov.CompiledModel]:
        for graph in self._build(form, pieces):
            between()
            yield self._core.compile_model(graph, "CPU", self._config)

    def _build(self, form: Form, pieces: list[Piece]) -> Iterable[ov.Model]:
        if form.whole:
            return [build_whole(self._weights, pieces)]
        return (build_piece(self._weights, piece, narrow=self._narrow) for piece in pieces)

    def _read(self, blob: Path, between: Callable[[], None]) -> Iterator[ov.CompiledModel]:
        with zipfile.ZipFile(blob) as archive:
            for name in archive.namelist():
                between()
                yield self._core.import_model(io.BytesIO(archive.read(name)), "CPU", self._config)

    def _plan(self, form: Form) -> list[Piece]:
        # In one piece nothing is cut into strips.
        strip_numbers = sys.maxsize if form.whole else self._strip_numbers
        return plan_pieces(self._weights.config, *form.shape, strip_numbers)

    def _blob(self, form: Form) -> Path | None:
        """Where the graphs of one form are kept on disk."""
        name = f"{self._fingerprint}-{form.height}x{form.width}{'' if form.whole else '-pieces'}.blob"
        return self._cache_dir and self._cache_dir / name

    @cached_property
    def _fingerprint(self) -> str:
        """Names everything that compiled graphs depend on, but the shape of the tiles."""
        digest = hashlib.blake2b(digest_size=16)
        processor = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        settings = (sorted(self._config.items()), self._strip_numbers, self._weights.config)
        for text in (ov.get_version(), processor, capabilities, *settings):
            digest.update(f"{text}\n".encode())
        modules = (
            architecture,
            openvino_plan,
            openvino_nodes,
            openvino_attention,
            openvino_graph,
            openvino_chain,
            openvino_whole,
        )
        for module in modules:
            digest.update(inspect.getsource(module).encode())
        for array in self._weights.arrays.values():
            digest.update(array.data)
        return digest.hexdigest()


def prune(folder: Path, limit: int) -> None:
    """Delete what a killed process left half written, and the oldest graphs until `limit` bytes are left."""
    for partial in folder.glob("*.partial"):
        with suppress(FileNotFoundError):  # Another process may rename or delete it meanwhile.
            if partial.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                partial.unlink()
    kept: list[tuple[float, int, Path]] = []
    for blob in folder.glob("*.blob"):
        with suppress(FileNotFoundError):
            status = blob.stat()
            kept.append((status.st_mtime, status.st_size, blob))
    total = 0
    for _, size, blob in sorted(kept, reverse=True):
        total += size
        if total > limit:
            logger.info("Deleting the compiled graphs %s: the cache is full.", blob.name)
            blob.unlink(missing_ok=True)


def _export(models: Iterable[ov.CompiledModel], blob: Path) -> None:
    """Keep compiled graphs in one file; a failure is told, for nothing depends on it."""
    partial = blob.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            for number, model in enumerate(models):
                archive.writestr(f"{number:03}", model.export_model().getbuffer())
        partial.replace(blob)
    except (OSError, RuntimeError) as error:
        logger.warning("The compiled graphs %s could not be kept: %s", blob.name, error)
        with suppress(OSError):
            partial.unlink()


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
