"""What the benchmark says: Markdown for people, JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from uformer.benchmark.ceiling import Ceiling
from uformer.benchmark.measurements import Plan, Row
from uformer.benchmark.ways import PLAIN

_GIGA = 1e9
_MIB = 1 << 20


def machine(device: str, threads: int | None) -> str:
    """The hardware and libraries in one line."""
    if device == "cpu":
        hardware = f"{_cpu_name()}, {threads or len(os.sched_getaffinity(0))} threads"
    else:
        hardware = str(torch.cuda.get_device_name(device))
    return f"{hardware}; Python {platform.python_version()}, PyTorch {torch.__version__}"


def markdown(rows: Sequence[Row], plan: Plan, ceiling: Ceiling, about: str) -> str:
    """The machine, its ceiling, and a table per variant; speed-ups are over the plain way of the same run."""
    high, wide = plan.photo
    lines = [
        f"{about}. Matrix products: {ceiling.float32 / _GIGA:.0f} GFLOP/s in float32, "
        f"{ceiling.bfloat16 / _GIGA:.0f} in bfloat16; memory {ceiling.bandwidth / _GIGA:.1f} GB/s.",
        "",
        f"Tile: {plan.tile} x {plan.tile} pixels, median of {plan.rounds} rounds that take turns. Photo: "
        f"{wide} x {high}; video: 1920 x 1080; both with overlap, but for `{PLAIN}`. Memory: the most that each held.",
        "",
    ]
    for variant in dict.fromkeys(row.variant for row in rows):
        chosen = [row for row in rows if row.variant == variant]
        plain = next((row for row in chosen if row.way.name == PLAIN and row.problem is None), None)
        lines += [
            f"| {variant} | tile, ms | times plain | photo, MP/s | times plain | video, fps | MiB | of the ceiling |",
            "|---|---|---|---|---|---|---|---|",
            *(_line(row, plain, ceiling) for row in chosen),
            "",
        ]
    return "\n".join(lines)


def document(rows: Sequence[Row], plan: Plan, ceiling: Ceiling, about: str) -> dict[str, Any]:
    """The same for programs, every single measurement included; seconds, bytes, operations per second."""
    return {
        "machine": about,
        "plan": {"tile": plan.tile, "rounds": plan.rounds, "photo": list(plan.photo)},
        "ceiling": {"float32": ceiling.float32, "bfloat16": ceiling.bfloat16, "bandwidth": ceiling.bandwidth},
        "rows": [
            {
                "variant": row.variant,
                "way": row.way.name,
                "device": row.way.device,
                "batch": row.batch,
                "tile_seconds": row.tile_seconds,
                "frame_seconds": row.frame_seconds,
                "photo_seconds": row.photo_seconds,
                "peak_bytes": row.peak_bytes,
                "share_of_ceiling": None if row.problem else row.share(ceiling),
                "problem": row.problem,
            }
            for row in rows
        ],
    }


def _line(row: Row, plain: Row | None, ceiling: Ceiling) -> str:
    if row.problem is not None:
        return f"| {row.way.name} | could not be measured: {row.problem} | | | | | | |"
    tile = photo = video = ""
    if plain is not None:
        tile = f"{plain.tile_ms / row.tile_ms:.2f}"
        photo = f"{row.megapixels_per_second / plain.megapixels_per_second:.2f}"
    if row.frames_per_second is not None:
        video = f"{row.frames_per_second:.3f}"
    return (
        f"| {row.way.name} | {row.tile_ms:.1f} | {tile} | {row.megapixels_per_second:.3f} | {photo} | {video} "
        f"| {row.peak_bytes / _MIB:.0f} | {100 * row.share(ceiling):.0f} % |"
    )


def _cpu_name() -> str:
    """As Linux calls it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
