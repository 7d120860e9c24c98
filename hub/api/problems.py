"""Errors as application/problem+json (RFC 9457): the one place where they are rendered."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from hub.errors import Busy, Cancelled, Conflict, HubError, InvalidInput, NotFound, TooLarge, UnsupportedMedia

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_STATUS: Mapping[type[HubError], int] = {
    InvalidInput: 422,
    UnsupportedMedia: 415,
    TooLarge: 413,
    NotFound: 404,
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


class BodyRefused(HTTPException):
    """A body that was stopped while it streamed in; an HTTPException, since form parsers turn other errors into 400."""

    def __init__(self, error: HubError) -> None:
        super().__init__(status_of(error), error.message)
        self.error = error


class FieldError(BaseModel):
    """One field that did not validate."""

    loc: list[str | int] = Field(description="Where: `body` or `path`, then the field's name.")
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
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def root_path_of(request: Request) -> str:
    """The sub-path under which a reverse proxy serves the application, without a slash at its end."""
    root_path: str = request.scope.get("root_path", "")
    return root_path.rstrip("/")


def status_of(error: HubError) -> int:
    """The HTTP status of an error that the hub raised on purpose."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def hub_error_response(error: HubError) -> JSONResponse:
    """The answer to an error that the hub raised on purpose."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Busy) else None
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
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            entry["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return responses


async def _on_hub_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HubError)  # noqa: S101 - registered for this type only
    return hub_error_response(error)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    if isinstance(error, BodyRefused):
        return hub_error_response(error.error)
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"There is nothing at {request.url.path}; {root_path_of(request)}/docs lists every address."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"{request.method} is not possible at {request.url.path}; use {allowed}."
    code = _CODES.get(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"))
    return problem_response(error.status_code, code, detail, headers=error.headers)


async def _on_invalid_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type only
    fields = [{key: item[key] for key in ("loc", "msg", "type")} for item in error.errors()]
    detail = "; ".join(f"{'.'.join(str(part) for part in field['loc'][1:])}: {field['msg']}" for field in fields)
    return problem_response(422, "invalid_request", detail, data={"errors": fields})


async def _on_defect(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(500, "internal_error", "The hub failed to answer; its log says why.")


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    app.add_exception_handler(HubError, _on_hub_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(Exception, _on_defect)
