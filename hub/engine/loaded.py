"""A model in memory, as it is used and as others see it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from uformer.backends import Backend

log = logging.getLogger(__name__)


@dataclass(eq=False)
class LoadedModel:
    """A model in memory; `sessions` and `batches` count who uses it now."""

    name: str
    backend: Backend
    last_used: int
    sessions: int = 0
    batches: int = 0

    @property
    def idle(self) -> bool:
        """Whether nobody would miss it."""
        return not self.sessions and not self.batches


@dataclass(frozen=True)
class ModelStatus:
    """One model as the engine sees it; `loaded` is False while it is still being loaded."""

    name: str
    loaded: bool
    in_use: int
    bytes: int
    backend: str | None


def close_all(models: Iterable[LoadedModel]) -> None:
    """Give their memory back."""
    for model in models:
        try:
            model.backend.close()
        except Exception:
            log.exception("Closing model %s failed.", model.name)
