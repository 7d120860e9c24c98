"""What a key of the API may look like, and what is kept of it."""

from __future__ import annotations

import hashlib
import re

SHORTEST_KEY = 16
_WORD = rf"[^\s\"'`<>(){{}}\[\],;&=?\\]{{{SHORTEST_KEY},}}={{0,2}}"
WORD = re.compile(_WORD)
"""How a key looks in a line of a log: what lies between quotation marks, brackets, commas and the like."""
_KEY = re.compile(rf"(?=[!-~]*$){_WORD}", re.ASCII)


def is_key(text: str) -> bool:
    """Whether it is long enough for a key, and would be found as one word in a log, to be struck out."""
    return _KEY.fullmatch(text) is not None


def digest_of(key: str) -> str:
    """What is kept of a key: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()}"
