"""When OpenVINO's graphs are made, who waits for them, and how long they are kept."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from uformer import OutOfMemory, load_model, load_weights
from uformer.openvino_backend import OpenVinoBackend
from uformer.openvino_compiler import Compiler, Form, prune

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "denoise_16.safetensors"

Open = Callable[..., OpenVinoBackend]


@pytest.fixture(scope="module")
def tile(noisy_real_photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A tile of a real photo, not square: (128, 256, 3)."""
    return noisy_real_photo[:128, :256]


@pytest.fixture
def open_it() -> Iterator[Open]:
    opened: list[OpenVinoBackend] = []

    def open_shipped(**options: Any) -> OpenVinoBackend:
        opened.append(OpenVinoBackend(load_weights(WEIGHTS), **{"precision": "float32", **options}))
        return opened[-1]

    yield open_shipped
    for backend in opened:
        backend.close()


class Gate:
    """Stands before the compiler: what is made waits until it is let in."""

    def __init__(self) -> None:
        self.begun: list[Form] = []
        self.done: list[Form] = []
        self._let: dict[Form, threading.Event] = {}
        self._open = threading.Event()
        self._make = Compiler.make

    def make(self, compiler: Compiler, form: Form, between: Callable[[], None]) -> Any:
        self.begun.append(form)
        while not (self._open.is_set() or self.event(form).wait(0.01)):
            between()
        made = self._make(compiler, form, between)
        self.done.append(form)
        return made

    def event(self, form: Form) -> threading.Event:
        return self._let.setdefault(form, threading.Event())

    def let(self, *forms: Form) -> None:
        for form in forms:
            self.event(form).set()

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(Compiler, "make", lambda *arguments: gate.make(*arguments))
    yield gate
    gate.open()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "It did not come about."
        time.sleep(0.005)


def give_way(backend: OpenVinoBackend, tile: NDArray[Any]) -> None:
    """Wait until the backend calls `between` in the middle of a tile: OpenVINO compiles what it needs for that."""
    calls: list[None] = []
    while not calls:
        backend.run(tile[None], lambda: calls.append(None))
        wait(list(backend._graphs.values()))


def test_compiled_graphs_are_kept_on_disk(open_it: Open, tile: NDArray[np.uint8], tmp_path: Path) -> None:
    def run() -> tuple[NDArray[np.float32], Path]:
        backend = open_it(cache_dir=tmp_path, alone=True)
        backend.prepare(*tile.shape[:2])
        output = backend.run(tile[None])
        (blob,) = tmp_path.iterdir()
        return output, blob

    compiled, blob = run()
    written = blob.stat().st_mtime_ns
    cached = open_it(cache_dir=tmp_path).run(tile[None])
    assert blob.stat().st_mtime_ns == written, "It was compiled again."
    np.testing.assert_array_equal(cached, compiled)
    blob.write_bytes(b"damaged")
    mended, _ = run()
    assert blob.stat().st_size > 1000
    np.testing.assert_array_equal(mended, compiled)


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), FileNotFoundError(), OSError(errno.EIO, "bad")])
def test_a_kept_graph_that_cannot_be_read_is_compiled_again(
    tmp_path: Path, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Any:
        raise error

    def compile_it(*arguments: Any) -> Any:
        raise InterruptedError("compiling")

    monkeypatch.setattr(Compiler, "_read", fail)
    monkeypatch.setattr(Compiler, "_compile", compile_it)
    network = load_weights(WEIGHTS)
    compiler = Compiler(network, precision="float32", cache_dir=tmp_path)
    blob = compiler._blob(Form(128, 128))
    assert blob is not None
    blob.touch()
    with pytest.raises(InterruptedError, match="compiling"):
        compiler.make(Form(128, 128), lambda: None)


def test_weights_of_any_layout_are_compiled_and_kept(open_it: Open, tile: NDArray[np.uint8], tmp_path: Path) -> None:
    """Files of training scripts may hold convolutions channels last."""
    weights = load_model(WEIGHTS).to(memory_format=torch.channels_last).state_dict()
    torch.save(weights, tmp_path / "network.pth")
    expected = open_it().run(tile[None])
    backend = OpenVinoBackend(
        load_weights(tmp_path / "network.pth"), precision="float32", cache_dir=tmp_path / "graphs"
    )
    np.testing.assert_array_equal(backend.run(tile[None]), expected)
    backend.close()
    assert len(list((tmp_path / "graphs").glob("*.blob"))) == 1


@pytest.mark.parametrize(("error", "tries"), [(OSError(errno.EIO, "bad"), 3), (KeyError("defect"), 1)])
def test_a_shape_that_cannot_be_compiled_runs_without(
    open_it: Open, tile: NDArray[np.uint8], error: Exception, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is tried again if a file was to blame."""
    made: list[Form] = []

    def fail(compiler: Compiler, form: Form, between: Callable[[], None]) -> Any:
        made.append(form)
        raise error

    monkeypatch.setattr(Compiler, "make", fail)
    backend = open_it(alone=True)
    before = backend.memory_bytes
    backend.prepare(*tile.shape[:2])
    assert backend.memory_bytes > before, "what runs it is there before it is needed"
    for _ in range(2):
        assert backend.run(tile[None]).shape == (1, *tile.shape)
    assert len(made) == tries


def test_preparing_that_fails_holds_nothing(open_it: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise KeyboardInterrupt

    backend = open_it()
    monkeypatch.setattr(backend, "_ready", fail)
    with pytest.raises(KeyboardInterrupt):
        backend.prepare(128, 128)
    assert not backend._held


def test_the_cache_forgets_the_oldest_graphs(tmp_path: Path) -> None:
    for age in range(3):
        blob = tmp_path / f"{age}.blob"
        blob.write_bytes(bytes(10))
        os.utime(blob, (1000 - age, 1000 - age))
    for name in ("gone.blob", "gone.partial"):  # As if another process had just deleted them.
        (tmp_path / name).symlink_to("nowhere")
    prune(tmp_path, 20)
    for name in ("gone.blob", "gone.partial"):
        (tmp_path / name).unlink()
    assert sorted(blob.name for blob in tmp_path.iterdir()) == ["0.blob", "1.blob"]


def test_preparing_leaves_a_lack_of_memory_to_the_tiles(
    open_it: Open, tile: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("uformer.openvino_compiler.build_whole", fail)
    backend = open_it()
    backend.prepare(*tile.shape[:2])
    with pytest.raises(OutOfMemory, match="256x128"):
        backend.run(tile[None])


def test_a_chain_for_which_there_is_no_memory_is_done_without(
    open_it: Open, tile: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("uformer.openvino_compiler.build_piece", fail)
    backend = open_it()
    backend.prepare(*tile.shape[:2], steady=True)
    expected = backend.run(tile[None])
    for _ in range(3):
        np.testing.assert_array_equal(backend.run(tile[None], lambda: None), expected)
    assert caplog.text.count("cannot compile") == 1


def test_what_runs_long_can_give_way_from_the_start(open_it: Open, tile: NDArray[np.uint8], gate: Gate) -> None:
    """And its chain, for which nobody waits, lets all graphs pass for which somebody does."""
    backend = open_it()
    gate.let(Form(128, 256), Form(128, 128))
    backend.prepare(128, 256, steady=True)
    wait_for(lambda: Form(128, 256, whole=False) in gate.begun)
    backend.prepare(128, 128)
    assert gate.done == [Form(128, 256), Form(128, 128)]
    gate.open()
    wait_for(lambda: Form(128, 256, whole=False) in gate.done)
    give_way(backend, tile)
    assert gate.begun.count(Form(128, 256, whole=False)) == 1


def test_running_waits_for_the_graph_of_no_other_shape(
    open_it: Open, tile: NDArray[np.uint8], gate: Gate, threads: ThreadPoolExecutor
) -> None:
    backend = open_it()
    gate.let(Form(128, 256))
    backend.prepare(128, 256)
    other = threads.submit(backend.prepare, 128, 128)
    wait_for(lambda: Form(128, 128) in gate.begun)
    assert backend.run(tile[None]).shape == (1, *tile.shape)
    assert not other.done()
    backend.close()
    with pytest.raises(CancelledError):
        other.result(30)
    assert gate.done == [Form(128, 256)]
    gate.open()


def test_what_is_prepared_stays_until_it_is_released(
    open_it: Open, tile: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uformer.openvino_backend.KEPT_BYTES_PER_CHANNEL", 0)
    backend = open_it(alone=True)
    for _ in range(2):
        backend.prepare(128, 256)
    backend.run(tile[None, :, :128])
    backend.release(128, 256)
    assert {form.shape for form in backend._graphs} == {(128, 256), (128, 128)}
    backend.release(128, 256)
    assert not backend._graphs


def test_a_running_chain_stays_however_many_interrupt_it(
    open_it: Open, tile: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uformer.openvino_backend.KEPT_BYTES_PER_CHANNEL", 0)
    backend = open_it(alone=True)
    kept: list[set[tuple[int, int]]] = []
    outer = tile[:, :128].repeat(2, 0)
    give_way(backend, outer)

    def between() -> None:
        if len(kept) < 2:
            backend.run(tile[None, :, : 128 * (2 - len(kept))])
            kept.append({form.shape for form in backend._graphs})

    backend.run(outer[None], between)
    assert kept == [{(256, 128), (128, 256)}, {(256, 128), (128, 128)}]
    backend.run(tile[None])
    assert [form.shape for form in backend._graphs] == [(128, 256)]


def test_closing_waits_for_nothing_and_ends_the_waiting(open_it: Open, gate: Gate, threads: ThreadPoolExecutor) -> None:
    backend = open_it(alone=True)
    begun = threads.submit(backend.prepare, 128, 128)
    wait_for(lambda: gate.begun == [Form(128, 128)])
    queued = threads.submit(backend.prepare, 128, 256)
    wait_for(lambda: len(backend._graphs) == 2)
    backend.close()
    for waiting in (begun, queued):
        with pytest.raises(CancelledError):
            waiting.result(30)
    with pytest.raises(CancelledError):
        backend.prepare(256, 256)
    assert not gate.done
    gate.open()
