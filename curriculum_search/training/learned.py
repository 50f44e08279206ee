"""What of a loss weighting is trained beside the network, and ends with the run."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.diffusion import LearnedWeighting
from curriculum_search.experiment import Training
from curriculum_search.torch_imports import EagerAdamW
from curriculum_search.training.randomness import derive_seed


class Learned:
    """The parameters of a `LearnedWeighting` and their optimiser: AdamW with the network's betas, without weight decay.

    They are few, so every worker has all of them, sharded or not, and gradients are averaged here.  They have neither
    an average over time nor a part in the norm that the network's gradients are clipped to.

    Args:
        weighting: whose they are.
        training: how the network is trained.
        seed: of the experiment, on which alone, with the weighting, the first values depend.
        device: where the losses are.
    """

    def __init__(self, weighting: LearnedWeighting, training: Training, *, seed: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(derive_seed(seed, "weighting"))
        self.module = weighting.build(generator).to(device).train()
        self._rate = weighting.learning_rate
        self._parameters = list(self.module.parameters())
        self._optimizer = (torch.optim.AdamW if training.compile else EagerAdamW)(
            self._parameters, lr=self._rate, betas=training.betas, weight_decay=0.0
        )

    def objective(self, losses: Tensor, log_snr: Tensor) -> Tensor:
        """What is minimised for each image, [B], of weighted losses [B] at ``log_snr`` [B]."""
        objective: Tensor = self.module(losses, log_snr)
        return objective

    def step(self, share: float) -> None:
        """One step on the gradients that this worker and the others have added up; all of them call it.

        Args:
            share: of its learning rate, as the schedule has it now.
        """
        workers = distributed.world_size()
        for parameter in self._parameters:
            if workers > 1 and parameter.grad is not None:
                distributed.all_reduce_sum(parameter.grad).div_(workers)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * share
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """The parameters, and the state of their optimiser."""
        return {"module": self.module.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.module.load_state_dict(state["module"])
        self._optimizer.load_state_dict(state["optimizer"])
