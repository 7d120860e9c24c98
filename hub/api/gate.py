"""What stands between the network and the routes: who calls, whether he may, how often, and what browsers may do."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.access import Access
from hub.api.docs import DocsPolicy
from hub.api.origins import is_named, is_own
from hub.api.problems import MEDIA_TYPE, Defects, example, hub_error_response
from hub.api.uploads import PAGE_UPLOAD, UploadGate, is_api, path_of
from hub.errors import Forbidden, HubError
from hub.service import Hub

API_KEY_HEADER = "X-API-Key"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""
SHARED = ("/api", "/static_results", "/health", "/ready", "/metrics", "/openapi.json")
"""What pages of other sites may be allowed to call; the page's own addresses are not among them."""
_ASKED_HEADERS = ("Authorization", API_KEY_HEADER, "Content-Type", "Idempotency-Key", "Last-Event-ID", "Range")
_TOLD_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
)


def protect(app: FastAPI, hub: Hub) -> None:
    """Put all gates before the routes of `app`, so that refusals carry the headers that browsers need to read them."""
    origins = hub.settings.cors_origins
    # The one added last is met first.
    app.add_middleware(UploadGate, hub=hub)
    app.add_middleware(Gate, access=hub.access, origins=origins)
    app.add_middleware(DocsPolicy)
    app.add_middleware(Defects)
    if origins:
        app.add_middleware(
            OtherSites,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "DELETE"),
            allow_headers=_ASKED_HEADERS,
            expose_headers=_TOLD_HEADERS,
            max_age=3600,
        )
    app.add_middleware(CommonHeaders)


class CommonHeaders:
    """ASGI middleware that adds what every answer says, unless the route says it itself.

    A result's address is the permission to read it, so no link may carry it to another site.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        api = is_api(path_of(scope))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                if api:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, with_headers)


class OtherSites(CORSMiddleware):
    """CORS for what programs call; Gradio has rules of its own for the page.

    No credentials: a key is sent in a header by the program that knows it, and there are no cookies.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _is_below(path_of(scope), SHARED):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Gate:
    """ASGI middleware that lets callers of the API in or refuses them, before anything of the body is read.

    The caller stands in the request's state as `caller` (hub.access.Caller). A page of another site may not change
    anything, unless `origins` names it: a browser sends such requests without asking, and the hub listens on
    addresses that only that browser can reach. Sockets pass; they take the key in their first message. Files that the
    hub's own page uploads are counted, with what comes from the same address without a key.
    """

    def __init__(self, app: ASGIApp, access: Access, origins: Collection[str] = ()) -> None:
        self.app = app
        self.access = access
        self.origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "http":
                self._admit(scope)
        except HubError as error:
            await hub_error_response(error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        """Raises Unauthorized, TooManyRequests, Forbidden."""
        path, method, address = path_of(scope), scope["method"], address_of(scope)
        if is_api(path):
            headers = Headers(scope=scope)
            caller = self.access.identify(key_of(headers), address)
            self.access.count(caller)
            if method not in SAFE_METHODS:
                self._check_origin(headers)
            scope.setdefault("state", {})["caller"] = caller
        elif method == "POST" and path.startswith(PAGE_UPLOAD):
            self.access.count_visitor(address)

    def _check_origin(self, headers: Headers) -> None:
        """Raise Forbidden for a request that another site's page made a browser send.

        Browsers say so in Sec-Fetch-Site; those that are old, or that see the hub under plain http, send Origin alone.
        """
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if is_named(origin, self.origins):
            return
        own = site in ("same-origin", "none") if site else origin is None or is_own(origin, headers.get("host", ""))
        if not own:
            raise Forbidden(
                "foreign_page",
                "Pages of other sites may change nothing here; HUB_CORS_ORIGINS names the origins that may.",
            )


def key_of(headers: Headers) -> str | None:
    """The key that a request gives as X-API-Key or as a bearer token, if it gives one."""
    given = headers.get(API_KEY_HEADER)
    if given is None:
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        given = credentials.strip() if scheme.lower() == "bearer" else None
    # Servers hand headers over as Latin-1; a key is the UTF-8 text that the settings have.
    return None if given is None else given.encode("latin-1").decode("utf-8", "replace")


def address_of(scope: Scope) -> str:
    """The client's address; behind a trusted proxy the server has put the one that the proxy tells of there."""
    client = scope.get("client")
    return client[0] if client else ""


def describe_gate(document: dict[str, Any], access: Access) -> None:
    """Tell in an OpenAPI document how a key is given, and what the gate may answer to every call of the API."""
    parts = document.setdefault("components", {})
    parts["securitySchemes"] = {
        "ApiKey": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER},
        "Bearer": {"type": "http", "scheme": "bearer"},
    }
    parts["responses"] = {name: _described(*refusal) for name, refusal in _REFUSALS.items()}
    security: list[dict[str, list[str]]] = [{"ApiKey": []}, {"Bearer": []}]
    if not access.required:
        security.insert(0, {})
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not is_api(path):
                continue
            operation["security"] = security
            changes = method.upper() not in SAFE_METHODS
            for name, (status, *_) in _REFUSALS.items():
                if changes or status in _ALWAYS:
                    reference = {
                        "$ref": f"#/components/responses/{name}",
                        "description": parts["responses"][name]["description"],
                    }
                    operation["responses"].setdefault(str(status), reference)


_ALWAYS = (401, 429)
_REFUSALS: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "KeyRequired": (
        401,
        "key_required",
        "The hub asks for a key: send it as X-API-Key, or as Authorization: Bearer.",
        {"WWW-Authenticate": {"description": "How a key is given.", "schema": {"type": "string"}}},
    ),
    "ForeignPage": (
        403,
        "foreign_page",
        "Pages of other sites may change nothing here; HUB_CORS_ORIGINS names the origins that may.",
        {},
    ),
    "TooSlow": (
        408,
        "request_timeout",
        "Nothing came for 30 seconds; the request was given up. Please send it again on a faster line.",
        {},
    ),
    "BodyTooLarge": (413, "body_too_large", "The body is larger than the 65,536 bytes that this address takes.", {}),
    "TooManyRequests": (
        429,
        "too_many_requests",
        "At most 100 per 1 minute are answered; please try again in 12 s.",
        {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
    ),
}


def _described(status: int, code: str, detail: str, headers: dict[str, Any]) -> dict[str, Any]:
    shown = example(status, code, detail)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {code: shown}}}
    return {"description": shown["value"]["title"], "content": content, "headers": headers}


def _is_below(path: str, prefixes: Collection[str]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)
