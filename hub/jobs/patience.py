"""Calls to a database that may be away for a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from hub.errors import Busy, HubError

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_SECONDS = 1.0


def patiently(call: Callable[[], T], stopping: threading.Event) -> T:
    """Call until the database answers, whatever goes wrong: a job whose end is not recorded would never have one.

    Raises what the database says of the call itself (NotFound, Conflict), and all else only once `stopping` is set.
    """
    while True:
        try:
            return call()
        except Exception as error:
            if isinstance(error, HubError) and not isinstance(error, Busy):
                raise
            if stopping.wait(RETRY_SECONDS):
                raise
            logger.warning("The jobs database does not answer; trying again.", exc_info=True)
