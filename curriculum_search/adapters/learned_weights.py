"""Loss weights that are learned with the network, in other people's training code."""

from pathlib import Path

import torch
from torch import Tensor, nn

from curriculum_search.curriculum import CurriculumFile


class LearnedWeights(nn.Module):
    """The learned weighting of a curriculum.json file, untrained: a module that is trained beside the network.

    docs/how-to/adapters.md has the lines.  The optimiser gets its parameters in a group of their own, with
    `learning_rate` and without weight decay; they are no part of what the network's gradients are clipped by.  Several
    workers average its gradients as the network's, by DistributedDataParallel, say.

    Args:
        curriculum: a curriculum.json file, or its contents.
        seed: of the first values.

    Attributes:
        learning_rate: of its parameters.

    Raises:
        ValueError: the file is no curriculum, or has no weighting that is learned.
    """

    def __init__(self, curriculum: CurriculumFile | str | Path, *, seed: int = 0) -> None:
        super().__init__()
        file = curriculum if isinstance(curriculum, CurriculumFile) else CurriculumFile.load(curriculum)
        if file.weighting is None:
            raise ValueError(
                "LearnedWeights needs a curriculum with a weighting that is learned (weighting.kind uncertainty), and "
                "this one has none: a constant weighting is up to your loss"
            )
        self.learning_rate = file.weighting.learning_rate
        self._weighting, self._process = file.weighting, file.process
        self.learned = file.weighting.build(torch.Generator().manual_seed(seed))

    def forward(self, losses: Tensor, log_snr: Tensor) -> Tensor:
        """What is minimised for each sample, float32 [B]; its adapter's `importance` is multiplied with it.

        Args:
            losses: [B], those that are observed: means over pixels, without any weight, of what the network of the
                curriculum's process predicts.
            log_snr: [B], where: that of the adapter, of the same draw.
        """
        objective: Tensor = self.learned(self._weighting.weights(log_snr, self._process) * losses, log_snr)
        return objective
