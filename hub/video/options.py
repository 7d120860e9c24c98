"""What a person or a program may choose for one clip."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hub.choices import check_strength
from hub.errors import InvalidInput

CODECS = ("h264", "h265", "av1", "vp9", "prores", "lossless")
WORST_QUALITY = 63
DEFAULT_QUALITY = 18


@dataclass(frozen=True)
class VideoOptions:
    """The choices for one clip.

    model_name: None takes the task's best installed model.
    strength: 0 keeps the original, 1 is the full restoration.
    codec: one of CODECS. quality: constant rate factor, 0 (best) to 63; ProRes and lossless have none.
    temporal: smooth the result over time, along motion; None is on for denoise and off otherwise.
    start, end: seconds of presentation time; frames from `start` on and before `end` are restored.
    display: also make the page's before and after clips, and show the latest frame while the job runs.
    """

    task_type: str = "denoise"
    model_name: str | None = None
    strength: float = 1.0
    codec: str = "h264"
    quality: int = DEFAULT_QUALITY
    temporal: bool | None = None
    start: float | None = None
    end: float | None = None
    display: bool = False

    def check(self) -> None:
        """Raise InvalidInput for a value that no clip could be restored with; task and model are the catalog's."""
        check_strength(self.strength)
        if self.codec not in CODECS:
            raise InvalidInput(
                "unknown_codec",
                f"There is no codec {self.codec!r}; choose one of {', '.join(CODECS)}.",
                {"valid": list(CODECS)},
            )
        if not 0 <= self.quality <= WORST_QUALITY:
            raise InvalidInput(
                "invalid_quality",
                f"The quality is a constant rate factor from 0 (best) to {WORST_QUALITY}, not {self.quality}.",
            )
        for name, value in (("start", self.start), ("end", self.end)):
            if value is not None and not math.isfinite(value):
                raise InvalidInput("invalid_range", f"The {name} must be a number of seconds, not {value}.")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise InvalidInput(
                "invalid_range", f"The end must come after the start, not {self.start:g} s to {self.end:g} s."
            )

    @property
    def smooths(self) -> bool:
        """Whether the result is smoothed over time."""
        return self.task_type == "denoise" if self.temporal is None else self.temporal

    def to_spec(self) -> dict[str, Any]:
        """The options as a job's spec."""
        return asdict(self)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> VideoOptions:
        """The options of a job, also of one that an older version queued."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in spec.items() if name in known})
