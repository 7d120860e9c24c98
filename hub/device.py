"""What the networks run on, told without bringing PyTorch in before a network needs it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from uformer.devices import may_have_gpu

# What Linux allows a container; files of version 2 of control groups.
CONTAINER = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Device:
    """A processor and its memory; None for what shows only once a model has been loaded.

    kind: cpu or cuda. precision: bfloat16 or float32. memory_*: bytes, of the machine or of the graphics processor.
    """

    name: str | None
    kind: str | None
    precision: str | None
    memory_total: int | None
    memory_free: int | None


def describe(asked: str, backend: str | None) -> Device:
    """The device as it is now.

    asked: auto, cpu, cuda or cuda:N. backend: the name of one that was opened, such as `openvino-cpu-bfloat16`.
    """
    if backend is not None:
        _, kind, precision = backend.split("-")
        if kind != "cpu":
            return _accelerator(asked, kind, precision)
    elif asked != "cpu" and (asked != "auto" or may_have_gpu()):
        return Device(None, None if asked == "auto" else "cuda", None, None, None)
    else:
        precision = None
    total, free = _memory()
    return Device(_processor(), "cpu", precision, total, free)


def _accelerator(asked: str, kind: str, precision: str) -> Device:
    """Its backend is open, so PyTorch is here already."""
    import torch

    device = torch.device(asked if ":" in asked else kind)
    free, total = torch.cuda.mem_get_info(device)
    return Device(torch.cuda.get_device_name(device), kind, precision, total, free)


@cache
def _processor() -> str:
    """The processor's name as people know it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> tuple[int, int]:
    """Bytes in all and bytes free: the machine's, or less where a container allows less."""
    memory = psutil.virtual_memory()
    allowed, used = _number(CONTAINER / "memory.max"), _number(CONTAINER / "memory.current")
    if allowed is None or used is None or allowed >= memory.total:
        return memory.total, memory.available
    return allowed, max(0, min(memory.available, allowed - used))


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no such file, or it says `max`."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdecimal() else None
