"""`python -m hub settings`: every knob, what it is now, what it would be, and what it does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hub.settings import Settings


def shown(value: Any) -> str:
    """A value as one would write it in the environment, without passwords and keys."""
    if value is None:
        return ""
    text = str(value) if isinstance(value, str | Path) else json.dumps(value)
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", text)


def describe(settings: Settings) -> str:
    """One paragraph per setting: `HUB_NAME=value`, then its meaning and default."""
    paragraphs = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, f"resolved_{name}", getattr(settings, name))
        default = "" if field.default in (None, "") else f" [default: {shown(field.default)}]"
        paragraphs.append(f"HUB_{name.upper()}={shown(value)}\n    {field.description}{default}\n")
    return "\n".join(paragraphs)
