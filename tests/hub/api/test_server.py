from __future__ import annotations

import logging

import pytest
from fastapi import FastAPI

from hub.api.server import HubServer, serve
from hub.settings import Settings


@pytest.mark.parametrize(("proxies", "warned"), [("*", True), ("10.0.0.0/8,::1", False)])
def test_believing_every_forwarded_address_is_warned_of(
    proxies: str, warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(HubServer, "run", lambda _: None)
    monkeypatch.setattr("hub.api.server.allow_many_files", lambda: None)
    monkeypatch.setenv("HUB_TRUSTED_PROXIES", proxies)
    application = FastAPI()
    application.state.hub = None

    with caplog.at_level(logging.WARNING):
        serve(application, Settings(), "127.0.0.1", 0)

    assert ("HUB_TRUSTED_PROXIES is *" in caplog.text) is warned
