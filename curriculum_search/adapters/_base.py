"""What every adapter is: a curriculum that keeps its own clock."""

import copy
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.curriculum import CurriculumFile, Switch
from curriculum_search.diffusion import Density, Histogram, PiecewiseDensity, Uniform

#: Two shares of the draws that are the same.
SAME_SHARE = 1e-4

TotalImages = int | Literal["as searched"]
"""A training budget in images, at least 1, or in so many words that of the runs that the curriculum was made for."""


class Follower(Protocol):
    """A run of a study, which gives an adapter its random numbers and follows its clock."""

    def uniforms(self, images_seen: int, batch_size: int, device: torch.device) -> Tensor:
        """Uniform numbers in [0, 1) for the draw that begins at `images_seen`, float32 [batch_size], on `device`."""

    def drew(self, images_before: int) -> None:
        """Take that noise levels have been drawn for the images from `images_before` on."""

    def observed(self, losses: Tensor) -> None:
        """Take the losses of the last draw, without any weight, [batch_size], detached."""


class CurriculumAdapter:
    """A curriculum that follows somebody else's training loop, one draw of noise levels after another.

    Each draw counts its images, those of all workers of torch.distributed included, and stages change between draws, at
    the same draw on every worker.  Uniform random numbers come from torch's global generator of the device.  Draws that
    train nothing belong into `validation`.

    A curriculum may follow the loss (`needs_losses`): if its gate watches it, `observe` must be told the losses
    after each draw; if its base density adapts to it, each sample's loss is also multiplied by its `importance`.

    An adapter pickles as its `state_dict`, so that what it is pickled with can be read without this package.

    Args:
        curriculum: a curriculum.json file, or its contents.
        total_images: the images your training will see, over all workers; pacings are relative to it.
        density: what your training draws its noise levels from without a curriculum, if that is not what the curriculum
            was made with: the clusters stay where they are, and inside them, as in the end, the draw is yours.  Only
            for a curriculum over the process's ordinary levels, uniform over q; one with a density of its own brings
            that along.
        bank_losses: only for a gate that watches a fixed bank: gives your model's mean loss on fixed images and
            noise at each of L noise quantiles (l + 1/2) / L, float64 [L], the same on all workers.

    Attributes:
        images_seen: images drawn for so far, over all workers.
        total_images: the budget.
        encoder: where the curriculum is over the levels of latents, what those were made with; see `CurriculumFile`.
        importance: float32 [B], the weights of the losses of the last draw; all 1 unless the base density is adaptive.

    Raises:
        ValueError: the file is no curriculum, or is over the levels of another process; no budget is given; a density
            is given for one that has its own.
    """

    process_kinds: tuple[str, ...]
    """The kinds of process whose curricula this adapter can follow."""

    def __init__(
        self,
        curriculum: CurriculumFile | str | Path,
        *,
        total_images: TotalImages,
        density: Density | None = None,
        bank_losses: Callable[[], Tensor] | None = None,
    ) -> None:
        curriculum = self._read(curriculum)
        if density is not None:
            _check_replaceable(curriculum, density)
            curriculum = replace(curriculum, density=density)
        self.process = curriculum.process
        self.encoder = curriculum.encoder
        self.total_images = _budget(total_images, curriculum)
        self._device = torch.device("cpu")
        self._sampler = curriculum.sampler(self._device, total_images=self.total_images)
        if self._sampler.needs_bank and bank_losses is None:
            raise ValueError("this curriculum's gate watches the loss on a fixed bank: bank_losses is required")
        self._bank_losses = bank_losses
        self._q: Tensor | None = None
        self._validating = False
        self._follower: Follower | None = None
        self._step_ended = True
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
    def unlocked_share(self) -> float:
        """The share of the clusters that is unlocked."""
        return self._sampler.unlocked_share

    @property
    def log_snr(self) -> Tensor:
        """log-SNR of the levels drawn last, float32 [batch_size]: what `LearnedWeights` is called with.

        Raises:
            ValueError: nothing has been drawn yet.
        """
        if self._q is None:
            raise ValueError("log_snr is that of a draw, and nothing has been drawn yet")
        return self._log_snr(self._q)

    def check_latents(self, *, scale: float | Sequence[float], shift: float | Sequence[float] = 0.0) -> None:
        """Make sure that the curriculum is over latents that are scaled as yours are, (latent - shift) * scale.

        Of latents that are twice as large the same noise hides half as much, so clusters would hold other noise.  What
        the curriculum took from its autoencoder's own configuration, it does not know and does not compare.

        Args:
            scale, shift: a number, or one for each channel.

        Raises:
            ValueError: they are scaled otherwise, or the file has no latents.
        """
        if self.encoder is None:
            raise ValueError("this curriculum's file says of no latents: it was made over the pixels of images")
        for name, yours in (("scale", scale), ("shift", shift)):
            own = self.encoder.get(name)
            if own is not None and not _same_numbers(own, yours):
                raise ValueError(f"this curriculum was made over latents of {name} {own}, and yours have {yours}")

    def exposure(self) -> dict[str, list[float]]:
        """How often each noise level has been trained up to the end of the last step, exactly and not counted from
        draws: share of the draws by interval of q, ``{"edges": [K + 1], "mass": [K]}``."""
        histogram = Histogram.of(self._sampler.exposure())
        return {"edges": list(histogram.edges), "mass": list(histogram.mass)}

    def end_step(self) -> None:
        """End the step of the last draw, whose losses have been observed; the next draw does so by itself."""
        if not self._step_ended:
            self._sampler.update(self.images_seen, self._bank_losses)
            self._step_ended = True

    def follow(self, follower: Follower) -> None:
        """Take random numbers from a run, and tell it of each draw that trains something."""
        self._follower = follower

    @property
    def needs_losses(self) -> bool:
        """Whether `observe` has to be called after each draw."""
        return self._sampler.needs_losses

    def observe(self, losses: Tensor) -> None:
        """Report the losses of the last draw: per sample [B], without any weight.  Each worker reports its own.

        Raises:
            ValueError: nothing has been drawn yet, or there is not one loss for each level drawn.
        """
        if self._q is None:
            raise ValueError("observe reports the losses of a draw, and nothing has been drawn yet")
        if losses.shape != self._q.shape:
            raise ValueError(
                f"observe takes one loss for each of the {len(self._q)} levels drawn last, [{len(self._q)}], not "
                f"{list(losses.shape)}: take means over pixels, and none over samples"
            )
        self._report(self._q, losses)

    @contextmanager
    def validation(self) -> Iterator[None]:
        """A context for draws that train nothing: they are those of ordinary training, from all noise levels.

        Inside, no image is counted, no stage begins, and losses that are observed are forgotten, so that one worker may
        do it alone.  Afterwards everything is as it was.
        """
        before = self._validating, self._q, self.importance
        self._validating = True
        try:
            yield
        finally:
            self._validating, self._q, self.importance = before

    def state_dict(self) -> dict[str, Any]:
        """What to save with a checkpoint (plain numbers and lists, the same on all workers)."""
        return {
            "images_seen": self.images_seen,
            "sampler": self._sampler.state_dict(),
            "step_ended": self._step_ended,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken; states of earlier versions were taken within a step.

        Raises:
            ValueError: the state belongs to another curriculum.
        """
        self._sampler.load_state_dict(state["sampler"])
        self.images_seen = state["images_seen"]
        self._step_ended = state.get("step_ended", self.images_seen == 0)

    def to(self, device: torch.device | str) -> Self:
        """Draw on `device` from now on; draws move there by themselves, too."""
        self._device = torch.device(device)
        self._sampler.to(self._device)
        return self

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (self.state_dict(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        own = {name: value for name, value in self.__dict__.items() if name != "_follower"}
        twin.__dict__.update(copy.deepcopy(own, memo), _follower=None)  # A run follows one adapter.
        return twin

    def _read(self, curriculum: CurriculumFile | str | Path) -> CurriculumFile:
        """The contents of a file that this adapter can follow."""
        if not isinstance(curriculum, CurriculumFile):
            curriculum = CurriculumFile.load(curriculum)
        kind = curriculum.process.to_dict()["kind"]
        if kind not in self.process_kinds:
            needed = " or ".join(self.process_kinds)
            raise ValueError(f"{type(self).__name__} needs a curriculum over the levels of {needed}, not {kind}")
        return curriculum

    def _log_snr(self, q: Tensor) -> Tensor:
        return self.process.log_snr(q)

    def _draw(self, batch_size: int, device: torch.device | str) -> Tensor:
        """Noise quantiles [batch_size] on `device` for the next images."""
        if torch.device(device) != self._device:
            self.to(device)
        if self._validating:
            u = torch.rand(batch_size, device=self._device)
            self._q = self._sampler.density.table(self._device).draw(u)
            self.importance = torch.ones_like(self._q)
            return self._q
        self.end_step()
        before = self.images_seen
        if self._follower is None:
            u = torch.rand(batch_size, device=self._device)
        else:
            u = self._follower.uniforms(before, batch_size, self._device)
        self._q, self.importance = self._sampler.draw(u)
        self.images_seen += int(batch_size) * distributed.world_size()
        self._step_ended = False
        if self._follower is not None:
            self._follower.drew(before)
        elif before <= self.total_images < self.images_seen and distributed.rank() == 0:
            warnings.warn(
                f"{type(self).__name__}: the {self.total_images:,} images of total_images have been drawn, and "
                "training goes on; if it was to see more from the start, the curriculum was over too early",
                stacklevel=3,
            )
        return self._q

    def _report(self, q: Tensor, losses: Tensor, *, shared: bool = False) -> None:
        if not self._validating:
            self._sampler.observe(q, losses.detach(), shared=shared)
            if self._follower is not None and not shared:
                self._follower.observed(losses.detach())


def _same_numbers(a: float | Sequence[float], b: float | Sequence[float]) -> bool:
    one, other = np.atleast_1d(a), np.atleast_1d(b)
    return (len(one) == len(other) or 1 in (len(one), len(other))) and np.allclose(one, other)


def _check_replaceable(curriculum: CurriculumFile, density: Density) -> None:
    """Raise ValueError where `density` would take the place of one that belongs to the curriculum."""
    if curriculum.density.moves or curriculum.density.adaptive:
        does = "moves" if curriculum.density.moves else "follows the loss"
    else:
        own, given = (part.piecewise(curriculum.process) for part in (curriculum.density, density))
        if same_draws(own, Uniform().piecewise(curriculum.process)) or same_draws(own, given):
            return
        does = "is not the ordinary one of its process, uniform over q"
    raise ValueError(f"this curriculum's density {does}: another cannot take its place, so leave density= away")


def same_draws(a: PiecewiseDensity, b: PiecewiseDensity) -> bool:
    """Whether the shares below every level are the same, by a margin that no training could tell."""
    knots = np.union1d(a.knots, b.knots)
    return bool(np.abs(a.cdf_at(knots) - b.cdf_at(knots)).max() < SAME_SHARE)


def _budget(total_images: TotalImages, curriculum: CurriculumFile) -> int:
    if isinstance(total_images, str) and total_images == "as searched":
        return curriculum.total_images
    try:
        images = 0 if isinstance(total_images, bool | str) else operator.index(total_images)
    except TypeError:
        images = 0
    if images < 1:
        raise ValueError(
            "total_images must be a whole number of at least 1, the images that your training will see, or "
            f"'as searched' (the {curriculum.total_images:,} of the runs that the curriculum was made for), "
            f"not {total_images!r}"
        )
    return images
