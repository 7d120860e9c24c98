"""What Gradio reads from the process environment, set before the page is built; and what it is kept from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import gradio as gr
import imageio_ffmpeg
from gradio import processing_utils

from hub.ui.language import say


def prepare_environment(cache_dir: Path, bin_dir: Path) -> None:
    """Keep Gradio on this machine and inside the data directory, and give it the `ffmpeg` it looks for."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = str(cache_dir.resolve())
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    link_ffmpeg(bin_dir)
    # Where a caller names a file by an address of another machine, Gradio would fetch it.
    processing_utils.async_ssrf_protected_download = _refuse


async def _refuse(url: str, cache_dir: str) -> str:  # noqa: ARG001 - Gradio names them.
    raise gr.Error(say("gate_remote"), print_exception=False)


def link_ffmpeg(bin_dir: Path) -> Path:
    """Put imageio-ffmpeg's binary on PATH as `ffmpeg`, behind one that the system has; returns the link or file."""
    binary = Path(imageio_ffmpeg.get_ffmpeg_exe()).resolve()
    bin_dir.mkdir(parents=True, exist_ok=True)
    link = bin_dir.resolve() / f"ffmpeg{binary.suffix if os.name == 'nt' else ''}"
    if not link.exists() or link.resolve() != binary:
        fresh = link.with_name(f".{link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        try:
            fresh.symlink_to(binary)
        except OSError:  # a file system, or a Windows account, without symbolic links
            shutil.copy2(binary, fresh)
        fresh.replace(link)
    directories = os.environ.get("PATH", "").split(os.pathsep)
    if str(link.parent) not in directories:
        os.environ["PATH"] = os.pathsep.join([*filter(None, directories), str(link.parent)])
    return link
