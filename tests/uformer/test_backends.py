"""Every backend of this machine gives what the plain network gives, as exactly as its precision allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from uformer import VARIANTS, Backend, OutOfMemory, Uformer, load_model, load_weights, open_backend, weights_of
from uformer.openvino_attention import mask_values
from uformer.openvino_backend import OpenVinoBackend
from uformer.openvino_graph import build_piece
from uformer.openvino_plan import plan_pieces
from uformer.torch_backend import TorchBackend

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "denoise_16.safetensors"


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    """In decibels, of images in [0, 1]; 200 for equal ones."""
    return float(-10 * np.log10(np.mean((one.astype(np.float64) - other) ** 2) + 1e-20))


@pytest.fixture(scope="module")
def tile(noisy_real_photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A tile of a real photo, not square: (128, 256, 3)."""
    return noisy_real_photo[:128, :256]


@pytest.fixture(scope="module")
def expected(tile: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the plain float32 network makes of `tile`."""
    image = torch.from_numpy(tile).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        return load_model(WEIGHTS)(image)[0].permute(1, 2, 0).numpy()


@pytest.fixture
def open_it() -> Iterator[Callable[..., Backend]]:
    opened: list[Backend] = []

    def open_shipped(**options: Any) -> Backend:
        opened.append(open_backend(load_weights(WEIGHTS), device="cpu", **options))
        return opened[-1]

    yield open_shipped
    for backend in opened:
        backend.close()


@pytest.mark.parametrize("cpu_backend", ["torch", "openvino"])
@pytest.mark.parametrize(("precision", "least"), [("float32", 100), ("bfloat16", 45)])
def test_it_agrees_with_the_plain_network(
    cpu_backend: str,
    precision: str,
    least: float,
    open_it: Callable[..., Backend],
    tile: NDArray[np.uint8],
    expected: NDArray[np.float32],
) -> None:
    backend = open_it(cpu_backend=cpu_backend, precision=precision)
    assert backend.name == f"{cpu_backend}-cpu-{precision}"
    backend.prepare(*tile.shape[:2])
    for pixels in (tile, tile.astype(np.uint16) * 257, tile.astype(np.float32) / 255):
        restored = backend.run(pixels[None])
        assert restored.shape == (1, *tile.shape)
        assert restored.dtype == np.float32
        assert psnr(restored[0], expected) >= least


def give_way(backend: Backend, *tiles: NDArray[Any]) -> None:
    """Wait until the backend calls `between` in the middle of each tile: OpenVINO compiles what it needs for that."""
    for tile in tiles:
        calls: list[None] = []
        while not calls:
            backend.run(tile, lambda: calls.append(None))  # noqa: B023 - called at once
            wait(getattr(backend, "_graphs", {}).values())


def test_torch_runs_what_openvino_cannot_compile(
    tile: NDArray[np.uint8],
    expected: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("unsupported operation")

    monkeypatch.setattr("uformer.openvino_compiler.build_whole", fail)
    backend = OpenVinoBackend(load_weights(WEIGHTS), precision="float32")
    for _ in range(2):
        assert psnr(backend.run(tile[None])[0], expected) >= 100
    backend.close()
    assert caplog.text.count("unsupported operation") == 1


def test_torch_takes_over_where_openvino_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no plugin")

    monkeypatch.setattr("openvino.Core", fail)
    assert open_backend(load_weights(WEIGHTS), device="cpu").name.startswith("torch-cpu")
    with pytest.raises(ValueError, match="no plugin"):
        open_backend(load_weights(WEIGHTS), device="cpu", cpu_backend="openvino")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_its_graph(variant: str, random_network: Callable[..., Uformer]) -> None:
    """Shifts at the bottleneck and without, modulators, squares and not."""
    network = random_network(variant, train_size=256)
    pixels = np.random.default_rng(0).random((128, 256, 3), np.float32)
    backend = OpenVinoBackend(weights_of(network), precision="float32")
    backend.prepare(128, 256)
    restored = backend.run(pixels[None])[0]
    backend.close()
    with torch.inference_mode():
        plain = network(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(plain - pixels).max() > 0.1  # The network does something.
    np.testing.assert_allclose(restored, plain, atol=2e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_in_pieces_or_whole_makes_no_difference(
    precision: str, open_it: Callable[..., Backend], tile: NDArray[np.uint8]
) -> None:
    backend = open_it(cpu_backend="openvino", precision=precision)
    whole = backend.run(tile[None])
    calls: list[None] = []
    np.testing.assert_array_equal(backend.run(tile[None], lambda: calls.append(None), likely=False), whole)
    assert not calls, "nothing is slowed down for what is not likely"

    give_way(backend, tile[None])

    np.testing.assert_array_equal(backend.run(tile[None], lambda: calls.append(None)), whole)
    assert len(calls) > 10


def test_a_graph_of_shifted_windows_has_small_masks(random_network: Callable[..., Uformer]) -> None:
    network = weights_of(random_network("uformer_16"))
    pieces = plan_pieces(network.config, 256, 512, 10**9)
    graphs = [build_piece(network, piece, narrow=True) for piece in pieces]
    ports = [port for piece, graph in zip(pieces, graphs, strict=True) for port in graph.inputs[len(piece.inputs) :]]
    masks = [mask_values(port.get_any_name()) for port in ports]
    assert [list(mask.shape) for mask in masks] == [list(port.shape) for port in ports]
    assert 0 < sum(mask.nbytes for mask in masks) < 8e6


@pytest.mark.parametrize("cpu_backend", ["torch", "openvino"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_who_is_interrupted_gets_the_same_pixels(
    cpu_backend: str,
    precision: str,
    open_it: Callable[..., Backend],
    noisy_real_photo: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By tiles of its own shape and others, which are interrupted in turn."""
    monkeypatch.setattr("uformer.openvino_compiler.STRIP_NUMBERS", 50_000)
    backend = open_it(cpu_backend=cpu_backend, precision=precision)
    tiles = [
        noisy_real_photo[None, :256, :128],
        noisy_real_photo[None, 128:, 128:256],
        noisy_real_photo[None, :128, :128],
    ]
    alone = [backend.run(tile) for tile in tiles]
    give_way(backend, *tiles)
    calls: list[int] = []

    def between(depth: int) -> None:
        calls.append(depth)
        if depth < 3 and calls.count(depth) % 7 == 0 and len(calls) < 60:
            np.testing.assert_array_equal(backend.run(tiles[depth], lambda: between(depth + 1)), alone[depth])

    np.testing.assert_array_equal(backend.run(tiles[0], lambda: between(1)), alone[0])
    assert set(calls) == {1, 2, 3}, "an interruption is told to whom it concerns only"
    np.testing.assert_array_equal(backend.run(tiles[0]), alone[0])


@pytest.mark.parametrize("cpu_backend", ["torch", "openvino"])
def test_an_error_between_ends_the_batch_and_harms_no_other(
    cpu_backend: str, open_it: Callable[..., Backend], tile: NDArray[np.uint8]
) -> None:
    backend = open_it(cpu_backend=cpu_backend, precision="float32")
    expected = backend.run(tile[None])

    def fail() -> None:
        raise KeyError("between")

    give_way(backend, tile[None])
    held = backend.memory_bytes
    for _ in range(3):
        with pytest.raises(KeyError, match="between"):
            backend.run(tile[None], fail)
    assert backend.memory_bytes == held
    np.testing.assert_array_equal(backend.run(tile[None]), expected)


def test_the_length_of_strips_makes_no_difference(tile: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter ones are at the edge of vectors elsewhere: a rounding may differ, but no 8-bit level."""
    results = []
    for numbers in (10**9, 50_000):
        monkeypatch.setattr("uformer.openvino_compiler.STRIP_NUMBERS", numbers)
        backend = open_backend(load_weights(WEIGHTS), device="cpu", cpu_backend="openvino", precision="bfloat16")
        give_way(backend, tile[None])
        results.append(backend.run(tile[None], lambda: None))
        backend.close()
    assert np.abs(results[0] - results[1]).max() * 255 < 0.5


def test_the_memory_of_interrupted_runs_is_counted(open_it: Callable[..., Backend], tile: NDArray[np.uint8]) -> None:
    backend = open_it(cpu_backend="openvino", precision="float32")
    give_way(backend, tile[None])
    held: list[int] = [backend.memory_bytes]
    for _ in range(2):
        interruptions = iter([None])

        def between(interruptions: Iterator[None] = interruptions) -> None:
            for _ in interruptions:
                backend.run(tile[None], lambda: None)

        backend.run(tile[None], between)
        held.append(backend.memory_bytes)
    assert held[0] < held[1] == held[2], "what the first interruption needed serves the next"


def test_memory_that_runs_out_is_told_apart_from_other_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TorchBackend(load_weights(WEIGHTS), device="cpu", precision="float32")
    tile = np.zeros((1, 128, 128, 3), np.uint8)

    def fail(error: Exception) -> None:
        def residual(network: Uformer, image: torch.Tensor) -> torch.Tensor:
            raise error

        monkeypatch.setattr(Uformer, "residual", residual)

    fail(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"))
    with pytest.raises(OutOfMemory, match="128x128"):
        backend.run(tile)
    fail(RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        backend.run(tile)


def test_weights_for_which_there_is_no_memory_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Uformer, "to", fail)
    with pytest.raises(OutOfMemory, match="bytes of weights"):
        open_backend(load_weights(WEIGHTS), device="cpu", cpu_backend="torch")


def test_a_gpus_batches_follow_what_batches_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """In numbers that a GPU would tell: this machine may have none."""
    backend = TorchBackend(load_weights(WEIGHTS), device="cpu", precision="float32")
    held = {"allocated": 1_000_000, "peak": 1_000_000}
    monkeypatch.setattr(backend, "_device", torch.device("cuda"))
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: held["allocated"])
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda device: held["peak"])
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: held["allocated"])
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (32 * 128 * 128 * 1000, 10**12))

    def run(tiles: int, bytes_a_pixel: int, kept: int = 0) -> int:
        with backend._measured((tiles, 128, 128, 3)):
            held["peak"] = held["allocated"] + tiles * 128 * 128 * bytes_a_pixel
            held["allocated"] += kept
        return backend.max_batch(128, 128)

    guessed = backend.max_batch(128, 128)
    assert run(1, 100, kept=5_000_000) == guessed, "what stays is no batch's"
    assert run(2, 1000) == 16
    assert run(4, 500) == 32
    assert run(1, 2000) == 32, "the largest batch says most"


def test_a_closed_backend_refuses_work() -> None:
    backend = TorchBackend(load_weights(WEIGHTS), device="cpu", precision="float32")
    backend.close()
    with pytest.raises(RuntimeError, match="closed"):
        backend.run(np.zeros((1, 128, 128, 3), np.uint8))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"device": "tpu"}, "no device 'tpu'"),
        ({"device": "cuda:99"}, "no device 'cuda:99'"),
        ({"precision": "int8"}, "float32"),
        ({"cpu_backend": "onnx"}, "openvino"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(choice: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_backend(load_weights(WEIGHTS), **choice)
