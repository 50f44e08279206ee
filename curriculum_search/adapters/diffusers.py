"""diffusers' training scripts: timesteps of a noise scheduler."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from curriculum_search.adapters._base import CurriculumAdapter
from curriculum_search.curriculum import CurriculumFile


class DiffusersTimesteps(CurriculumAdapter):
    """Draws timesteps in the scripts that train with ``DDPMScheduler``.

    ``train_unconditional.py`` and ``train_text_to_image.py``, instead of ``torch.randint(...)``::

        curriculum = curriculum_search.adapters.DiffusersTimesteps("curriculum.json", total_images=...)

        timesteps = curriculum.timesteps(bsz, latents.device)

    A curriculum that follows the loss needs ``curriculum.observe(...)`` after it, with the losses per sample.
    ``accelerator.register_for_checkpointing(curriculum)`` saves and restores it.
    """

    process_kinds = ("ddpm",)

    def timesteps(self, batch_size: int, device: torch.device | str) -> Tensor:
        """Timesteps, int64 [batch_size], on `device`."""
        return self.process.level(self._draw(batch_size, device))


class FlowMatchScheduler(Protocol):
    """What is needed of diffusers' ``FlowMatchEulerDiscreteScheduler``: N timesteps and sigmas, from noise to data."""

    timesteps: Tensor
    sigmas: Tensor


class DiffusersFlowMatching(CurriculumAdapter):
    """Draws indices into ``FlowMatchEulerDiscreteScheduler`` in the scripts for SD3, Flux and their like.

    Instead of ``u = compute_density_for_timestep_sampling(...)`` and the ``indices`` made of it::

        curriculum = DiffusersFlowMatching("curriculum.json", noise_scheduler_copy, total_images=...)

        indices = curriculum.indices(bsz)

    The scheduler's sigma is the share of noise, so sigma = q, whatever the scheduler's shift: the shift only
    decides which sigmas there are.  An index is that of the next sigma at or above q.  The density is the
    curriculum's own; the scripts' ``weighting_scheme`` no longer changes it.

    A curriculum that follows the loss needs ``curriculum.observe(...)`` after it, with the losses per sample.
    ``accelerator.register_for_checkpointing(curriculum)`` saves and restores it.

    Args:
        curriculum, total_images, bank_losses: as in `CurriculumAdapter`.
        scheduler: the scheduler that the script trains with, as it was made (not after ``set_timesteps``).
    """

    process_kinds = ("flow",)

    def __init__(
        self,
        curriculum: CurriculumFile | str | Path,
        scheduler: FlowMatchScheduler,
        *,
        total_images: int | None = None,
        bank_losses: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(curriculum, total_images=total_images, bank_losses=bank_losses)
        self._rising_sigmas = scheduler.sigmas[: len(scheduler.timesteps)].flip(0).float().cpu().contiguous()
        if not bool((self._rising_sigmas.diff() > 0).all()):
            raise ValueError("scheduler.sigmas must fall from noise to data")

    def indices(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """Indices into the scheduler's ``timesteps`` and ``sigmas``, int64 [batch_size], on `device`."""
        level = self.process.level(self._draw(batch_size, device))
        self._rising_sigmas = self._rising_sigmas.to(self._device)
        last = len(self._rising_sigmas) - 1
        return last - torch.searchsorted(self._rising_sigmas, level).clamp_(max=last)
