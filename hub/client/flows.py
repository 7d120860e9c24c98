"""The hub's calls as flows: what to ask, what to make of the answer, and what to do when none comes."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import httpx

from hub.client import requests
from hub.client.effects import Ask, Call, Do, Flow, Open, Read
from hub.client.errors import ConflictError, HubClientError, NotFoundError, refusal
from hub.client.model import Json, Kind, Options, RestoreOptions, Result, Source, TaskPage, TaskStatus
from hub.client.retries import RETRIED, Patience, ask, ask_json, broken, object_in
from hub.client.sources import Upload
from hub.client.targets import Memory, Saved, Target, result_name
from hub.client.watching import completed

log = logging.getLogger(__name__)

# Options that are not fields of the form.
_ABOUT = frozenset(get_type_hints(RestoreOptions)) - frozenset(get_type_hints(Options))


def submit(
    source: Source,
    task: str,
    how: Mapping[str, Any],
    *,
    patience: float,
    kind: Kind | None = None,
) -> Flow[str]:
    """Send a file to be restored; the id of its task.

    how: RestoreOptions; those for the time after the sending are left aside.
    Raises Refused, Unreachable, OSError for a file that cannot be read, ValueError for an option of the other kind.
    """
    options = {name: value for name, value in how.items() if name not in _ABOUT}
    with Upload(source, how.get("filename")) as upload:
        yield Do(upload.open)
        found = kind or how.get("kind") or upload.kind
        call = requests.process(upload, found, task, options, how.get("idempotency_key"))
        answered = yield from ask_json(call, patience)
    return str(answered["task_id"])


def status(task_id: str, *, patience: float) -> Flow[TaskStatus]:
    """Where a task stands."""
    return TaskStatus.read((yield from ask_json(requests.task(task_id), patience)))


def cancel(task_id: str, *, patience: float) -> Flow[TaskStatus]:
    """Cancel a task; how it ended."""
    return TaskStatus.read((yield from ask_json(requests.cancel(task_id), patience)))


def resume(task_id: str, *, patience: float) -> Flow[TaskStatus]:
    """Queue a failed clip again."""
    try:
        return TaskStatus.read((yield from ask_json(requests.resume(task_id), patience)))
    except ConflictError as error:
        if not error.unsure or error.data.get("task_status") not in ("pending", "processing", "completed"):
            raise
        # The answer that was lost had said yes.
        return (yield from status(task_id, patience=patience))


def delete(task_id: str, *, patience: float) -> Flow[None]:
    """Remove a task and its files."""
    try:
        yield from ask(requests.delete(task_id), patience)
    except NotFoundError as error:
        if not error.unsure:
            raise


def download(
    task_id: str, state: TaskStatus | None, *, to: Path | None, confirm: bool, patience: float
) -> Flow[Result]:
    """The result of a task, into memory or to a folder or file.

    state: of the task, where it is known. confirm: tell the server, so that it need not keep the result much longer.
    Raises TaskFailed, TaskCancelled, NotCompleted, Refused, Unreachable, and OSError for a target that cannot be
    written.
    """
    if state is None:
        state = yield from status(task_id, patience=patience)
    result_path = completed(task_id, state).result_path
    if result_path is None:
        raise ValueError(f"The task {task_id} is none that makes a file.")
    filename = result_name(result_path)
    if to is None:
        memory = Memory()
        yield from _receive(result_path, memory, patience)
        result = Result(task_id, filename, state.details, content=memory.content)
    else:
        saved = Saved(to, filename)
        try:
            yield from _receive(result_path, saved, patience)
        finally:
            saved.close()
        result = Result(task_id, filename, state.details, path=saved.path)
    if confirm:
        try:
            yield from ask(requests.confirm_download(result_path), patience)
        except HubClientError as error:
            # The result is here, which is what counts; unconfirmed, the server keeps its own longer.
            log.warning("The download of %s could not be confirmed: %s", filename, error)
    return result


def _receive(result_path: str, target: Target, patience: float) -> Flow[None]:
    """All bytes of a result; after a break it goes on where it was."""
    trying = Patience(patience)
    tag: str | None = None
    while True:
        try:
            response: httpx.Response = yield Open(requests.result(result_path, target.size, tag))
            if not response.is_success and response.status_code != 416:
                failure = refusal(response)
                if response.status_code not in RETRIED:
                    raise failure
                yield trying.pause(failure)
                continue
            if response.status_code != 206 or _first_byte(response) != target.size:
                yield Do(target.restart)
            if response.status_code == 416:
                yield trying.pause(refusal(response))
                continue
            etag = response.headers.get("etag", "")
            tag = etag if etag.startswith('"') else None
            chunk: bytes = yield Read()
            while chunk:
                trying.renew()
                yield Do(target.write, (chunk,))
                chunk = yield Read()
        except httpx.TransportError as error:
            yield trying.pause(broken(error))
        else:
            yield Do(target.finish)
            return


def _first_byte(response: httpx.Response) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return int(found[1]) if found else None


def tasks(call: Call, *, patience: float) -> Flow[TaskPage]:
    """One page of the caller's tasks."""
    return TaskPage.read((yield from answer(call, patience=patience)))


def preview(source: Source, filename: str | None, *, patience: float) -> Flow[bytes]:
    """A JPEG of at most 800 pixels a side of any photo that the hub reads."""
    with Upload(source, filename) as upload:
        yield Do(upload.open)
        response = yield from ask(requests.preview(upload), patience)
    return response.content


def install(names: tuple[str, ...], *, patience: float) -> Flow[str]:
    """Download weights; the id of the task that does it."""
    answered = yield from ask_json(requests.models("install", names, str(uuid.uuid4())), patience)
    return str(answered["task_id"])


def answer(call: Call, *, patience: float) -> Flow[Json]:
    """What a call answers."""
    return (yield from ask_json(call, patience))


def readiness() -> Flow[Json]:
    """Whether the server can take work; that it cannot (503) is an answer too."""
    try:
        response: httpx.Response = yield Ask(requests.READY)
    except httpx.TransportError as error:
        raise broken(error) from error
    if response.is_success or response.status_code == 503:
        return object_in(response)
    raise refusal(response)
