"""Files of weights → PyTorch's networks, and back."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from uformer.checkpoint import Weights, load_weights, variant_name
from uformer.model import Uformer


def load_model(path: str | Path, train_size: int | None = None, variant: str | None = None) -> Uformer:
    """Build the network that a file of weights belongs to: eval mode, float32, on the CPU; see `load_weights`."""
    return build_model(load_weights(path, train_size, variant))


def build_model(weights: Weights) -> Uformer:
    """The network with these weights, whose memory it shares: eval mode, float32, on the CPU."""
    model = Uformer(weights.config)
    for name, parameter in model.named_parameters():
        parameter.data = torch.from_numpy(weights.arrays[name])
    return model.eval()


def weights_of(model: Uformer) -> Weights:
    """A copy of a network's weights, in float32."""
    arrays = {
        name: np.array(parameter.detach().float().numpy(force=True), order="C")
        for name, parameter in model.named_parameters()
    }
    return Weights(model.config, arrays)


def save_model(
    model: Uformer,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the network alone as a .safetensors file that `load_model` reads back; whole or not at all.

    metadata: further remarks, such as the task; variant and train size are added.
    dtype: float16 or float32. Raises ValueError for other types, and for weights that are not finite in it;
    OSError if the file cannot be written.
    """
    if dtype not in (torch.float16, torch.float32):
        raise ValueError(f"Weights are saved as float16 or float32, not {dtype}.")
    path = Path(path)
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        kept = tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)
        if kept.is_floating_point() and not torch.isfinite(kept).all():
            raise ValueError(f"`{name}` holds values that are not finite in {dtype}.")
        tensors[name] = kept.contiguous()
    remarks = {
        **(metadata or {}),
        "format": "pt",
        "architecture": "uformer",
        "variant": variant_name(model.config),
        "train_size": str(model.config.train_size),
    }
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        try:
            save_file(tensors, temporary, metadata=remarks)
        except SafetensorError as error:
            raise OSError(f"{path} could not be written: {error}") from error
        temporary.chmod(mode)  # safetensors makes files that nobody else may read.
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":
        # The name itself must reach the disk too.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
