"""`python -m hub COMMAND`: reads the arguments, runs the command, and turns errors into one line and an exit status.

Exit status: 0 all done; 1 something failed; 2 the command line or a HUB_ setting is wrong; 130 interrupted.
Commands import what they need when they run, so that `--help` and `settings` answer at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from hub.errors import HubError, InvalidInput
from hub.video.options import CODECS

if TYPE_CHECKING:
    from hub.settings import Settings

INTERRUPTED = 130


def tile_side(text: str) -> int:
    """A tile's side: a positive multiple of 128."""
    side = int(text)
    if side < 128 or side % 128:
        raise argparse.ArgumentTypeError(f"must be a multiple of 128, such as 256 or 512, not {text}")
    return side


def between(low: float, high: float, kind: type[int] | type[float]) -> Callable[[str], float]:
    """An argument type: a number of `kind` in low..high."""

    def number(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be between {low:g} and {high:g}, not {text}")
        return value

    number.__name__ = kind.__name__
    return number


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m hub", description="Denoise and deblur photos and videos with Uformer."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    restore = commands.add_parser(
        "restore",
        help="restore photos and clips",
        description="Restore photos and clips. Folders are searched for both, sub-folders included, and their layout "
        "is kept.",
    )
    restore.set_defaults(run=_restore)
    restore.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="photo, clip, or folder of them")
    restore.add_argument(
        "-o",
        "--output",
        required=True,
        help="one input: a file, whose suffix tells a photo's format and whether a GIF is restored as a clip, or a "
        "folder; several: a folder, made if missing",
    )
    restore.add_argument("--overwrite", action="store_true", help="replace files that exist; without it they are kept")
    restore.add_argument("--task", help="denoise or deblur (default: the model's task, else denoise)")
    which = restore.add_mutually_exclusive_group()
    which.add_argument("--model", help="a name that `models` lists (default: the task's best installed model)")
    which.add_argument("--weights", type=Path, metavar="FILE", help="a .safetensors, .pth or .pt file of your own")
    restore.add_argument("--tile", type=tile_side, metavar="N", help="side of a tile, a multiple of 128")
    restore.add_argument("--overlap", type=between(0, 512, int), metavar="N", help="pixels by which tiles overlap")
    restore.add_argument(
        "--whole", action="store_true", help="the whole photo in one piece, up to HUB_WHOLE_MEGAPIXELS"
    )
    restore.add_argument(
        "--strength", type=between(0, 1, float), default=1.0, metavar="S", help="0 keeps the input, 1 (default) is all"
    )
    restore.add_argument(
        "--quality",
        type=between(0, 100, int),
        metavar="Q",
        help="photos: of lossy files, 1 to 100 (default 95); clips: constant rate factor, 0 (best) to 63 (default 18)",
    )
    restore.add_argument("--precision", choices=("auto", "bfloat16", "float32"), help="default: HUB_PRECISION")
    restore.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: HUB_DEVICE)")

    clips = restore.add_argument_group("clips")
    clips.add_argument("--start", type=float, metavar="SECONDS", help="restore from this presentation time on")
    clips.add_argument("--end", type=float, metavar="SECONDS", help="restore what is shown before this time")
    clips.add_argument("--codec", choices=CODECS, default="h264", help="of the result (default: h264)")
    clips.add_argument(
        "--temporal",
        action=argparse.BooleanOptionalAction,
        help="smooth the result over time, along motion (default: on for denoise, off for deblur)",
    )
    clips.add_argument(
        "--resume",
        action="store_true",
        help="go on after the finished segments of an interrupted run, which had the same options",
    )

    models = commands.add_parser("models", help="list the models and whether they are installed")
    models.set_defaults(run=_models)
    models.add_argument("--task", help="only models of this task")

    fetch = commands.add_parser("fetch", help="download official weights; an interrupted download is taken up again")
    fetch.set_defaults(run=_fetch)
    fetch.add_argument("--force", action="store_true", help="download again what is installed")
    fetch.add_argument("models", nargs="+", metavar="MODEL", help="a name that `models` lists")

    benchmark = commands.add_parser("benchmark", help="measure what the hub costs on top of the network")
    benchmark.set_defaults(run=_benchmark)
    benchmark.add_argument("--photo", type=Path, help="what is restored (default: a picture made for it)")
    benchmark.add_argument(
        "--size", nargs=2, type=between(1, 20000, int), default=(640, 480), metavar=("W", "H"), help="of that picture"
    )
    benchmark.add_argument("--clip", type=Path, help="also measure while this clip is restored; a minute or longer")
    benchmark.add_argument("--model", help="a name that `models` lists (default: the best installed one for denoise)")
    benchmark.add_argument("--rounds", type=between(1, 1000, int), default=7, metavar="N", help="default: 7")
    benchmark.add_argument("--json", type=Path, help="also write every single measurement into this file")

    settings = commands.add_parser("settings", help="list every HUB_ setting: its value, default and meaning")
    settings.set_defaults(run=_settings)

    key = commands.add_parser("key", help="make a key for the API, and the digest that HUB_API_KEYS takes")
    key.set_defaults(run=_key)

    serve = commands.add_parser("serve", help="serve the page and the API, like `python app.py`")
    serve.set_defaults(run=_serve)
    return parser


def _restore(args: argparse.Namespace, settings: Settings) -> int:
    from hub.cli.restore import restore

    return restore(args, settings)


def _models(args: argparse.Namespace, settings: Settings) -> int:
    from hub.cli.models import list_models

    return list_models(settings, args.task)


def _fetch(args: argparse.Namespace, settings: Settings) -> int:
    from hub.cli.models import fetch_models

    return fetch_models(settings, args.models, force=args.force)


def _benchmark(args: argparse.Namespace, settings: Settings) -> int:
    from hub.cli.benchmark import benchmark

    return benchmark(args, settings)


def _settings(_args: argparse.Namespace, settings: Settings) -> int:
    from hub.cli.settings import describe

    sys.stdout.write(describe(settings))
    return 0


def _key(_args: argparse.Namespace, _settings: Settings) -> int:
    from hub.cli.key import make_key

    sys.stdout.write(make_key())
    return 0


def _serve(_args: argparse.Namespace, _settings: Settings) -> NoReturn:
    """Become the server: app.py composes the faces, and the core below them must not import it."""
    from hub.settings import CHECKOUT

    os.execv(sys.executable, [sys.executable, str(CHECKOUT / "app.py")])  # noqa: S606  (no shell is the point)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Leave through the `finally` clauses, so that half-written files are removed."""
    raise SystemExit(128 + signal.SIGTERM)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; messages go to stderr, answers to stdout."""
    args = build_parser().parse_args(argv)
    from hub.settings import read_settings

    signal.signal(signal.SIGTERM, _terminate)
    try:
        status: int = args.run(args, read_settings())
        sys.stdout.flush()
    except InvalidInput as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2
    except HubError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout has gone (`| head`); Python must not complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
