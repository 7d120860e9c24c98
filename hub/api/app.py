"""The REST application: routes on the parent, so that a page mounted last at `/` leaves 404 and 405 right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

from hub.api import health, models, photos, results, tasks, videos
from hub.api.docs import DocsPolicy
from hub.api.problems import Problem, install_problem_handlers
from hub.api.uploads import UploadGate
from hub.service import VERSION, Hub

DESCRIPTION = """\
Denoises and deblurs photos and videos with Uformer networks, on your own machine.

Processing is asynchronous: post a file, get a `task_id`, poll its status every 2-5 seconds, fetch `result_path`.
Errors are `application/problem+json` (RFC 9457) with a machine-readable `code`.
"""


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
        # FastAPI's own telemetry and its plain-text body limit stay unused.
        swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True},
        license_info={"name": "MIT", "identifier": "MIT"},
    )
    app.state.hub = hub
    install_problem_handlers(app)
    app.add_middleware(UploadGate, hub=hub)
    app.add_middleware(DocsPolicy)
    for module in (photos, videos, tasks, results, models, health):
        app.include_router(module.router)
    _describe_problems(app)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Make the OpenAPI document tell of problem documents where FastAPI would tell of its own 422."""
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
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _replace_validation_answer(responses: dict[str, Any]) -> None:
    """Drop FastAPI's automatic 422: what a route can answer with 422 it documents itself."""
    content = responses.get("422", {}).get("content", {})
    content.pop("application/json", None)
    if "422" in responses and not content:
        del responses["422"]
