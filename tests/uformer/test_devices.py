"""What suits a device. GPUs are told of in numbers of real cards: this machine may have none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from uformer.devices import CPU_TILE_PIXELS, WHOLE_PIXELS, Extents, prefers_bfloat16, suitable_extents
from uformer.tiling import plan_tiles


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    gigabytes, capability = request.param
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda device: SimpleNamespace(total_memory=int(gigabytes * 1e9))
    )


def test_a_processor_takes_small_tiles() -> None:
    assert suitable_extents("cpu") == Extents(CPU_TILE_PIXELS, WHOLE_PIXELS)


@pytest.mark.parametrize("gpu", [(84.9, (9, 0)), (150.0, (9, 0))], indirect=True)
def test_a_full_hd_frame_is_one_tile_on_a_large_gpu(gpu: None) -> None:
    extents = suitable_extents("cuda")
    assert plan_tiles(1080, 1920, max_pixels=extents.tile, overlap=64, tile=None).tiles == 1
    assert extents.whole == extents.tile, "what one tile holds can be restored in one piece"


@pytest.mark.parametrize(
    ("gpu", "least", "most"),
    [
        ((25.3, (8, 9)), 900_000, 1_100_000),
        ((15.8, (7, 5)), CPU_TILE_PIXELS, CPU_TILE_PIXELS),  # In float32, for it has no bfloat16.
        ((200.0, (10, 0)), 4_000_000, 4_000_000),
    ],
    indirect=["gpu"],
)
def test_tiles_follow_a_gpus_memory(gpu: None, least: int, most: int) -> None:
    extents = suitable_extents("cuda:0")
    assert least <= extents.tile <= most
    assert extents.whole >= WHOLE_PIXELS


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no device 'cuda:99' here; there are cpu"):
        suitable_extents("cuda:99")


@pytest.mark.parametrize(
    ("vendor", "flags", "preferred"),
    [
        ("AuthenticAMD", "fpu avx2 avx512f avx512_bf16", True),
        ("GenuineIntel", "fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile", True),
        ("GenuineIntel", "fpu avx2 avx512f avx512_bf16 avx512_fp16", False),
        ("GenuineIntel", "fpu avx2 avx512f", False),
        ("AuthenticAMD", "fpu avx2", False),
    ],
)
def test_bfloat16_is_for_processors_that_are_faster_with_it(
    vendor: str, flags: str, preferred: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: A: 1\nflags\t\t: {flags}\nbugs\t\t:\n\n"
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(told + told.replace("processor\t: 0", "processor\t: 1"))
    monkeypatch.setattr("uformer.devices.CPUINFO", cpuinfo)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")

    assert prefers_bfloat16("cpu") is preferred
