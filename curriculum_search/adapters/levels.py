"""Any other codebase with continuous noise levels: REPA, LightningDiT, flow_matching, k-diffusion, one's own."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from curriculum_search.adapters._base import CurriculumAdapter, TotalImages
from curriculum_search.curriculum import CurriculumFile
from curriculum_search.diffusion import Density


class Levels(CurriculumAdapter):
    """Draws noise levels in a codebase's own convention.

    The level of the flow process is the share of noise t, the process's shift included: x = (1 - t) * data + t * noise.
    That of EDM's is sigma, x = data + sigma * noise.  docs/how-to/adapters.md has examples.

    Args:
        curriculum, total_images, density, bank_losses: as in `CurriculumAdapter`.
        process: the process that the codebase trains, ``flow`` or ``edm`` (or a continuous one of your own).
        level: gives the codebase's level for the process's own (the share of noise, or sigma), both float32 [B].
            Without it, that itself.

    Raises:
        ValueError: as in `CurriculumAdapter`, or the process has timesteps, of which other adapters know the number.
    """

    def __init__(
        self,
        curriculum: CurriculumFile | str | Path,
        process: str,
        *,
        level: Callable[[Tensor], Tensor] | None = None,
        total_images: TotalImages,
        density: Density | None = None,
        bank_losses: Callable[[], Tensor] | None = None,
    ) -> None:
        self.process_kinds = (process,)
        file = self._read(curriculum)
        if file.process.num_levels is not None:
            raise ValueError(
                f"Levels is for continuous levels; for the timesteps of {process} there is ScheduleSampler"
            )
        super().__init__(file, total_images=total_images, density=density, bank_losses=bank_losses)
        self._level = level

    def levels(self, batch_size: int, device: torch.device | str) -> Tensor:
        """Noise levels as the codebase counts them, [batch_size], on `device`."""
        own = self.process.level(self._draw(batch_size, device))
        return own if self._level is None else self._level(own)
