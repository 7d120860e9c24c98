"""What both clients tell httpx."""

from __future__ import annotations

from typing import Any

import httpx

TIMEOUT = 60.0
"""Seconds without a byte; the server reads a file's header before it answers, which may take long."""
PATIENCE = 120.0
"""Seconds for which a call is repeated while the server is away or busy."""
_CONNECT_SECONDS = 10.0


def connection(address: str, api_key: str | None, timeout: float) -> dict[str, Any]:
    """The arguments of httpx.Client and httpx.AsyncClient. Raises ValueError for what is no address."""
    url = httpx.URL(address)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"The address must look like http://127.0.0.1:8000, not {address!r}.")
    headers = {"User-Agent": "uformer-hub-client", "Accept": "application/json"}
    if api_key is not None:
        headers["X-API-Key"] = api_key
    return {
        "base_url": url,
        "headers": headers,
        "timeout": httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
        # Who waits holds a connection for its events: a limit would let many waits starve whatever ends them.
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=20),
        # A key must not travel to where a redirect leads.
        "follow_redirects": False,
    }
