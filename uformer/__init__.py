"""Uformer networks and what it takes to restore images of any size with them."""

from uformer.backends import Backend, OutOfMemory, open_backend
from uformer.checkpoint import CheckpointError, load_model, save_model
from uformer.model import VARIANTS, Uformer, UformerConfig
from uformer.restore import BackendRunner, Restored, RestoreOptions, Restorer, RestoreReport, blend
from uformer.sequence import SequenceRestorer

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
    "blend",
    "load_model",
    "open_backend",
    "save_model",
]
