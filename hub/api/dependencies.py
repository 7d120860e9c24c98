"""What routes ask for: the hub of the application they run in."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from hub.service import Hub


async def _hub_of(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


HubOf = Annotated[Hub, Depends(_hub_of)]
"""The hub; the dependency is a coroutine, so that it never waits for a worker thread."""
