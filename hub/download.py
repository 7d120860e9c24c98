"""One file from one address: resumed where it stopped, retried while that helps."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from hub.errors import Busy

ATTEMPTS = 4
PAUSE_SECONDS = 0.5
# What must stay free on the disk for everybody else.
RESERVE = 256 << 20
RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})


class AddressFailed(Exception):
    """An address does not deliver the file; the message completes a sentence that starts with the address."""


class _Interrupted(Exception):
    """The transfer broke off; another attempt may go on from there."""


@dataclass(frozen=True)
class _Version:
    """What tells one version of a remote file from another.

    validator: a strong ETag or a Last-Modified date; None if the server gives neither.
    """

    validator: str | None
    size: int | None


def open_client(connect: float = 10.0, read: float = 30.0) -> httpx.Client:
    """An HTTP client; seconds to wait for a connection and for the next bytes."""
    return httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(read, connect=connect),
        # A compressed transfer could not be resumed.
        headers={"User-Agent": "uformer-hub", "Accept-Encoding": "identity"},
    )


def download(
    client: httpx.Client,
    url: str,
    part: Path,
    *,
    progress: Callable[[int, int | None], None],
    check_stopped: Callable[[], None],
) -> str | None:
    """Bring `part` to completion; what an earlier call left of the same version there is not sent again.

    part: grows as bytes come; a small file beside it remembers which version they belong to.
    progress: bytes so far and in all, None where the server does not say.
    check_stopped: raises to stop; `part` stays for the next time.
    Returns the file's sha256 where the server tells it, as hosts of large files do.
    Raises AddressFailed, or Busy (`disk_full`).
    """
    failures = 0
    while True:
        before = _size(part)
        try:
            return _attempt(client, url, part, progress, check_stopped)
        except _Interrupted as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS:
                raise AddressFailed(str(error)) from error
        check_stopped()
        time.sleep(PAUSE_SECONDS * 2 ** (failures - 1))


def discard(part: Path) -> None:
    """Remove an unfinished download and what is known of it."""
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _attempt(
    client: httpx.Client,
    url: str,
    part: Path,
    progress: Callable[[int, int | None], None],
    check_stopped: Callable[[], None],
) -> str | None:
    known = _recall(part)
    start = _size(part) if known.validator is not None else 0
    headers = {"Range": f"bytes={start}-", "If-Range": str(known.validator)} if start else {}
    try:
        with client.stream("GET", url, headers=headers) as response:
            version = _version(response)
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                if known.size == start == version.size:
                    return _told_sha256(response)
                discard(part)
                raise _Interrupted("does not continue the transfer")
            if response.status_code in RETRYABLE:
                raise _Interrupted(f"answers {response.status_code} {response.reason_phrase}".rstrip())
            if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                raise AddressFailed(f"answers {response.status_code} {response.reason_phrase}".rstrip())
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise AddressFailed("sends the file compressed, which cannot be resumed or checked")
            if response.status_code == httpx.codes.PARTIAL_CONTENT:
                # An answer to If-Range may leave the validator out.
                same = version.size == known.size and version.validator in (None, known.validator)
                if not same or _range_start(response) != start:
                    discard(part)
                    raise _Interrupted("continues another version of the file")
            else:
                start = 0
                discard(part)
            _check_space(part.parent, version.size, start)
            if not start:
                _remember(part, version)
            with part.open("ab") as file:
                received = start
                progress(received, version.size)
                for chunk in response.iter_raw():
                    check_stopped()
                    file.write(chunk)
                    received += len(chunk)
                    progress(received, version.size)
            if version.size is not None and received != version.size:
                raise _Interrupted(f"sent {received} bytes of {version.size}")
            return _told_sha256(response)
    except httpx.TransportError as error:
        raise _Interrupted(_reason(error)) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AddressFailed(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "does not answer in time"
    if isinstance(error, httpx.ConnectError):
        return f"cannot be reached ({error})"
    return f"broke off ({error})" if str(error) else f"broke off ({type(error).__name__})"


def _version(response: httpx.Response) -> _Version:
    """The version of the whole file that a response brings, or brings a part of."""
    etag = response.headers.get("ETag")
    strong = etag if etag and not etag.startswith("W/") else None
    whole = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
    length = whole[1] if whole else response.headers.get("Content-Length", "")
    return _Version(strong or response.headers.get("Last-Modified"), int(length) if length.isdecimal() else None)


def _range_start(response: httpx.Response) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _told_sha256(response: httpx.Response) -> str | None:
    """The sha256 that a host of large files gives as the ETag of what it redirects to."""
    for answer in (*response.history, response):
        found = re.fullmatch(r'"?([0-9a-f]{64})"?', answer.headers.get("X-Linked-ETag", ""))
        if found:
            return found[1]
    return None


def _check_space(folder: Path, size: int | None, have: int) -> None:
    """Raise Busy unless the rest of the file and its converted copy, which is no larger, fit on the disk."""
    needed = RESERVE + (2 * size - have if size is not None else 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Busy(
            "disk_full",
            f"The disk lacks room for the weights: {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free.",
            {"needed_bytes": needed, "free_bytes": free},
            retry_after=300,
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _remember(part: Path, version: _Version) -> None:
    _notes(part).write_text(json.dumps(asdict(version)), encoding="utf-8")


def _recall(part: Path) -> _Version:
    """The version that the bytes in `part` belong to; an unknown one if that was lost."""
    try:
        return _Version(**json.loads(_notes(part).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return _Version(None, None)
