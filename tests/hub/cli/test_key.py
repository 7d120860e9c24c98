from __future__ import annotations

import re

import pytest

from hub.access import Access
from hub.cli.main import main
from hub.settings import Settings


def test_the_key_opens_what_its_digest_closes(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for _ in range(2):
        assert main(["key"]) == 0
        printed.append(capsys.readouterr().out)
    found = re.search(r"^Key: +(\S{43})\nDigest: +(sha256:[0-9a-f]{64})$", printed[0], re.MULTILINE)
    assert found
    key, digest = found.groups()

    caller = Access(Settings(api_keys=[digest])).identify(key, "192.0.2.1")

    assert caller.owner.startswith("key:")
    assert key not in printed[1]
