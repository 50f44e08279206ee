"""One form for the errors of a configuration: which field, what is allowed, what was given."""


def require(holds: bool, field: str, allowed: str, given: object) -> None:
    """Raise a ValueError such as "end_share must be in (0, 1], not 2.0" unless `holds`."""
    if not holds:
        raise ValueError(f"{field} must be {allowed}, not {given!r}")
