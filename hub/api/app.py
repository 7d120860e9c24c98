"""The REST application: routes on the parent, so that a page mounted last at `/` leaves 404 and 405 right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

from hub.api import events, lifecycle, live, models, operations, photos, previews, results, tasks, videos
from hub.api.events import Watch
from hub.api.gate import describe_gate, protect
from hub.api.problems import INTERNAL_ERROR, Problem, install_problem_handlers, problems
from hub.api.requests import RequestNotes
from hub.api.stopping import StopGate
from hub.service import VERSION, Hub

DESCRIPTION = """\
Denoises and deblurs photos and videos with Uformer networks, on your own machine.

Processing is asynchronous: post a file, get a `task_id`, poll its status every 2-5 seconds, fetch `result_path`.
Errors are `application/problem+json` (RFC 9457) with a machine-readable `code`.

Live frames go over a WebSocket, `/ws/process_video`, for which OpenAPI has no words: send
`{"image_b64": "data:image/jpeg;base64,...", "task_type": "denoise"}` as text, get `data:image/jpeg;base64,...` back.
Section 7 of `docs/API_USAGE_GUIDE.md` tells the rest: binary frames, limits, errors, and why a socket is closed.
"""

NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's own would send what it measures wherever the environment says; the hub tells at /metrics and in its log."""


def create_app(hub: Hub) -> FastAPI:
    """The application over `hub`, which it starts and stops with its own lifespan."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(hub.start)
        try:
            yield
        finally:
            await run_in_threadpool(hub.stop)

    app: FastAPI = FastAPIOffline(
        title="Uformer Hub",
        version=VERSION,
        summary="Denoise and deblur photos and videos.",
        description=DESCRIPTION,
        lifespan=lifespan,
        telemetry=NO_TELEMETRY,
        form_limits={"max_files": 4, "max_fields": 64, "max_part_size": 1 << 16},
        swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True},
        license_info={"name": "MIT", "identifier": "MIT"},
    )
    app.state.hub = hub
    app.state.watch = Watch(hub)
    install_problem_handlers(app)
    app.add_middleware(StopGate, hub=hub)
    protect(app, hub)
    app.add_middleware(RequestNotes, hub=hub)
    routers = [
        module.router for module in (photos, videos, previews, tasks, events, results, lifecycle, models, operations)
    ]
    for router in routers:
        app.include_router(router)
    app.include_router(live.router)
    app.state.routes = [route for router in routers for route in router.routes]
    _describe_problems(app, hub)
    return app


def _describe_problems(app: FastAPI, hub: Hub) -> None:
    """Make the OpenAPI document tell of problem documents: the framework's own 422 gives way, what any call may answer
    is told once."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            schemas = document["components"]["schemas"]
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(problem.pop("$defs"))
            schemas["Problem"] = problem
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for path in document["paths"].values():
                for operation in path.values():
                    _replace_validation_answer(operation["responses"])
                    operation["responses"].setdefault("500", {"$ref": "#/components/responses/InternalError"})
            describe_gate(document, hub.access)
            document["components"]["responses"]["InternalError"] = problems(INTERNAL_ERROR)[500]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _replace_validation_answer(responses: dict[str, Any]) -> None:
    """Drop FastAPI's automatic 422: what a route can answer with 422 it documents itself."""
    content = responses.get("422", {}).get("content", {})
    content.pop("application/json", None)
    if "422" in responses and not content:
        del responses["422"]
