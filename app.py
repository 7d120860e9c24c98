"""Serves the hub: `python app.py`. Settings come from `HUB_*` variables; `python -m hub settings` lists them."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hub.errors import Conflict, HubError, InvalidInput
from hub.logs import set_up
from hub.settings import Settings, read_settings

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger("hub.app")

# Where a Space of Hugging Face is reached, and where it mounts persistent storage.
SPACE_HOST, SPACE_PORT = "0.0.0.0", 7860  # noqa: S104
SPACE_STORAGE = Path("/data")


def in_space() -> bool:
    """Whether this is a Space of Hugging Face, which says so."""
    return bool(os.environ.get("SPACE_ID"))


def settings_here() -> Settings:
    """What the environment asks for; in a Space the data go to its persistent storage, if it has one.

    Raises InvalidInput (`bad_setting`).
    """
    settings = read_settings()
    if "data_dir" in settings.model_fields_set or not in_space() or not os.access(SPACE_STORAGE, os.W_OK | os.X_OK):
        return settings
    return read_settings(data_dir=SPACE_STORAGE)


def address(settings: Settings) -> tuple[str, int]:
    """Where to listen: as HUB_HOST and HUB_PORT say, else as hosts of Gradio apps and other platforms do.

    Raises InvalidInput (`bad_setting`).
    """
    host, port = settings.host, settings.port
    if "host" not in settings.model_fields_set:
        # PORT alone opens nothing to other machines: it stands in the environment of many a developer too.
        host = os.environ.get("GRADIO_SERVER_NAME") or (SPACE_HOST if in_space() else host)
    if "port" not in settings.model_fields_set:
        asked = [_port_in("GRADIO_SERVER_PORT"), _port_in("PORT"), SPACE_PORT if in_space() else None]
        port = next((number for number in asked if number is not None), port)
    return host, port


def _port_in(variable: str) -> int | None:
    """The port that a variable of the environment names, if it is set. Raises InvalidInput (`bad_setting`)."""
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdecimal() or int(text) > 65535:
        raise InvalidInput("bad_setting", f"{variable} must be a number from 0 to 65535, not {text!r}.")
    return int(text)


def keep_temporary_files_in(settings: Settings) -> None:
    """Spool uploads inside the data directory: elsewhere they could fill a small disk, or a memory that plays disk."""
    folder = (settings.data_dir / "tmp").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


def check_address(host: str, port: int) -> None:
    """Raise Conflict (`address_in_use`) or InvalidInput (`bad_setting`) if nobody can listen there."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # As the server does; on Windows it would let two listen.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            message = f"Something listens on {host}, port {port}, already. Stop it, or set HUB_PORT to another port."
            raise Conflict("address_in_use", message) from error
        message = f"Nobody can listen on {host!r}, port {port}: {reason}. Set HUB_HOST and HUB_PORT to others."
        raise InvalidInput("bad_setting", message) from error


def build(settings: Settings) -> FastAPI:
    """Settings to hub to application: the API's routes first, the page last, if it is to be served.

    Raises HubError (`data_dir_in_use`, `bad_database`, `bad_manifest`, `no_usable_model`), and OSError for what cannot
    be written.
    """
    # Not at the top, so that what is wrong with the settings or the data directory shows at once.
    from hub.readiness import check_models
    from hub.service import Hub

    hub = Hub(settings)
    hub.files.claim()
    check_models(settings, hub.catalog)

    from hub.api.app import create_app

    app = create_app(hub)
    if settings.serves_page:
        from hub.ui.mount import mount_page

        mount_page(app, hub)
    if settings.api_keys:
        _tell_of_page(settings)
    return app


def _tell_of_page(settings: Settings) -> None:
    """Say what becomes of the page where the API asks for keys."""
    if settings.serves_page:
        log.warning("HUB_PAGE is on: whoever reaches the hub may use the page, without any of HUB_API_KEYS.")
    else:
        log.info("There is no page, for it would ask for none of HUB_API_KEYS; HUB_PAGE=true serves it nevertheless.")


def main() -> int:
    """Serve until told to stop; returns the exit status."""
    try:
        settings = settings_here()
        set_up(settings)
        host, port = address(settings)
        keep_temporary_files_in(settings)

        from hub.readiness import check_start

        check_start(settings)
        check_address(host, port)
        application = build(settings)
    except HubError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2 if error.code == "bad_setting" else 1
    except OSError as error:
        not_a_folder = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "it is not a folder, or not inside one" if not_a_folder else error.strerror or error
        sys.stderr.write(f"error: The hub cannot use {error.filename or 'its files'}: {reason}\n")
        return 1

    from hub.api.server import serve

    return serve(application, settings, host, port)


if __name__ == "__main__":
    sys.exit(main())
