"""Folders of networks that lie on the Hugging Face hub, fetched once into its cache.

huggingface_hub comes with the libraries whose networks they are, optional extras.
"""

import re
from functools import lru_cache
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_name(path: str) -> bool:
    """Whether a path may be the name of what lies on the hub."""
    return _NAME.fullmatch(path) is not None


@lru_cache
def fetched(name: str, patterns: tuple[str, ...]) -> Path:
    """The folder in which what the hub has under a name lies by now.

    What is in the cache is used where the hub does not answer, and else one look at it says that it does not: the
    libraries' own ways of reading by name ask again and again, for half a minute.

    Args:
        name: as owner/network.
        patterns: of the files that are fetched.

    Raises:
        FileNotFoundError: it cannot be had.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # Whatever a missing network or name brings about, of several libraries.
        raise FileNotFoundError(
            f"{name} is no folder, and cannot be had from the hub ({first_line(error)}); give the folder of one that "
            "is there"
        ) from error


def first_line(error: Exception) -> str:
    """What an error says first, without advice and detail."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
