"""EDM and EDM2: the noise levels of their loss."""

import torch
from torch import Tensor

from curriculum_search.adapters._base import CurriculumAdapter


class EDMSigmas(CurriculumAdapter):
    """Draws sigma in ``EDMLoss`` (and EDM2's).

    docs/how-to/adapters.md has the lines.  In EDM's ``__call__`` losses have a weight, and are to be
    observed without it.  The loss object is pickled into every snapshot, so the adapter is handed to it and not kept in
    it; one that is kept in it arrives there as its state.

    After the last stage sigma is log-normal as the curriculum's process has it, or as ``density`` says:
    ``LogNormal(mean=P_mean, std=P_std)``.
    """

    process_kinds = ("edm",)

    def sigmas(self, batch_size: int, device: torch.device | str) -> Tensor:
        """Noise levels sigma, float32 [batch_size, 1, 1, 1], on `device`."""
        return self.process.level(self._draw(batch_size, device)).reshape(-1, 1, 1, 1)
