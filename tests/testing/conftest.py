"""Kinds that are wrong on purpose."""

import pytest

from curriculum_search.curriculum import Accumulation, Order, Pacing, Partition
from curriculum_search.diffusion import Density, Process


@pytest.fixture(autouse=True)
def unregistered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds that a test defines are forgotten after it."""
    for family in (Accumulation, Density, Order, Pacing, Partition, Process):
        monkeypatch.setattr(family, "_members", dict(family.kinds()))
