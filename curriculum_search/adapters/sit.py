"""SiT: the times of its transport."""

import torch
from torch import Tensor

from curriculum_search.adapters._base import CurriculumAdapter


class SiTTimes(CurriculumAdapter):
    """Draws t in SiT's ``Transport.sample``.

    SiT's time runs from noise to data: x_t = t * data + (1 - t) * noise on its linear path, so t = 1 - q.
    docs/how-to/adapters.md has the lines.
    """

    process_kinds = ("flow",)

    def times(self, batch_size: int, device: torch.device | str, t0: float = 0.0, t1: float = 1.0) -> Tensor:
        """Times in SiT's sense, float32 [batch_size], in [t0, t1] (what ``check_interval`` gives), 1 = data."""
        q = self._draw(batch_size, device)
        return t0 + (t1 - t0) * (1.0 - self.process.level(q))
