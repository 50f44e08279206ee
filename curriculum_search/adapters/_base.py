"""What every adapter is: a curriculum that keeps its own clock."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.curriculum import CurriculumFile, Switch


class CurriculumAdapter:
    """A curriculum that follows somebody else's training loop, one draw of noise levels after another.

    Each draw counts its images, those of all workers of torch.distributed included, and stages change between draws, at
    the same draw on every worker.  Uniform random numbers come from torch's global generator of the device.

    A curriculum may follow the loss (`needs_losses`): if its gate watches it, `observe` must be told the losses
    after each draw; if its base density adapts to it, each sample's loss is also multiplied by its `importance`.

    Args:
        curriculum: a curriculum.json file, or its contents.
        total_images: the images your training will see, over all workers; pacings are relative to it.  Without it,
            what the curriculum was made for.
        bank_losses: only for a gate that watches a fixed bank: gives your model's mean loss on fixed images and
            noise at each of L noise quantiles (l + 1/2) / L, float64 [L], the same on all workers.

    Attributes:
        images_seen: images drawn for so far, over all workers.
        importance: float32 [B], the weights of the losses of the last draw; all 1 unless the base density is adaptive.

    Raises:
        ValueError: the file is no curriculum, or is over the levels of another process.
    """

    process_kinds: tuple[str, ...]
    """The kinds of process whose curricula this adapter can follow."""

    def __init__(
        self,
        curriculum: CurriculumFile | str | Path,
        *,
        total_images: int | None = None,
        bank_losses: Callable[[], Tensor] | None = None,
    ) -> None:
        if not isinstance(curriculum, CurriculumFile):
            curriculum = CurriculumFile.load(curriculum)
        self.process = curriculum.process
        kind = curriculum.process.to_dict()["kind"]
        if kind not in self.process_kinds:
            needed = " or ".join(self.process_kinds)
            raise ValueError(f"{type(self).__name__} needs a curriculum over the levels of {needed}, not {kind}")
        self._device = torch.device("cpu")
        self._sampler = curriculum.sampler(self._device, total_images=total_images)
        if self._sampler.needs_bank and bank_losses is None:
            raise ValueError("this curriculum's gate watches the loss on a fixed bank: bank_losses is required")
        self._bank_losses = bank_losses
        self._q: Tensor | None = None
        self.images_seen = 0
        self.importance = torch.ones(0)

    @property
    def stage(self) -> int:
        """The stage of the last draw, from 1."""
        return self._sampler.stage

    @property
    def history(self) -> list[Switch]:
        """The beginning of every stage so far: images seen, stage, reason."""
        return self._sampler.history

    @property
    def needs_losses(self) -> bool:
        """Whether `observe` has to be called after each draw."""
        return self._sampler.needs_losses

    def observe(self, losses: Tensor) -> None:
        """Report the losses of the last draw: per sample [B], without any weight.  Each worker reports its own."""
        if self._q is None:
            raise ValueError("observe reports the losses of a draw, and nothing has been drawn yet")
        self._sampler.observe(self._q, losses.detach())

    def state_dict(self) -> dict[str, Any]:
        """What to save with a checkpoint (plain numbers and lists, the same on all workers)."""
        return {"images_seen": self.images_seen, "sampler": self._sampler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            ValueError: the state belongs to another curriculum.
        """
        self._sampler.load_state_dict(state["sampler"])
        self.images_seen = state["images_seen"]

    def to(self, device: torch.device | str) -> Self:
        """Draw on `device` from now on; draws move there by themselves, too."""
        self._device = torch.device(device)
        self._sampler.to(self._device)
        return self

    def _draw(self, batch_size: int, device: torch.device | str) -> Tensor:
        """Noise quantiles [batch_size] on `device` for the next images."""
        if torch.device(device) != self._device:
            self.to(device)
        if self.images_seen:  # Ends the step of the draw before, whose losses have been observed by now.
            self._sampler.update(self.images_seen, self._bank_losses)
        self._q, self.importance = self._sampler.draw(torch.rand(batch_size, device=self._device))
        self.images_seen += batch_size * distributed.world_size()
        return self._q
