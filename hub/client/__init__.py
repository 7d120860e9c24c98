"""A client of the hub for programs, which needs httpx and nothing of the server.

from hub.client import HubClient

with HubClient("http://127.0.0.1:8000") as hub:
    hub.denoise("photo.jpg", to="restored.jpg")
"""

from __future__ import annotations

from hub.client.asynchronous import AsyncHubClient, AsyncTask
from hub.client.client import HubClient, Task
from hub.client.errors import (
    BusyError,
    ConflictError,
    ForbiddenError,
    HubClientError,
    InvalidError,
    NotCompleted,
    NotFoundError,
    Refused,
    ServerError,
    TaskCancelled,
    TaskFailed,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    Unreachable,
    UnsupportedMediaError,
    WaitTimeout,
)
from hub.client.model import (
    BESIDE,
    PhotoOptions,
    RestoreOptions,
    Result,
    TaskInfo,
    TaskPage,
    TaskStatus,
    VideoOptions,
)

__all__ = [
    "BESIDE",
    "AsyncHubClient",
    "AsyncTask",
    "BusyError",
    "ConflictError",
    "ForbiddenError",
    "HubClient",
    "HubClientError",
    "InvalidError",
    "NotCompleted",
    "NotFoundError",
    "PhotoOptions",
    "Refused",
    "RestoreOptions",
    "Result",
    "ServerError",
    "Task",
    "TaskCancelled",
    "TaskFailed",
    "TaskInfo",
    "TaskPage",
    "TaskStatus",
    "TooLargeError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "Unreachable",
    "UnsupportedMediaError",
    "VideoOptions",
    "WaitTimeout",
]
