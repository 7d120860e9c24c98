"""The one owner of the accelerator: it holds the models and runs the tiles of all jobs in batches."""

from hub.engine.engine import Engine, EngineStatus
from hub.engine.errors import EngineStopped
from hub.engine.loaded import ModelStatus
from hub.engine.session import EngineSession
from hub.engine.shares import Priority

__all__ = ["Engine", "EngineSession", "EngineStatus", "EngineStopped", "ModelStatus", "Priority"]
