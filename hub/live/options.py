"""What a client may choose for its live frames."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

FORMATS = ("jpeg", "png", "webp")
"""What frames may be."""


class LiveOptions(BaseModel):
    """How live frames are restored and sent back.

    task_type, model_name: None takes the model's task, or the task's best installed model.
    use_patch_processing: False takes the frame in one piece, as far as `whole_megapixels` allows.
    show_fps: write the frames per second on the picture. quality: of the JPEG, 1..100.
    """

    model_config = ConfigDict(strict=True, frozen=True, protected_namespaces=())

    task_type: str | None = None
    model_name: str | None = None
    use_patch_processing: bool = False
    show_fps: bool = False
    quality: int = Field(90, ge=1, le=100)

    @field_validator("task_type", "model_name")
    @classmethod
    def _nothing_chosen(cls, value: str | None) -> str | None:
        """A page whose list has no choice yet sends an empty text."""
        return value or None

    @property
    def model(self) -> tuple[str | None, str | None]:
        """What decides which model is used."""
        return self.task_type, self.model_name


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One frame as it came: a JPEG, PNG or WebP file as bytes, or as base64 text with or without `data:` before it."""

    options: LiveOptions
    data: bytes | str


@dataclass(frozen=True)
class RestoredFrame:
    """A JPEG, and as a `data:` URL if its frame came as text."""

    jpeg: bytes
    url: str | None

    @classmethod
    def of(cls, jpeg: bytes, *, as_text: bool) -> Self:
        """The answer to a frame that came as text or not."""
        return cls(jpeg, f"data:image/jpeg;base64,{b64encode(jpeg).decode()}" if as_text else None)
