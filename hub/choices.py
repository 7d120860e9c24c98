"""What the choices for photos and for clips have in common."""

from __future__ import annotations

from hub.errors import InvalidInput


def check_strength(strength: float) -> None:
    """Raise InvalidInput unless `strength` is from 0 to 1."""
    if not 0.0 <= strength <= 1.0:  # Also refuses NaN.
        raise InvalidInput("invalid_strength", f"The strength must be between 0 and 1, not {strength}.")
