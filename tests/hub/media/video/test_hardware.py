from __future__ import annotations

from hub.media.video.hardware import find_hardware


def test_only_what_encodes_a_frame_is_found() -> None:
    assert find_hardware("h264") in (None, "nvenc", "qsv", "amf")
    assert find_hardware("vp9") is None
