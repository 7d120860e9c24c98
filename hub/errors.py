"""The few kinds of error the hub raises on purpose.

Core code raises them; each face (REST, page, command line) renders them in its own one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class HubError(Exception):
    """Something went wrong that the caller can be told about.

    code: short machine-readable word, such as `unknown_model`.
    message: one or two plain sentences: what was wrong, and what would be right.
    data: machine-readable details, such as the valid choices; JSON types only.
    """

    def __init__(self, code: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data: dict[str, Any] = dict(data or {})


class InvalidInput(HubError):
    """A value or a file's content is wrong; sending it again will not help (HTTP 422)."""


class UnsupportedMedia(HubError):
    """The file is of a type the hub cannot read (HTTP 415)."""


class TooLarge(HubError):
    """More bytes, pixels, frames or seconds than the settings allow (HTTP 413)."""


class Unauthorized(HubError):
    """A key is asked for, and none or a wrong one was given (HTTP 401)."""


class Forbidden(HubError):
    """Not for this caller, who is known (HTTP 403)."""


class NotFound(HubError):
    """No such job, result or model (HTTP 404)."""


class Conflict(HubError):
    """Right request, wrong state: weights not installed, job already finished (HTTP 409)."""


class Busy(HubError):
    """No room just now; try again later (HTTP 503).

    retry_after: seconds after which a retry is sensible.
    """

    def __init__(
        self, code: str, message: str, data: Mapping[str, Any] | None = None, *, retry_after: int = 10
    ) -> None:
        super().__init__(code, message, data)
        self.retry_after = retry_after


class TooManyRequests(HubError):
    """The caller asks more often than the settings allow (HTTP 429).

    retry_after: seconds after which the next request is within the limit.
    """

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__("too_many_requests", message)
        self.retry_after = retry_after


class Cancelled(HubError):
    """The job was cancelled by its owner while it ran."""

    def __init__(self, message: str = "Cancelled.") -> None:
        super().__init__("cancelled", message)
