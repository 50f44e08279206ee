"""What is kept of generated samples, and what evaluators are given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.evaluation.errors import Diverged
from curriculum_search.evaluation.features import Extractor, Features
from curriculum_search.evaluation.frechet import Moments
from curriculum_search.evaluation.generation import Block
from curriculum_search.evaluation.reference import References

Form = Literal["moments", "features", "probabilities", "similarities"]
"""What is kept of samples: mean and covariance of their features, the features, their class probabilities, or how alike
they are to their caption and to others."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What an evaluator wants to know of the first `num_samples` samples."""

    extractor: Extractor
    num_samples: int
    form: Form


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an evaluator is given: the same on every worker, and every worker evaluates.

    Attributes:
        moments: for each need of form "moments".
        rows: for each other need: features float32 [num_samples, d], probabilities [num_samples, classes], or
            similarities [num_samples, captions].
        references: the same of what samples are compared with.
        bank_losses: `FixedBank.losses` of the network, given the number of reference images and of noise levels.
    """

    moments: Mapping[Need, Moments]
    rows: Mapping[Need, Tensor]
    references: References
    bank_losses: Callable[[int, int], Tensor]


class Samples:
    """Collects what evaluators need from samples that pass by, over all workers.

    Of the samples themselves only the first `num_kept` are kept.  Nothing here waits for the device until `reduce`.
    """

    def __init__(
        self,
        needs: Sequence[Need],
        features: Mapping[Extractor, Features],
        device: torch.device,
        *,
        num_kept: int = 0,
    ) -> None:
        self.moments = {need: Moments(features[need.extractor].dimension, device) for need in needs if _streams(need)}
        self.rows: dict[Need, Tensor] = {}
        for need in needs:
            if not _streams(need):
                loaded = features[need.extractor]
                widths = {"features": loaded.dimension, "probabilities": loaded.num_classes}
                width = widths.get(need.form, loaded.num_captions)
                self.rows[need] = torch.zeros(need.num_samples, width, device=device)
        self._needs = {e: [n for n in needs if n.extractor == e] for e in dict.fromkeys(n.extractor for n in needs)}
        self._features = features
        self._num_kept = num_kept
        self._kept: dict[int, Tensor] = {}  # the first sample of a block to its images
        self._num_bad = torch.zeros((), dtype=torch.int64, device=device)
        self._end = 0  # no sample from here on has been taken

    @torch.no_grad()
    def add(self, block: Block, start: int) -> None:
        """Take a block whose first sample counts as the `start`-th; samples beyond a need's number do not count."""
        self._num_bad += ~block.finite
        self._end = max(self._end, start + len(block.images))
        if start < self._num_kept:
            self._kept[start] = block.images
        for extractor, needs in self._needs.items():
            if start >= max(need.num_samples for need in needs):
                continue
            loaded = self._features[extractor]
            found, looked_at = dict[str, Tensor](), block.values if extractor.of_latents else block.images
            if any(need.form == "probabilities" for need in needs):
                found["features"], found["probabilities"] = loaded.with_probabilities(looked_at)
            else:
                found["features"] = loaded(looked_at)
            if any(need.form == "similarities" for need in needs):
                found["similarities"] = loaded.similarities(found["features"], block.condition)
            for need in needs:
                kept = max(min(len(block.images), need.num_samples - start), 0)
                if need.form == "moments":
                    self.moments[need].update(found["features"][:kept])
                else:
                    self.rows[need][start : start + kept] = found[need.form][:kept]

    def state_dict(self) -> dict[str, Any]:
        """What this worker has collected so far, before `reduce`."""
        return {
            "num_bad": self._num_bad,
            "end": self._end,
            "moments": [moments.state_dict() for moments in self.moments.values()],
            "rows": [rows[: self._end] for rows in self.rows.values()],
            "first_images": dict(self._kept),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on, to the bit, where `state_dict` was taken for the same needs."""
        self._end = state["end"]
        self._num_bad.copy_(state["num_bad"])
        for moments, kept in zip(self.moments.values(), state["moments"], strict=True):
            moments.load_state_dict(kept)
        for rows, kept in zip(self.rows.values(), state["rows"], strict=True):
            rows[: len(kept)] = kept
        self._kept = dict(state["first_images"])

    @property
    def first_images(self) -> Tensor | None:
        """After `reduce`, the first samples, uint8 [n, C, H, W] on the CPU, as many as are kept or were seen.

        Needs the first worker only; None: there are none, or they are another worker's.
        """
        return torch.cat(list(self._kept.values()))[: self._num_kept].cpu() if 0 in self._kept else None

    def reduce(self) -> None:
        """Bring together what all workers collected.  Every worker must call it.

        Raises:
            Diverged: on every worker, when a sample or feature of any worker was not finite.
        """
        if int(distributed.all_reduce_sum(self._num_bad)):
            raise Diverged("the samples, or what the network gave on the way to them, are not finite")
        for moments in self.moments.values():
            moments.reduce()
        for rows in self.rows.values():
            # Every row was written by one worker and is zero on the others.
            if not bool(torch.isfinite(distributed.all_reduce_sum(rows)).all()):
                raise Diverged("the features of the samples are not finite")
        self._gather_kept()

    def _gather_kept(self) -> None:
        """Bring the first samples together where several workers have some of them."""
        if distributed.world_size() == 1:
            return
        shape = next((images.shape for images in self._kept.values()), (0, 0, 0, 0))
        own = torch.tensor([[self._end, *shape]], device=self._num_bad.device)
        end, length, *image = distributed.all_gather_cat(own).amax(0).tolist()
        if length >= min(end, self._num_kept):  # The first worker's block has them all.
            return
        images = torch.zeros(end, *image, dtype=torch.uint8, device=self._num_bad.device)
        for start, kept in self._kept.items():
            images[start : start + len(kept)] = kept
        # Every image is one worker's and zero on the others.
        self._kept = {0: distributed.all_reduce_sum(images[: self._num_kept].contiguous())}


def _streams(need: Need) -> bool:
    return need.form == "moments"
