"""Photos: opened safely whatever they are, written back as what they were."""

from __future__ import annotations

from hub.media.decoder import PhotoDecoder
from hub.media.encoding import encode, write_display_png
from hub.media.output import FORMATS, OutputPlan, output_suffix, plan_output
from hub.media.photo import Metadata, Photo, PhotoInfo

__all__ = [
    "FORMATS",
    "Metadata",
    "OutputPlan",
    "Photo",
    "PhotoDecoder",
    "PhotoInfo",
    "encode",
    "output_suffix",
    "plan_output",
    "write_display_png",
]
