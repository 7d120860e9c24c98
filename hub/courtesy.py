"""Threads that compute step back behind those that answer."""

from __future__ import annotations

import os
import sys
import threading

NICENESS = 5


def step_back() -> None:
    """Let every other thread go before this one, and before those that it starts from now on.

    On two cores the network uses both; a server's thread that wakes for a request must not have to wait its turn
    behind it. Linux alone gives threads a niceness of their own.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < NICENESS:
            os.setpriority(os.PRIO_PROCESS, thread, NICENESS)
