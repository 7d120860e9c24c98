"""The call that does what the page just did, for those who want to do it by program: with curl, and in Python."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import gradio as gr

from hub.jobs.model import Job
from hub.restoration import PhotoOptions
from hub.ui.component import component
from hub.ui.stage import download_name

ADDRESS = "%HUB%"
"""Stands for the hub's address, which the browser knows: a proxy may have given it another."""
_PLAIN = re.compile(r"[\w.+ -]+", re.ASCII)


def snippet(elem_id: str) -> gr.HTML:
    """The calls, folded up and empty. Its value is what `calls` returns, or None."""
    return component("snippet", elem_id)


def calls(job: Job, strength: float, *, key: bool) -> dict[str, Any]:
    """The snippet's value for a finished photo. strength: of its last blend. key: whether the hub asks for one."""
    options = PhotoOptions.from_spec(job.spec)
    model = (job.result or {}).get("model") or options.model_name
    fields = {
        "task_type": options.task_type,
        "model_name": model,
        "use_patch_processing": str(options.use_patch_processing).lower(),
        "strength": f"{strength:g}",
    }
    target = download_name(job)
    return {"curl": _curl(job.filename, fields, target, key=key), "python": _python(job, options, model, strength, key)}


def _curl(filename: str, fields: dict[str, Any], target: str, *, key: bool) -> str:
    """A script for a POSIX shell: send, wait, fetch."""
    curl = "curl -sS --fail-with-body --retry 8" + (' -H "X-API-Key: $HUB_API_KEY"' if key else "")
    parts = [f"-F {shlex.quote(f'{name}={value}')}" for name, value in fields.items()]
    form = " \\\n  ".join(" ".join(parts[begin : begin + 2]) for begin in range(0, len(parts), 2))
    output = shlex.quote(f"./{target}" if target.startswith("-") else target)
    # In quotes, curl would take a comma or semicolon in a file's name for the end of it.
    escaped = filename.replace("\\", "\\\\").replace('"', '\\"')
    upload = shlex.quote(f"image_file=@{filename}" if _PLAIN.fullmatch(filename) else f'image_file=@"{escaped}"')
    return (
        f"HUB={ADDRESS}\n"
        f"ID=$({curl} -F {upload} \\\n"
        f"  {form} \\\n"
        '  $HUB/api/process_image | sed -E \'s/.*"task_id": ?"([^"]+)".*/\\1/\')\n'
        f"while {curl} -o status.json \\\n"
        "  $HUB/api/image_status/$ID &&\n"
        '  grep -qE \'"status": ?"(pending|processing)"\' status.json; do sleep 1; done\n'
        f"{curl} -o {output} \\\n"
        '  "$HUB$(sed -E \'s/.*"result_path": ?"([^"]+)".*/\\1/\' status.json)"\n'
    )


def _python(job: Job, options: PhotoOptions, model: str | None, strength: float, key: bool) -> str:
    """A program that uses the hub's own client."""
    begin = "# hub.client comes with the hub: run this in its folder, or name that in PYTHONPATH.\n"
    begin += "import os\n\n" if key else ""
    access = ', api_key=os.environ["HUB_API_KEY"]' if key else ""
    lines = [
        f"{begin}from hub.client import HubClient",
        "",
        f'with HubClient("{ADDRESS}"{access}) as hub:',
        "    hub.restore(",
        f"        {_quoted(job.filename)},",
        f"        {_quoted(options.task_type)},",
        f"        model={_quoted(model)},",
        f"        use_patch_processing={options.use_patch_processing},",
        f"        strength={strength:g},",
        f"        to={_quoted(download_name(job))},",
        "    )",
    ]
    return "\n".join(lines) + "\n"


def _quoted(words: str | None) -> str:
    """A string as Python and JSON both write it, or None."""
    return "None" if words is None else json.dumps(words, ensure_ascii=False)
