"""The check of a whole curriculum finds what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from curriculum_search.curriculum import Curriculum, CurriculumSampler, Decision
from curriculum_search.diffusion import DDPM, PiecewiseDensity, Uniform
from curriculum_search.testing import check_curriculum_sampler


def curriculum(device: str) -> CurriculumSampler:
    return Curriculum(num_clusters=4).build(DDPM(), Uniform(), 8000, 100, device)


class DrawsEverything(CurriculumSampler):
    def draw(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return u, torch.ones_like(u)


class ReadsLosses(CurriculumSampler):
    def observe(self, q: Tensor, losses: Tensor, *, shared: bool = False) -> None:
        losses.mean().item()


class ForgetsItsStage(CurriculumSampler):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state | {"stage": 1})


class HidesItsSwitches(CurriculumSampler):
    def update(self, images_seen: int, bank_losses: Callable[[], Tensor] | None = None) -> Decision:
        decision = super().update(images_seen, bank_losses)
        del self.history[1:]
        return decision


class CountsItsDraws(CurriculumSampler):
    def exposure(self) -> PiecewiseDensity:
        return self.stage_density


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (DrawsEverything, "outside the unlocked clusters"),
        (ReadsLosses, "reads values from the device"),
        (ForgetsItsStage, "a restored sampler no longer does what the saved one does"),
        (HidesItsSwitches, "0 switches recorded"),
        (CountsItsDraws, r"exposure\(\) differs"),
    ],
)
def test_wrong_samplers_are_found(wrong: type[CurriculumSampler], message: str) -> None:
    def factory(device: str) -> CurriculumSampler:
        sampler = curriculum(device)
        sampler.__class__ = wrong
        return sampler

    with pytest.raises(AssertionError, match=message):
        check_curriculum_sampler(factory)
