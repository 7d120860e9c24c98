"""What this machine computes on. Brings PyTorch in only where there may be a GPU, for that takes seconds."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

# Present where a driver for graphics processors is: NVIDIA's, also in sandboxes and on its small boards; the one of
# Linux inside Windows; AMD's.
DRIVERS = (
    *("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu"),
    *("/dev/dxg", "/dev/kfd"),
)

CPUINFO = Path("/proc/cpuinfo")
# Larger tiles compute fewer pixels twice. On a CPU they are hardly faster per pixel, take more memory, and keep what is
# urgent waiting; there is no more to gain from this size on.
CPU_TILE_PIXELS = 600_000
_GPU_TILE_PIXELS = 4_000_000
WHOLE_PIXELS = 1_050_000
# Working memory of Uformer-B, the widest network, per pixel of its input; see `torch_backend.BYTES_PER_PIXEL_CHANNEL`.
_WIDEST_PIXEL_BYTES = {True: 6400, False: 12_800}


@dataclass(frozen=True)
class Extents:
    """In pixels: the largest tile worth planning, and the largest image to take in one piece when asked."""

    tile: int
    whole: int


def suitable_extents(device: str) -> Extents:
    """What suits a device (auto, cpu, cuda or cuda:N), in the precision that is fast there.

    A tile of Uformer-B takes a quarter of a GPU's memory at most: with 60 GB or more a Full HD frame is one tile.
    Raises ValueError if this machine has no such device.
    """
    device = find_device(device)
    if device == "cpu":
        return Extents(CPU_TILE_PIXELS, WHOLE_PIXELS)
    import torch

    memory = torch.cuda.get_device_properties(device).total_memory
    fitting = memory // 4 // _WIDEST_PIXEL_BYTES[prefers_bfloat16(device)]
    tile = min(max(fitting, CPU_TILE_PIXELS), _GPU_TILE_PIXELS)
    return Extents(tile, max(tile, WHOLE_PIXELS))


def may_have_gpu() -> bool:
    """Whether there are signs of a GPU, which only PyTorch can tell for sure."""
    return os.name == "nt" or any(Path(driver).exists() for driver in DRIVERS)


def find_device(device: str) -> str:
    """The device meant by auto, cpu, cuda or cuda:N; raises ValueError if this machine has none such."""
    if device == "cpu" or (device == "auto" and not may_have_gpu()):
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = ["cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count))]
    if device == "auto":
        return "cuda" if count else "cpu"
    if device not in known:
        raise ValueError(f"There is no device {device!r} here; there are {', '.join(known)}.")
    return device


def prefers_bfloat16(device: str) -> bool:
    """Whether networks run faster in bfloat16 than in float32, by what hardware they run on."""
    if device != "cpu":
        import torch

        return torch.cuda.get_device_capability(device) >= (8, 0)
    if platform.machine() not in ("x86_64", "AMD64") or not CPUINFO.exists():
        return False
    facts = dict(_fact(line) for line in CPUINFO.read_text().splitlines())
    flags = facts.get("flags", "").split()
    # Without AMX, which virtual machines may hide, Intel's processors multiply bfloat16 no faster than float32, and
    # converting costs on top: float32 was 1.3 times as fast with Uformer-16, 1.6 times with Uformer-B.
    return "amx_bf16" in flags or ("avx512_bf16" in flags and facts.get("vendor_id") == "AuthenticAMD")


def _fact(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
