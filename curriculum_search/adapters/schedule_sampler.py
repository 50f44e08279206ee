"""guided-diffusion, improved-diffusion and DiT: a schedule sampler."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from curriculum_search.adapters._base import CurriculumAdapter


class ScheduleSampler(CurriculumAdapter):
    """Stands where guided-diffusion and improved-diffusion have ``UniformSampler``, and in DiT's training loop.

    guided-diffusion and improved-diffusion, ``scripts/image_train.py``::

        from curriculum_search.adapters import ScheduleSampler
        schedule_sampler = ScheduleSampler("curriculum.json", total_images=args.lr_anneal_steps * global_batch)

    Their loop hands losses only to instances of its own ``LossAwareSampler``; a curriculum whose gate watches the
    loss needs one line more, once::

        from guided_diffusion.resample import LossAwareSampler
        LossAwareSampler.register(ScheduleSampler)

    DiT, ``train.py``, instead of ``t = torch.randint(0, diffusion.num_timesteps, ...)``::

        t, weights = schedule_sampler.sample(x.shape[0], device)
        loss_dict = diffusion.training_losses(model, x, t, model_kwargs)
        loss = (loss_dict["loss"] * weights).mean()

    Save ``schedule_sampler.state_dict()`` in the checkpoint.
    """

    process_kinds = ("ddpm",)

    def sample(self, batch_size: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Timesteps int64 [batch_size] and the weights of their losses, float32 [batch_size], on `device`."""
        q = self._draw(batch_size, device)
        return self.process.level(q), self.importance

    def weights(self) -> np.ndarray:
        """The probability of each timestep in the present stage, float64 [T]; 0 where still locked."""
        num_levels = self.process.num_levels or 1
        return np.diff(self._sampler.law.cdf_at(np.arange(num_levels + 1) / num_levels))

    def update_with_local_losses(self, local_ts: Tensor, local_losses: Tensor) -> None:
        """The loop's loss callback: timesteps [B] and losses [B] of this worker, gathered from all workers here."""
        self._sampler.observe(self._quantiles(local_ts), local_losses.detach())

    def update_with_all_losses(self, ts: Sequence[int], losses: Sequence[float]) -> None:
        """The timesteps and losses of all workers, the same on each of them."""
        q = self._quantiles(torch.as_tensor(ts, device=self._device))
        self._sampler.observe(q, torch.as_tensor(losses, dtype=torch.float32, device=self._device), shared=True)

    def _quantiles(self, timesteps: Tensor) -> Tensor:
        return self.process.quantile(timesteps).float()
