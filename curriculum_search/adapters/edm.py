"""EDM and EDM2: the noise levels of their loss."""

import torch
from torch import Tensor

from curriculum_search.adapters._base import CurriculumAdapter


class EDMSigmas(CurriculumAdapter):
    """Draws sigma in ``EDMLoss`` (and EDM2's).

    ``training/loss.py``, in ``__init__`` and then instead of the two lines that make ``rnd_normal`` and ``sigma``::

        self.curriculum = curriculum_search.adapters.EDMSigmas("curriculum.json", total_images=...)

        sigma = self.curriculum.sigmas(images.shape[0], images.device)

    A curriculum that follows the loss is told it without its weight, at the end of ``__call__``:
    ``self.curriculum.observe((loss / weight).flatten(1).mean(1))``.  Save ``loss_fn.curriculum.state_dict()`` with
    the training state.
    """

    process_kinds = ("edm",)

    def sigmas(self, batch_size: int, device: torch.device | str) -> Tensor:
        """Noise levels sigma, float32 [batch_size, 1, 1, 1], on `device`."""
        return self.process.level(self._draw(batch_size, device)).reshape(-1, 1, 1, 1)
