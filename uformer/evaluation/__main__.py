"""`python -m uformer.evaluation`: PSNR and SSIM of a model, beside the input and OpenCV's non-local means."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uformer import BackendRunner, RestoreOptions, Restorer, load_weights, open_backend
from uformer.checkpoint import inspect
from uformer.devices import suitable_extents
from uformer.evaluation.report import Strip, table
from uformer.evaluation.samples import LAYOUTS, Sample, Series, degraded, non_local_means, pairs
from uformer.evaluation.scores import score

# As the hub's own settings: what is larger goes through in overlapping tiles.


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _evaluate(options)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    layouts = ", ".join(f"{given}/ and {true}/" for given, true in LAYOUTS)
    parser = argparse.ArgumentParser(prog="python -m uformer.evaluation", description=__doc__)
    parser.add_argument("model", type=Path, help="file of weights")
    parser.add_argument("folder", type=Path, help="photos, or with --pairs pairs of them")
    parser.add_argument("--pairs", action="store_true", help=f"below the folder lie {layouts}")
    parser.add_argument("--task", choices=("denoise", "deblur"), help="default: what the file of weights says")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--precision", default="float32", choices=("auto", "bfloat16", "float32"))
    parser.add_argument("--table", type=Path, help="also write the table into this file")
    parser.add_argument("--strip", type=Path, help="write crops to look at into this PNG")
    return parser


def _evaluate(options: argparse.Namespace) -> None:
    task = options.task or inspect(options.model).task or "denoise"
    series: list[Series] = [pairs(options.folder)] if options.pairs else degraded(options.folder, task)
    backend = open_backend(load_weights(options.model), device=options.device, precision=options.precision)
    extents = suitable_extents(options.device)
    restorer = Restorer(BackendRunner(backend), max_tile_pixels=extents.tile, max_whole_pixels=extents.whole)

    def restore(sample: Sample) -> NDArray[np.uint8]:
        restored: NDArray[np.uint8] = restorer.restore(sample.given, RestoreOptions(whole=True)).image
        return restored

    methods = {"input": lambda sample: sample.given, "non-local means": non_local_means, options.model.stem: restore}
    if task == "deblur":
        del methods["non-local means"]
    strip = Strip()
    scores = {each.name: score(each, methods, strip.first_of(each.name)) for each in series}
    written = table(scores)
    print(f"{options.model.name} on {backend.name}, {options.precision}; PSNR in dB / SSIM\n\n{written}", end="")
    if options.table:
        options.table.write_text(written, "utf-8")
    if options.strip:
        strip.write(options.strip)


if __name__ == "__main__":
    sys.exit(main())
