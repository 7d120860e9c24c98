"""Serves the hub: `python app.py`. Settings come from `HUB_*` variables; `python -m hub settings` lists them."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from typing import TYPE_CHECKING

from hub.errors import HubError, InvalidInput
from hub.settings import Settings, read_settings

if TYPE_CHECKING:
    from fastapi import FastAPI

GRACE_SECONDS = 3
"""How long open connections may keep a stopping server: an open page would keep it for ever."""


def address(settings: Settings) -> tuple[str, int]:
    """Where to listen; hosts of Gradio apps say it with GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.

    Raises InvalidInput (`bad_setting`).
    """
    host, port = settings.host, settings.port
    if "host" not in settings.model_fields_set:
        host = os.environ.get("GRADIO_SERVER_NAME") or host
    if "port" not in settings.model_fields_set and (text := os.environ.get("GRADIO_SERVER_PORT")):
        if not text.isdecimal() or int(text) > 65535:
            raise InvalidInput("bad_setting", f"GRADIO_SERVER_PORT must be a number from 0 to 65535, not {text!r}.")
        port = int(text)
    return host, port


def keep_temporary_files_in(settings: Settings) -> None:
    """Spool uploads inside the data directory: elsewhere they could fill a small disk, or a memory that plays disk."""
    folder = (settings.data_dir / "tmp").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


def build(settings: Settings) -> FastAPI:
    """Settings to hub to application: the API's routes first, the page last.

    Raises HubError (`data_dir_in_use`, `bad_database`, `bad_manifest`), and OSError for what cannot be written.
    """
    # Not at the top, so that what is wrong with the settings or the data directory shows at once.
    from hub.service import Hub

    hub = Hub(settings)
    hub.files.claim()

    from hub.api.app import create_app
    from hub.ui.mount import mount_page

    app = create_app(hub)
    mount_page(app, hub)
    return app


def main() -> int:
    """Serve until told to stop; returns the exit status."""
    try:
        settings = read_settings()
        host, port = address(settings)
    except InvalidInput as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        keep_temporary_files_in(settings)
        application = build(settings)
    except HubError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 1
    except OSError as error:
        not_a_folder = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "it is not a folder, or not inside one" if not_a_folder else error.strerror or error
        sys.stderr.write(f"error: The hub cannot use {error.filename or 'its files'}: {reason}\n")
        return 1

    import uvicorn

    uvicorn.run(
        application,
        host=host,
        port=port,
        root_path=settings.root_path,
        log_level=settings.log_level,
        proxy_headers=True,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
