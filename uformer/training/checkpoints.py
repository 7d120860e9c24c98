"""The state of a run on disk: whole or absent, in files small enough to be carried anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

PART_BYTES = 15 << 20
_FACTS = "state.json"


def save(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Replace the state in `folder`. A crash leaves the old state or the new one.

    Files hold at most 15 MiB each; a single tensor may not be larger.
    """
    new, old = folder.with_suffix(".new"), folder.with_suffix(".old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for index, part in enumerate(_parts(tensors)):
        save_file(part, new / f"part-{index}.safetensors")
    (new / _FACTS).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors, on the CPU, and the facts that were saved last; None if there are none."""
    kept = next((place for place in (folder, folder.with_suffix(".old")) if (place / _FACTS).is_file()), None)
    if kept is None:
        return None
    tensors: dict[str, Tensor] = {}
    for path in sorted(kept.glob("part-*.safetensors")):
        tensors |= load_file(path)
    return tensors, json.loads((kept / _FACTS).read_text("utf-8"))


def _parts(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    parts: list[dict[str, Tensor]] = []
    room = 0
    for name, tensor in tensors.items():
        kept = tensor.detach().cpu().contiguous()
        if not parts or kept.nbytes > room:
            parts.append({})
            room = PART_BYTES
        parts[-1][name] = kept
        room -= kept.nbytes
    return parts
