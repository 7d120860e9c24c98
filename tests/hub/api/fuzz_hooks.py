"""What schemathesis cannot know of the hub: files that are photos and clips, names that exist, when 503 is right.

Loaded by schemathesis itself, in its own process; `test_fuzz.py` says where the files are.
"""

from __future__ import annotations

import itertools
import json
import os
import uuid
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.transport.serialization import Binary

# What the test has written down: files of photos and of clips; names of models and of tasks' types; ids; results.
KNOWN = json.loads(Path(os.environ["FUZZ_KNOWN"]).read_text(encoding="utf-8"))

UPLOADS = {"image_file": "photos", "video_file": "clips"}
NAMES = {"model_name": "models", "model_names": "models", "task_type": "task_types", "result_path": "results"}
"""Fields that take any text as far as their schema tells, and what is right for them here."""
BODIES = ("ResultToConfirm", "TaskToKeep", "ChosenModels")
"""Bodies in JSON with such fields; forms have them too."""
RESULTS = "/static_results/"
KEY = "Idempotency-Key"
LATER = (429, 503)
BEYOND_SCHEMAS = ((422, "idempotency_key_reused"), (422, "invalid_range"), (422, "invalid_cursor"))
"""Refusals that are right although the request is valid by its schema: what else was sent decides."""
NOTHING_CHOSEN = ("/api/clear_cache", 400)
"""One more, where both switches are off."""

_numbers = itertools.count()


def _files(kind: str) -> st.SearchStrategy[Binary]:
    return st.sampled_from([Binary(Path(name).read_bytes()) for name in KNOWN[kind]])


for _kind in UPLOADS.values():
    schemathesis.openapi.format(f"hub-{_kind}", _files(_kind))
for _kind in {*NAMES.values(), "tasks"}:
    schemathesis.openapi.format(f"hub-{_kind}", st.sampled_from(KNOWN[_kind]))


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Have valid requests made of what exists; the running server's document stays as it is."""
    for title, schema in raw_schema["components"]["schemas"].items():
        sent = title.startswith("Body_") or title in BODIES
        for name, field in schema.get("properties", {}).items() if sent else ():
            kind = {**UPLOADS, **NAMES, "task_id": "tasks"}.get(name)
            if kind is not None:
                for option in [field, field.get("items", {}), *field.get("anyOf", [])]:
                    if option.get("type") == "string":
                        option["format"] = f"hub-{kind}"


@schemathesis.hook
def flatmap_path_parameters(
    context: schemathesis.HookContext, path_parameters: dict[str, Any] | None
) -> st.SearchStrategy[dict[str, Any] | None]:
    """Ask for results that exist as often as for others."""
    if not path_parameters or "result_name" not in path_parameters:
        return st.just(path_parameters)
    known = [{"result_name": path.removeprefix(RESULTS)} for path in KNOWN["results"]]
    return st.just(path_parameters) | st.sampled_from(known)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Give most requests an idempotency key of their own: with the same one, a request that differs is refused."""
    valid = case.meta is not None and case.meta.generation.mode.is_positive
    if valid and case.headers and KEY in case.headers and next(_numbers) % 4:
        case.headers[KEY] = str(uuid.uuid4())


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: schemathesis.Case, response: schemathesis.Response
) -> bool:
    """Let pass what is no failure."""
    if isinstance(failure, AcceptedNegativeData):
        return "violates `format`" not in failure.message  # Of our own making: the hub's document has none.
    if not isinstance(failure, RejectedPositiveData):
        return True
    if "json" not in response.headers.get("content-type", [""])[0]:
        return True
    if (case.path, response.status_code) == NOTHING_CHOSEN:
        return False
    return (response.status_code, response.json().get("code")) not in BEYOND_SCHEMAS


@schemathesis.check
def says_when_to_come_back(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Who is sent away is told for how long."""
    if response.status_code in LATER:
        waits = response.headers.get("retry-after", [])
        assert waits, f"{response.status_code} without Retry-After"
        assert waits[0].isdecimal(), f"Retry-After: {waits[0]}"
        assert int(waits[0]) > 0, f"Retry-After: {waits[0]}"
