"""`python -m uformer.benchmark`: every way this machine has to run the networks, side by side in one run.

Each way runs in a process of its own and they take turns, so that what disturbs the machine disturbs each alike. The
plain way is how the paper's network is commonly served: float32, eager, 256-pixel tiles one by one, no overlap.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from uformer.architecture import VARIANTS
from uformer.benchmark.ceiling import measure_ceiling
from uformer.benchmark.measurements import Plan, measure
from uformer.benchmark.report import document, machine, markdown
from uformer.benchmark.ways import Way, ways_of
from uformer.devices import find_device

QUICK = Plan(tile=256, rounds=3, photo=(384, 640), frames=0)
_USUAL = ("uformer_16", "uformer_t", "uformer_s", "uformer_b")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        device = find_device(options.device)
        plan = QUICK if options.quick else Plan(rounds=options.rounds)
        ways = _chosen(ways_of(device), options.ways)
        ceiling = measure_ceiling(device, options.threads)
        rows = []
        for variant in options.variants or (_USUAL[:1] if options.quick else _USUAL):
            rows += measure(variant, ways, plan, options.threads, lambda step: print(step, file=sys.stderr))
        about = machine(device, options.threads)
        written = markdown(rows, plan, ceiling, about)
        print(written, end="")
        if options.markdown:
            options.markdown.write_text(written, "utf-8")
        if options.json:
            options.json.write_text(json.dumps(document(rows, plan, ceiling, about), indent=2) + "\n", "utf-8")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 1 if any(row.problem for row in rows) else 0


def _chosen(ways: Sequence[Way], names: Sequence[str] | None) -> list[Way]:
    """Those of the names, or all. Raises ValueError."""
    chosen = [way for way in ways if not names or way.name in names]
    if not chosen:
        raise ValueError(f"There is no such way here; there are {', '.join(repr(way.name) for way in ways)}.")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m uformer.benchmark", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--variants", nargs="+", choices=sorted(VARIANTS), help=f"default: {', '.join(_USUAL)}")
    parser.add_argument("--ways", nargs="+", metavar="WAY", help="such as plain 'openvino bfloat16' (default: all)")
    parser.add_argument("--rounds", type=int, default=Plan.rounds, help=f"tiles of each way (default: {Plan.rounds})")
    parser.add_argument("--threads", type=int, help="on the CPU (default: all cores)")
    parser.add_argument("--quick", action="store_true", help="a small photo, no video, Uformer-16: a minute")
    parser.add_argument("--markdown", type=Path, help="also write the tables into this file")
    parser.add_argument("--json", type=Path, help="also write every single measurement into this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
