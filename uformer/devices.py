"""What this machine computes on. Brings PyTorch in only where there may be a GPU, for that takes seconds."""

from __future__ import annotations

import os
import platform
from pathlib import Path

# Present where a driver for graphics processors is: NVIDIA's, also in sandboxes and on its small boards; the one of
# Linux inside Windows; AMD's.
DRIVERS = (
    *("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu"),
    *("/dev/dxg", "/dev/kfd"),
)


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


def computes_bfloat16(device: str) -> bool:
    """Whether the hardware multiplies bfloat16 by itself, rather than by way of float32."""
    if device != "cpu":
        import torch

        return torch.cuda.get_device_capability(device) >= (8, 0)
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.exists():
        return False
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags
