"""Asking again: what is worth it, after how long, and when to give up."""

from __future__ import annotations

import random
import time

import httpx

from hub.client.effects import Ask, Call, Flow, Pause
from hub.client.errors import HubClientError, Refused, Unreachable, not_json, refusal
from hub.client.model import Json

# 408: the line was slow. 502 and 504 come from a proxy whose hub is just restarting.
RETRIED = frozenset({408, 429, 502, 503, 504})
_LOST = frozenset({502, 504})
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 10.0


class Patience:
    """How long one thing may be tried: pauses grow, and end `seconds` after the last success."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Something worked: begin anew."""
        self._failures = 0
        self._end = time.monotonic() + self._seconds

    def pause(self, failure: HubClientError) -> Pause:
        """What to do before the next try. Raises `failure` where no time is left for that.

        The server's Retry-After is the least; chance is added, so that clients sent away together come back apart.
        """
        told = failure.retry_after if isinstance(failure, Refused) else None
        if told is None:
            longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures)
            seconds = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        else:
            seconds = told + random.uniform(0, min(1.0, 0.05 + 0.25 * told))  # noqa: S311 - no secret
        self._failures += 1
        if time.monotonic() + seconds > self._end:
            raise failure
        return Pause(seconds)


def broken(error: httpx.TransportError) -> Unreachable:
    """The error to report for a broken connection. Raises it where no repetition can help, as for a bad address."""
    failure = Unreachable(f"The server gave no answer: {str(error) or type(error).__name__}.")
    failure.__cause__ = error
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        raise failure
    return failure


def ask(call: Call, patience: float) -> Flow[httpx.Response]:
    """The answer to a call that may be repeated, once there is one.

    patience: seconds for which lost connections and answers that may change (RETRIED) are tried again.
    Raises Refused and Unreachable.
    """
    trying = Patience(patience)
    unsure = False
    while True:
        try:
            response: httpx.Response = yield Ask(call)
        except httpx.TransportError as error:
            failure: HubClientError = broken(error)
            # Whoever was not reached has done nothing.
            unsure = unsure or not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
        else:
            if response.is_success:
                return response
            refused = refusal(response)
            refused.unsure = unsure
            if response.status_code not in RETRIED:
                raise refused
            unsure = unsure or response.status_code in _LOST
            failure = refused
        yield trying.pause(failure)


def ask_json(call: Call, patience: float) -> Flow[Json]:
    """The same, of a call whose answer is a JSON object. Raises Refused for an answer that is none, such as a page."""
    response = yield from ask(call, patience)
    return object_in(response)


def object_in(response: httpx.Response) -> Json:
    """The JSON object that is a response's body. Raises Refused."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise not_json(response)
    return body
