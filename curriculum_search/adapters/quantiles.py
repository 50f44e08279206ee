"""The noise quantile itself, for training code that knows what to make of it."""

from pathlib import Path

import torch
from torch import Tensor

from curriculum_search.adapters._base import CurriculumAdapter
from curriculum_search.curriculum import CurriculumFile


class Quantiles(CurriculumAdapter):
    """Draws noise quantiles q, 0 clean and 1 noise, of whatever process the curriculum is over.

    `process` makes of q its own level (``process.level(q)``) and its log-SNR.
    """

    def quantiles(self, batch_size: int, device: torch.device | str) -> Tensor:
        """Noise quantiles, float32 [batch_size], in [0, 1), on `device`."""
        return self._draw(batch_size, device)

    def _read(self, curriculum: CurriculumFile | str | Path) -> CurriculumFile:
        return curriculum if isinstance(curriculum, CurriculumFile) else CurriculumFile.load(curriculum)
