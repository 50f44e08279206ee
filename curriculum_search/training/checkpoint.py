"""Checkpoints: one file a run, replaced in one move, so that a killed process leaves the one before."""

from pathlib import Path
from typing import Any

import torch

from curriculum_search.atomic import replacing

FORMAT = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, and lists and dictionaries of them) to `path`, atomically."""
    with replacing(path) as partial:
        torch.save({"format": FORMAT, **state}, partial)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; nothing in the file is executed.

    Raises:
        ValueError: the file is not a checkpoint of this project.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, ImportError) as error:
        raise ValueError(f"{path} is not a readable checkpoint: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this version (format {FORMAT})")
    return state
