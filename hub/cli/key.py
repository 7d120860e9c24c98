"""`python -m hub key`: a key for the API that cannot be guessed, and what the hub's settings need of it."""

from __future__ import annotations

import secrets

from hub.keys import digest_of

KEY_BYTES = 32


def make_key() -> str:
    """A fresh random key and its digest, explained."""
    key = secrets.token_urlsafe(KEY_BYTES)
    return (
        f"Key:    {key}\nDigest: {digest_of(key)}\n\n"
        "Give the key to whoever may call the API; it is not kept anywhere. Put the digest, which opens nothing, into\n"
        "HUB_API_KEYS (or HUB_OPERATOR_KEYS), with a comma before the next one, and start the hub again.\n"
    )
