"""Errors as application/problem+json (RFC 9457): the one place where they are rendered."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.disk import disk_full
from hub.errors import (
    Busy,
    Cancelled,
    Conflict,
    Forbidden,
    HubError,
    InvalidInput,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    UnsupportedMedia,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_STATUS: Mapping[type[HubError], int] = {
    InvalidInput: 422,
    UnsupportedMedia: 415,
    TooLarge: 413,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    TooManyRequests: 429,
    Conflict: 409,
    Busy: 503,
    Cancelled: 409,
}
_CODES: Mapping[int, str] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "upload_too_large",
    416: "range_not_satisfiable",
    422: "invalid_request",
    500: "internal_error",
}


CHALLENGE = 'Bearer realm="Uformer Hub"'
"""What WWW-Authenticate says: how a key is given; X-API-Key does as well."""


RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


class BodyRefused(HTTPException):
    """A body that was stopped while it streamed in; an HTTPException, since form parsers turn other errors into 400."""

    def __init__(self, error: HubError) -> None:
        super().__init__(status_of(error), error.message)
        self.error = error


class ProblemResponse(JSONResponse):
    """A problem document; what no encoding can hold, such as half of a surrogate pair, becomes a question mark."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """The document in UTF-8."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )


class FieldError(BaseModel):
    """One field that did not validate."""

    loc: list[str | int] = Field(description="Where: `body`, `query` or `header`, then the field's name.")
    msg: str = Field(description="What is wrong with it.")
    type: str = Field(description="Machine-readable kind of error.")


class Problem(BaseModel):
    """An error (RFC 9457). Some codes add members, such as `valid` with the accepted values."""

    model_config = ConfigDict(extra="allow")

    type: str = Field("about:blank", description="Always `about:blank`: `code` names the kind.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong, and what would be right.")
    code: str = Field(description="Machine-readable kind of error.")
    errors: list[FieldError] | None = Field(None, description="The fields that did not validate (422 only).")


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    data: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem document; members of `data` stand beside the standard ones and never replace them."""
    body = {
        **(data or {}),
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return ProblemResponse(body, status_code=status, headers=headers)


def root_path_of(request: Request) -> str:
    """The sub-path under which a reverse proxy serves the application, without a slash at its end."""
    root_path: str = request.scope.get("root_path", "")
    return root_path.rstrip("/")


def status_of(error: HubError) -> int:
    """The HTTP status of an error that the hub raised on purpose."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def hub_error_response(error: HubError) -> JSONResponse:
    """The answer to an error that the hub raised on purpose."""
    headers: dict[str, str] = {}
    if isinstance(error, Busy | TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = CHALLENGE
    return problem_response(status_of(error), error.code, error.message, data=error.data, headers=headers)


def example(status: int, code: str, detail: str, **data: Any) -> dict[str, Any]:
    """One documented error answer, for a route's `responses`."""
    body = {**data, "type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return {"summary": code, "value": {**body, "detail": detail, "code": code}}


def problems(*examples: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """A route's `responses` entries for its errors, grouped by status.

    The schema goes by reference: a `model` would be documented as application/json too.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    for item in examples:
        status = item["value"]["status"]
        entry = responses.setdefault(
            status,
            {
                "description": HTTPStatus(status).phrase,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        entry["content"][MEDIA_TYPE]["examples"][item["summary"]] = item
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            entry["headers"] = RETRY_AFTER
        if status == HTTPStatus.UNAUTHORIZED:
            entry["headers"] = {"WWW-Authenticate": {"description": "How to give a key.", "schema": {"type": "string"}}}
    return responses


_FRAMEWORK_CANNOT_PARSE = "There was an error parsing the body"
BAD_BODY = example(400, "bad_request", "The body cannot be read; send what Content-Type says, such as JSON in UTF-8.")
INTERNAL_ERROR = example(500, "internal_error", "The hub failed to answer; its log says why.")
SERVER_BUSY = example(503, "server_busy", "Calls that take long are in the way; please try again in a moment.")
DATABASE_AWAY = example(503, "database_unavailable", "The jobs database does not answer; please try again later.")


def wrong_switch(name: str) -> dict[str, Any]:
    """The documented answer to a query's switch that is neither true nor false."""
    message = "Input should be a valid boolean, unable to interpret input"
    fault = {"loc": ["query", name], "msg": message, "type": "bool_parsing"}
    return example(422, "invalid_request", f"{name}: {message}", errors=[fault])


def missing_field(place: str, name: str) -> dict[str, Any]:
    """The documented answer to a request without a field that it needs."""
    fault = {"loc": [place, name], "msg": "Field required", "type": "missing"}
    return example(422, "invalid_request", f"{name}: Field required", errors=[fault])


async def _on_hub_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HubError)  # noqa: S101 - registered for this type only
    return hub_error_response(error)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    if isinstance(error, BodyRefused):
        return hub_error_response(error.error)
    if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT):
        return hub_error_response(
            disk_full()
        )  # The parser of forms puts files on the disk, and takes that for its own.
    detail, headers = error.detail, dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"There is nothing at {request.url.path}; {root_path_of(request)}/docs lists every address."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = _methods_at(request) or headers.get("Allow", "")
        headers["Allow"] = allowed
        detail = f"{request.method} is not possible at {request.url.path}; use {allowed or 'another address'}."
    elif error.status_code == HTTPStatus.BAD_REQUEST and detail == _FRAMEWORK_CANNOT_PARSE:
        detail = BAD_BODY["value"]["detail"]
    code = _CODES.get(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"))
    return problem_response(error.status_code, code, detail, headers=headers)


def _methods_at(request: Request) -> str:
    """Every method that the requested path takes; the framework names those of the first route alone."""
    path = request.scope["path"].removeprefix(root_path_of(request))
    routes = getattr(request.app.state, "routes", ())
    methods = {method for route in routes if route.path_regex.match(path) for method in route.methods}
    return ", ".join(sorted(methods))


async def _on_invalid_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type only
    fields = [{key: item[key] for key in ("loc", "msg", "type")} for item in error.errors()]
    detail = "; ".join(_explain(field) for field in fields)
    return problem_response(422, "invalid_request", detail, data={"errors": fields})


def _explain(field: Mapping[str, Any]) -> str:
    """What is wrong with a field, or with a body of which no field could be read."""
    place, *name = field["loc"]
    if field["type"] == "json_invalid":
        return f"The body is not JSON: there is something wrong at character {name[0]}."
    if not name and field["type"] != "missing":
        return "The body is not an object; send a JSON object with Content-Type: application/json."
    return f"{'.'.join(map(str, name)) or place}: {field['msg']}"


class Defects:
    """ASGI middleware that answers 500 to what no handler expects, and logs it.

    The framework's own handler of such errors stands outside of every middleware, where an answer is neither counted
    nor given its headers. Once an answer has begun, the server is left to log the error and break the connection off.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception:
            if begun:
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            detail = INTERNAL_ERROR["value"]["detail"]
            await problem_response(500, "internal_error", detail)(scope, receive, send)


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of `app` that is expected a problem document; `Defects` sees to the others."""
    app.add_exception_handler(HubError, _on_hub_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
