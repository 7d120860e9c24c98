"""The web server around the application: how it listens, and how it stops in less than ten seconds."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from hub.api.connections import Connection, allow_many_files
from hub.service import Hub
from hub.settings import Settings

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 30
"""How long an idle connection is kept: well beyond the 5 seconds at which clients may poll, for one that is closed just
as a request arrives fails that request."""
GRACE_SECONDS = 2
"""How long open connections may keep a stopping server: an open page would keep it for ever."""
LAST_SECONDS = 9.0
"""When a stopping process ends at the latest, whatever still runs; what is on disk by then is as after a kill."""
HURRY_SECONDS = 2.0
"""The same from the second signal on."""
FAREWELL_SECONDS = 0.05
"""Until uvicorn closes all sockets: so long the live ones have to say why."""
WATCH_SECONDS = 0.1


class HubServer(uvicorn.Server):
    """uvicorn's server, which tells the hub of the signal before it waits for its connections."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal's handler: the first one ends the server in peace, the second in a hurry."""
        if self.should_exit:
            self.force_exit = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, once everybody has been told."""
        threading.Thread(target=self._leave_in_time, name="last-call", daemon=True).start()
        self._hub.begin_stop()
        await asyncio.sleep(FAREWELL_SECONDS)
        await super().shutdown(sockets)

    def _leave_in_time(self) -> None:
        """End the process, should it still be there when its time is over."""
        last = time.monotonic() + LAST_SECONDS
        while (left := last - time.monotonic()) > 0:
            if self.force_exit and left > HURRY_SECONDS:
                last = time.monotonic() + HURRY_SECONDS
            time.sleep(WATCH_SECONDS)
        threading.Timer(WATCH_SECONDS, os._exit, (0,)).start()  # Should even the log be stuck.
        log.warning("Not everything has ended in time; what was running begins again after the next start.")
        os._exit(0)


def serve(application: FastAPI, settings: Settings, host: str, port: int) -> int:
    """Serve until a signal says otherwise; returns the exit status."""
    allow_many_files()
    if settings.trusted_proxies == ["*"]:
        log.warning(
            "HUB_TRUSTED_PROXIES is *: the first address in X-Forwarded-For is believed, which clients can write "
            "themselves, unless every request passes a proxy that replaces the header. Rather name the proxies."
        )
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        http=Connection,
        root_path=settings.root_path,
        log_config=None,
        log_level=settings.log_level,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        # Base64 takes four bytes for three; a little more than is allowed must arrive, to be refused in words.
        ws_max_size=settings.live_max_frame_kb * 2000,
        ws_per_message_deflate=False,  # JPEG cannot be made smaller; trying costs more than the network.
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = HubServer(config, application.state.hub)
    server.run()
    return 0 if server.started else 1
