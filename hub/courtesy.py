"""Threads that compute step back behind those that answer."""

from __future__ import annotations

import os
import sys
import threading

NICENESS = 5
"""Of the network and of jobs; what reads and writes clips is twice as nice, for a live frame must not wait for that."""


def step_back(niceness: int = NICENESS) -> None:
    """Let threads that are less nice go before this one, and before those that it starts from now on.

    On two cores the network uses both; a server's thread that wakes for a request must not have to wait its turn
    behind it. Linux alone gives threads a niceness of their own.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < niceness:
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
