"""Times in words."""


def duration(seconds: float) -> str:
    """In a unit of its size, as in "4.2 s", "85 s", "12 min" or "3.1 h"."""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
