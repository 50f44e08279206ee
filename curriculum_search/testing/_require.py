"""What all checks use: an assertion that python -O keeps, and the round trip through a configuration file."""

import json

from curriculum_search.config import Kinded


def require(holds: object, message: str) -> None:
    """Raise an AssertionError with `message` unless `holds`."""
    if not holds:
        raise AssertionError(message)


def check_configuration(part: Kinded, family: type[Kinded]) -> None:
    """`part` is registered under its ``kind`` in `family`, and a configuration file brings it back as it was."""
    kind = part.to_dict().get("kind")
    require(
        family.kinds().get(str(kind)) is type(part),
        f"{part}: declare `kind: Literal[...] = ...` in a dataclass that derives from {family.__name__}",
    )
    again = family.from_dict(json.loads(json.dumps(part.to_dict())))
    require(again == part, f"{part} came back from its own configuration as {again}")
