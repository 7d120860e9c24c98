"""Whose page made a browser send a request: the hub's own, or another site's."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

_USUAL_PORTS = {"http": ":80", "https": ":443"}


def is_named(origin: str | None, allowed: Collection[str]) -> bool:
    """Whether the settings let this origin's pages call; `*` lets all."""
    return "*" in allowed or origin in allowed


def is_own(origin: str, host: str) -> bool:
    """Whether an `Origin` header means the site that the `Host` header names; one that makes no sense does not."""
    try:
        site = urlsplit(origin.lower())
    except ValueError:
        return False
    usual = _USUAL_PORTS.get(site.scheme, "")
    return bool(site.netloc) and site.netloc.removesuffix(usual) == host.lower().removesuffix(usual)
