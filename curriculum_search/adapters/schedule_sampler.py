"""guided-diffusion, improved-diffusion and DiT: a schedule sampler."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from curriculum_search.adapters._base import CurriculumAdapter, TotalImages
from curriculum_search.adapters._timesteps import fitted
from curriculum_search.curriculum import CurriculumFile
from curriculum_search.diffusion import Density


class ScheduleSampler(CurriculumAdapter):
    """Stands where guided-diffusion and improved-diffusion have ``UniformSampler``, and in DiT's training loop.

    docs/how-to/adapters.md has the lines for each of them.  The loops of the first two hand losses only to
    instances of their own ``LossAwareSampler``; that is why those lines register this class there.

    Args:
        curriculum, total_images, density, bank_losses: as in `CurriculumAdapter`.
        diffusion: the codebase's diffusion, which has ``num_timesteps``, or that number.  A curriculum that was made
            for another number keeps its clusters' shares of the timesteps: t = floor(q T).

    Raises:
        ValueError: as in `CurriculumAdapter`, or there are too few timesteps for the clusters.
    """

    process_kinds = ("ddpm",)

    def __init__(
        self,
        curriculum: CurriculumFile | str | Path,
        diffusion: object,
        *,
        total_images: TotalImages,
        density: Density | None = None,
        bank_losses: Callable[[], Tensor] | None = None,
    ) -> None:
        file = fitted(self._read(curriculum), diffusion, "num_timesteps")
        super().__init__(file, total_images=total_images, density=density, bank_losses=bank_losses)

    def sample(self, batch_size: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Timesteps int64 [batch_size] and the weights of their losses, float32 [batch_size], on `device`."""
        q = self._draw(batch_size, device)
        return self.process.level(q), self.importance

    def weights(self) -> np.ndarray:
        """The probability of each timestep in the present stage, float64 [T]; 0 where still locked."""
        num_levels = self.process.num_levels or 1
        return np.diff(self._sampler.stage_density.cdf_at(np.arange(num_levels + 1) / num_levels))

    def update_with_local_losses(self, local_ts: Tensor, local_losses: Tensor) -> None:
        """The loop's loss callback: timesteps [B] and losses [B] of this worker, gathered from all workers here."""
        self._report(self._quantiles(local_ts), local_losses)

    def update_with_all_losses(self, ts: Sequence[int], losses: Sequence[float]) -> None:
        """The timesteps and losses of all workers, the same on each of them."""
        q = self._quantiles(torch.as_tensor(ts, device=self._device))
        self._report(q, torch.as_tensor(losses, dtype=torch.float32, device=self._device), shared=True)

    def _quantiles(self, timesteps: Tensor) -> Tensor:
        return self.process.quantile(timesteps).float()
