"""A picture of how a run went."""

from __future__ import annotations

import json
from pathlib import Path


def draw(log: Path, file: Path) -> None:
    """PSNR and SSIM of each condition over the steps, from a run's log, as a PNG. Raises ValueError without any."""
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    # A run that was killed goes on from its checkpoint: what came after that is told once more.
    points = {line["step"]: line["validation"] for line in lines if "validation" in line}
    if not points:
        raise ValueError(f"{log} holds no measurement.")
    steps = sorted(points)
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (measure, label) in zip(figure.subplots(1, 2), (("psnr", "PSNR, dB"), ("ssim", "SSIM")), strict=True):
        for condition in points[steps[-1]]:
            kept = [step for step in steps if condition in points[step]]
            (line,) = axes.plot(kept, [points[step][condition][measure] for step in kept], label=condition)
            axes.axhline(
                points[kept[-1]][condition][f"input_{measure}"], color=line.get_color(), linestyle=":", linewidth=1
            )
        axes.set(xlabel="step", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(title="dotted: the input")
    figure.savefig(file, dpi=120)
