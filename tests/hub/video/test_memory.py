from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_minutes_of_720p_fit_into_one_and_a_half_gigabytes(pytestconfig: pytest.Config) -> None:
    """All but the network is real. One frame a second, to be quick; ten minutes with --long; `soak.py` takes any."""
    seconds = str(60 * pytestconfig.getoption("--video-minutes"))
    soak = Path(__file__).with_name("soak.py")
    environment = {**os.environ, "PYTHONPATH": str(soak.parents[3])}
    done = subprocess.run([sys.executable, str(soak), seconds, "1"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    frames, _, rest = done.stdout.partition(" frames")
    assert frames == seconds
    most, _, first_half = rest.partition("at most ")[2].partition(" MiB, in the first half ")
    assert int(most) < 1500
    assert int(most) < int(first_half.split()[0]) + 50  # It does not grow.
