"""What can go wrong for a client of the hub, each kind with its own class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx


class HubClientError(Exception):
    """What every error of this package is."""


class Unreachable(HubClientError, ConnectionError):
    """No answer came from the server, however often it was asked."""


class WaitTimeout(HubClientError, TimeoutError):
    """The task did not end in the time that the caller allowed; it goes on.

    task_id: for `HubClient.task`, which takes it up again.
    """

    def __init__(self, task_id: str, seconds: float) -> None:
        super().__init__(f"The task {task_id} did not end within {seconds:g} seconds.")
        self.task_id = task_id


class TaskFailed(HubClientError):
    """The task ended without a result.

    error: what went wrong. code: the kind of error in one word. resumable: whether `resume` takes it up again.
    """

    def __init__(self, task_id: str, error: str, code: str, resumable: bool) -> None:
        super().__init__(f"The task {task_id} failed: {error}")
        self.task_id = task_id
        self.error = error
        self.code = code
        self.resumable = resumable


class TaskCancelled(HubClientError):
    """The task was cancelled, so it has no result."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"The task {task_id} was cancelled.")
        self.task_id = task_id


class NotCompleted(HubClientError):
    """The task has no result yet; wait for it first."""


class Refused(HubClientError):
    """The server answered with an error.

    status: of HTTP. code: the kind of error in one word. detail: what was wrong, and what would be right.
    data: what else the answer holds, such as `valid` with the accepted values. retry_after: seconds, where told.
    unsure: an earlier answer to the same request was lost, so the server may have done already what it refuses now.
    """

    def __init__(self, status: int, code: str, detail: str, data: Mapping[str, Any], retry_after: float | None) -> None:
        super().__init__(f"{detail} ({status} {code})")
        self.status = status
        self.code = code
        self.detail = detail
        self.data = dict(data)
        self.retry_after = retry_after
        self.unsure = False


class UnauthorizedError(Refused):
    """401: the server wants a key, and got none or a wrong one."""


class ForbiddenError(Refused):
    """403: the key is not the operator's."""


class NotFoundError(Refused):
    """404: no such task or result, or not of this caller."""


class ConflictError(Refused):
    """409: the right request in the wrong state, such as weights that are not installed."""


class TooLargeError(Refused):
    """413: more bytes, pixels, frames or seconds than the server takes."""


class UnsupportedMediaError(Refused):
    """415: the file is of a type that the hub cannot read."""


class InvalidError(Refused):
    """422: a field or the file's content is wrong."""


class TooManyRequestsError(Refused):
    """429: the caller's rate limit is used up; see `retry_after`."""


class BusyError(Refused):
    """503: the queue or the disk is full just now; see `retry_after`."""


class ServerError(Refused):
    """Another 5xx: the server, or a proxy before it, failed."""


_CLASSES: Mapping[int, type[Refused]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    415: UnsupportedMediaError,
    422: InvalidError,
    429: TooManyRequestsError,
    503: BusyError,
}
_STANDARD = frozenset({"type", "title", "status", "detail", "code"})
_SHOWN = 200


def refusal(response: httpx.Response) -> Refused:
    """The error that an answer, read whole, stands for; a proxy's answers, which are no problem documents, included."""
    status = response.status_code
    try:
        body = response.json()
    except ValueError:
        body = None
    problem = body if isinstance(body, dict) else {}
    if 300 <= status < 400:
        detail = f"The server redirects to {response.headers.get('location', 'nowhere')}; give that address instead."
    else:
        detail = response.text[:_SHOWN].strip() or response.reason_phrase
    kind = _CLASSES.get(status, ServerError if status >= 500 else Refused)
    return kind(
        status,
        str(problem.get("code", f"http_{status}")),
        str(problem.get("detail", detail)),
        {name: value for name, value in problem.items() if name not in _STANDARD},
        seconds(response.headers.get("retry-after")),
    )


def not_json(response: httpx.Response) -> Refused:
    """The error for an answer that should hold JSON and does not: it comes from something other than the hub."""
    detail = f"The answer is not the hub's; is {response.url.copy_with(path='/', query=None)} its address?"
    return Refused(response.status_code, "not_json", detail, {}, None)


def seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; None where there is none, or a date, which the hub does not send."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    return float(text) if text.isascii() and text.isdecimal() else None
