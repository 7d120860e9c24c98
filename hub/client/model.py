"""What the client takes and gives: options, the state of a task, a result."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, TypedDict

Json: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal["image", "video"]
TaskKind: TypeAlias = Literal["image", "video", "install"]


class Beside:
    """The type of `BESIDE`."""

    def __repr__(self) -> str:
        return "BESIDE"


BESIDE = Beside()
"""As `to`: save the result in the folder of the file that was sent."""
Source: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A path, a file's bytes, or a file open for reading bytes, which is sent from its beginning."""


class CommonOptions(TypedDict, total=False):
    """What photos and clips have in common; what is left out or None follows the server's default."""

    model: str | None
    """Such as `denoise_16`; by default the task's best installed one."""
    strength: float | None
    """0 keeps the original, 1 (the default) is the full restoration."""
    quality: int | None
    """Photos: 1 to 100, best 100, default 95. Clips: constant rate factor, best 0, default 18."""


class PhotoOptions(CommonOptions, total=False):
    """How to restore a photo."""

    output_format: Literal["same", "png", "jpeg", "webp", "tiff", "avif"] | None
    use_patch_processing: bool | None
    """True (the default): overlapping tiles. False: in one piece, as far as memory allows."""


class VideoOptions(CommonOptions, total=False):
    """How to restore a clip."""

    codec: Literal["h264", "h265", "av1", "vp9", "prores", "lossless"] | None
    temporal: bool | None
    """Smooth over time, against flicker; by default on for denoise."""
    start: float | None
    end: float | None
    """Seconds of presentation time: only frames from `start` on, and before `end`."""


class Options(PhotoOptions, VideoOptions, total=False):
    """How to restore a file of either kind; an option of the other kind is a ValueError."""


@dataclass(frozen=True)
class TaskStatus:
    """Where a task stands.

    status: `pending`, `processing`, `completed`, `failed` or `cancelled`. progress: 0 to 100.
    queue_position: 1 is the next to run; while pending. eta_seconds: while processing, once it can be guessed.
    result_path, details: of a completed task. error, code, resumable: of a failed one.
    raw: the whole answer.
    """

    status: str
    progress: int = 0
    message: str = ""
    queue_position: int | None = None
    eta_seconds: float | None = None
    result_path: str | None = None
    details: Json = field(default_factory=dict)
    error: str | None = None
    code: str | None = None
    resumable: bool = False
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @property
    def finished(self) -> bool:
        """Whether the task has come to its end."""
        return self.status not in ("pending", "processing")

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> TaskStatus:
        """From a status answer or event; fields that a newer server adds stay in `raw`."""
        return cls(
            status=str(answer["status"]),
            progress=answer.get("progress") or 0,
            message=answer.get("message") or "",
            queue_position=answer.get("queue_position"),
            eta_seconds=answer.get("eta_seconds"),
            result_path=answer.get("result_path"),
            details=answer.get("result") or {},
            error=answer.get("error"),
            code=answer.get("code"),
            resumable=bool(answer.get("resumable")),
            raw=dict(answer),
        )


@dataclass(frozen=True)
class TaskInfo:
    """A task of the list: what was asked for, and where it stands.

    kind: `image`, `video` or `install`. task: `denoise`, `deblur` or `install`. Times are in UTC.
    """

    id: str
    kind: str
    task: str
    model_name: str | None
    filename: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    status: TaskStatus

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> TaskInfo:
        """From a task as the server lists it."""
        return cls(
            id=answer["task_id"],
            kind=answer["kind"],
            task=answer["task"],
            model_name=answer.get("model_name"),
            filename=answer["filename"],
            created_at=datetime.fromisoformat(answer["created_at"]),
            started_at=_time(answer.get("started_at")),
            finished_at=_time(answer.get("finished_at")),
            status=TaskStatus.read(answer),
        )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@dataclass(frozen=True)
class TaskPage:
    """Some tasks, newest first. next: what to give as `before` for the following page; None on the last."""

    tasks: list[TaskInfo]
    next: str | None = None

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> TaskPage:
        """From a page as the server answers it."""
        return cls([TaskInfo.read(task) for task in answer["tasks"]], answer.get("next"))


Progress: TypeAlias = Callable[[TaskStatus], Awaitable[None] | None]
"""Called with each new state of a task; the asynchronous client awaits what it returns."""


class RestoreOptions(Options, total=False):
    """How to restore a file, and how to go about it."""

    to: str | os.PathLike[str] | Beside | None
    """The file or folder to save to (a path ending with a slash is made), or BESIDE the input; None: into memory."""
    kind: Kind | None
    """`image` or `video`, where the file's name and first bytes do not tell."""
    filename: str | None
    """What to call the file, where the source has no name or another one."""
    progress: Progress | None
    """Called with each new state."""
    timeout: float | None
    """Seconds to wait for the task; by default as long as it takes."""
    cancel_on_interrupt: bool
    """Whether Ctrl-C (or a cancelled coroutine) cancels the task too; by default it goes on."""
    idempotency_key: str | None
    """A key of your own: the same one sent again, even by another run of your program, gives the same task."""


@dataclass(frozen=True)
class Result:
    """A restored file.

    filename: the server's name for it, such as `enhanced_photo.jpg`. details: size, model, time, notes.
    path: where it was saved; content: its bytes, unless it was saved.
    """

    task_id: str
    filename: str
    details: Json
    path: Path | None = None
    content: bytes | None = field(default=None, repr=False)
