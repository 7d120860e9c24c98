"""Live frames, as clients make and read them."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import WebSocketTestSession

ADDRESS = "/ws/process_video"


def picture(width: int = 60, height: int = 40, shade: int = 100, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), shade, np.uint8)).save(file, kind)
    return file.getvalue()


def url(data: bytes, kind: str = "jpeg") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def shown(answer: str) -> NDArray[np.uint8]:
    """The picture of an answer in JSON mode."""
    head, _, payload = answer.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(payload, validate=True))))


def error_of(answer: str) -> str:
    told: dict[str, Any] = json.loads(answer)
    assert len(told["error"]) > 10
    code: str = told["code"]
    return code


def ask(session: WebSocketTestSession, message: Any) -> str:
    """Send a message, JSON unless it is text or bytes, and return the text that comes back."""
    if isinstance(message, bytes):
        session.send_bytes(message)
    else:
        session.send_text(message if isinstance(message, str) else json.dumps(message))
    return session.receive_text()
