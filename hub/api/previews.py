"""Previews: a small JPEG of any photo that the hub can read."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, File, Response, UploadFile

from hub.api.dependencies import HubOf
from hub.api.lanes import PREVIEWS
from hub.api.problems import example, problems
from hub.api.submission import PHOTO_PROBLEMS, upload_problems
from hub.disk import disk_full_is_busy
from hub.errors import InvalidInput
from hub.media.image import encode

router = APIRouter(prefix="/api", tags=["Photos"])

MAX_SIDE = 800
QUALITY = 85


@router.post(
    "/generate_preview",
    summary="Preview a photo",
    response_class=Response,
    responses={
        200: {
            "description": f"A JPEG of at most {MAX_SIDE} pixels on a side: upright, sRGB, transparent parts on white.",
            "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        },
        **problems(
            *upload_problems("image_file"),
            *PHOTO_PROBLEMS,
            example(
                503,
                "decoder_busy",
                "The hub is busy reading other photos; this one waited 30 seconds for its turn. Try again in a moment.",
            ),
        ),
    },
)
@PREVIEWS.endpoint
def generate_preview(
    hub: HubOf,
    image_file: Annotated[UploadFile, File(description="Any photo that the hub can read, raw and HEIC too.")],
) -> Response:
    """For pages whose browser cannot show the photo itself. Nothing of it is kept."""
    with (
        disk_full_is_busy(),
        tempfile.TemporaryDirectory(prefix="preview-", dir=hub.settings.data_dir / "tmp") as folder,
    ):
        source, small = Path(folder) / "source", Path(folder) / "small.jpg"
        with source.open("wb") as file:
            shutil.copyfileobj(image_file.file, file, 1 << 20)
        if source.stat().st_size == 0:
            raise InvalidInput("empty_file", "The file is empty (zero bytes); please send a file with content.")
        encode(hub.decoder.preview(source, MAX_SIDE), small, format="jpeg", quality=QUALITY)
        return Response(small.read_bytes(), media_type="image/jpeg")
