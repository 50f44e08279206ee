"""The user's mistakes: their error, and how a value is shown in its message."""

import json
from typing import Any


class UserError(ValueError):
    """A mistake that its user can mend; the message says how.  The commands print it and exit with status 2."""


def shown(value: Any) -> str:
    """A value as a message has it, on one line and not too long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
