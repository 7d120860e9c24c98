"""A real hub behind a real nginx with TLS, as docs/hosting.md has it, and a browser that visits both."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, ViewportSize, expect

from ..browser import open_chromium
from ..conftest import CHECKOUT, Server

GUIDE = (CHECKOUT / "docs" / "hosting.md").read_text(encoding="utf-8")
RATE = 240
"""Requests per minute and address: enough for all tests together, from one."""


def block(language: str) -> str:
    """The one code block of a language in docs/hosting.md."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, flags=re.DOTALL | re.MULTILINE)
    return str(found)


class Proxy:
    """nginx in front of a hub: the guide's configuration, with addresses and certificate of this test alone."""

    def __init__(self, folder: Path, hub: Server) -> None:
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "These tests need nginx: apt-get install nginx"
        self.port, plain = _free_port(), _free_port()
        self.hub = hub
        self.origin = f"https://127.0.0.1:{self.port}"
        self.address = f"{self.origin}/restore"
        self.plain = f"http://127.0.0.1:{plain}"
        self.certificate = folder / "certificate.pem"
        key = folder / "key.pem"
        _make_certificate(self.certificate, key)
        site = block("nginx")
        for old, new in {
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{self.port} ssl http2;",
            "/etc/letsencrypt/live/photos.example.org/fullchain.pem": str(self.certificate),
            "/etc/letsencrypt/live/photos.example.org/privkey.pem": str(key),
            "http://127.0.0.1:8000/": f"{hub.address}/",
        }.items():
            assert old in site
            site = site.replace(old, new)
        paths = "".join(
            f"{name}_temp_path {folder};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = f"user {getpass.getuser()};\n" if os.geteuid() == 0 else ""
        configuration = folder / "nginx.conf"
        configuration.write_text(
            f"{user}daemon off;\npid {folder}/pid;\nworker_processes 1;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{paths}{site}}}\n"
        )
        self._log = folder / "nginx.log"
        with self._log.open("wb") as log:
            command = [program, "-c", str(configuration), "-e", "stderr"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self._listens():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self, source: str = "127.0.0.1") -> httpx.Client:
        """A program that calls from this address and trusts the certificate; paths begin below the sub-path."""
        return httpx.Client(base_url=self.address, transport=self.transport(source), timeout=60)

    def transport(self, source: str = "127.0.0.1") -> httpx.HTTPTransport:
        return httpx.HTTPTransport(verify=self.trust(), local_address=source)

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """nginx under /restore/, and the hub behind it."""
    folder = tmp_path_factory.mktemp("hosting")
    hub = Server(folder, root_path="/restore", rate_limit=f"{RATE}/minute", max_upload_mb="8")
    try:
        hub.start()
        proxy = Proxy(folder, hub)
        yield proxy
        proxy.stop()
    finally:
        hub.clear()


@pytest.fixture(scope="module")
def visitor(proxy: Proxy) -> Iterator[BrowserContext]:
    """A browser, with whatever its pages store."""
    size: ViewportSize = {"width": 1280, "height": 900}
    with open_chromium() as browser, browser.new_context(ignore_https_errors=True, viewport=size) as context:
        context.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        yield context


@pytest.fixture
def complaints(visitor: BrowserContext, proxy: Proxy) -> Iterator[list[str]]:
    """What pages complain about, and what they ask for elsewhere than below the sub-path; none of it may be."""
    found: list[str] = []
    own = (f"{proxy.address}/", f"{proxy.address.replace('https', 'wss', 1)}/", "data:", "blob:", "about:")
    # A browser looks for an icon at the site's root while the page has not named its own yet.
    icon = f"{proxy.origin}/favicon.ico"

    def on_console(message: ConsoleMessage) -> None:
        place = message.location.get("url", "")
        if message.type in ("error", "warning") and place != icon:
            found.append(f"{message.text} ({place})")

    handlers: dict[str, Callable[..., None]] = {
        "console": on_console,
        "weberror": lambda error: found.append(str(error.error)),
        "request": lambda request: request.url.startswith(own) or found.append(request.url),
    }
    for event, handler in handlers.items():
        visitor.on(event, handler)
    yield found
    for event, handler in handlers.items():
        visitor.remove_listener(event, handler)
    assert not found, "\n".join(found)


def _make_certificate(certificate: Path, key: Path) -> None:
    """For this machine's own address, signed by itself."""
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind, *name, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
