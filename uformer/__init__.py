"""Uformer networks and what it takes to restore images of any size with them.

What needs PyTorch comes when it is first asked for: importing that takes seconds, and OpenVINO runs without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from uformer.architecture import VARIANTS, UformerConfig
from uformer.backends import Backend, OutOfMemory, open_backend
from uformer.checkpoint import CheckpointError, Weights, load_weights
from uformer.restore import BackendRunner, Restored, RestoreOptions, Restorer, RestoreReport, blend
from uformer.sequence import SequenceRestorer

if TYPE_CHECKING:
    from uformer.model import Uformer
    from uformer.modelfile import load_model, save_model, weights_of

__all__ = [
    "VARIANTS",
    "Backend",
    "BackendRunner",
    "CheckpointError",
    "OutOfMemory",
    "RestoreOptions",
    "RestoreReport",
    "Restored",
    "Restorer",
    "SequenceRestorer",
    "Uformer",
    "UformerConfig",
    "Weights",
    "blend",
    "load_model",
    "load_weights",
    "open_backend",
    "save_model",
    "weights_of",
]


def __getattr__(name: str) -> Any:
    if name == "Uformer":
        return import_module("uformer.model").Uformer
    if name in ("load_model", "save_model", "weights_of"):
        return getattr(import_module("uformer.modelfile"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
