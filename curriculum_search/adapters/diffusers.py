"""diffusers' training scripts: timesteps of a noise scheduler."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from curriculum_search.adapters._base import SAME_SHARE, CurriculumAdapter, TotalImages, same_draws
from curriculum_search.adapters._timesteps import fitted, on_grid
from curriculum_search.curriculum import CurriculumFile
from curriculum_search.diffusion import (
    AdaptiveDensity,
    Density,
    Flow,
    Histogram,
    LogitNormal,
    PiecewiseDensity,
    Process,
    Uniform,
)

# Of the distribution function of the mode scheme.
_MODE_POINTS = 1 << 16

# What a scheduler's float32 sigmas differ by, with a wide margin.
_SAME_SIGMA = 1e-4


class DiffusersTimesteps(CurriculumAdapter):
    """Draws timesteps in the scripts that train with ``DDPMScheduler``, as ``train_unconditional.py`` does.

    docs/how-to/adapters.md has the lines.

    Args:
        curriculum, total_images, density, bank_losses: as in `CurriculumAdapter`.
        scheduler: the noise scheduler that the script trains with, which has ``config.num_train_timesteps``, or that
            number.  A curriculum that was made for another number keeps its clusters' shares of the timesteps:
            t = floor(q T).

    Raises:
        ValueError: as in `CurriculumAdapter`, or there are too few timesteps for the clusters.
    """

    process_kinds = ("ddpm",)

    def __init__(
        self,
        curriculum: CurriculumFile | str | Path,
        scheduler: object,
        *,
        total_images: TotalImages,
        density: Density | None = None,
        bank_losses: Callable[[], Tensor] | None = None,
    ) -> None:
        file = fitted(self._read(curriculum), scheduler, "config.num_train_timesteps")
        super().__init__(file, total_images=total_images, density=density, bank_losses=bank_losses)

    def timesteps(self, batch_size: int, device: torch.device | str) -> Tensor:
        """Timesteps, int64 [batch_size], on `device`."""
        return self.process.level(self._draw(batch_size, device))


class FlowMatchScheduler(Protocol):
    """What is needed of diffusers' ``FlowMatchEulerDiscreteScheduler``: N timesteps and sigmas, from noise to data."""

    timesteps: Tensor
    sigmas: Tensor


class DiffusersFlowMatching(CurriculumAdapter):
    """Draws indices into ``FlowMatchEulerDiscreteScheduler`` in the scripts for SD3, Flux and their like.

    docs/how-to/adapters.md has the lines.

    The scheduler's sigma is the share of noise, so a cluster of q holds the timesteps whose sigma lies in it, whatever
    the scheduler's shift: the shift only decides which sigmas there are.  What is drawn is the script's own density,
    restricted to what is unlocked, so that after the last stage it is what the script draws without a curriculum, shift
    and weighting scheme included.  A curriculum whose process has a shift needs a scheduler that has the same.

    Args:
        curriculum, total_images: as in `CurriculumAdapter`.
        bank_losses: as there, the quantiles being shares of the scheduler's timesteps, from data to noise.
        scheduler: the scheduler that the script trains with, as it was made (not after ``set_timesteps``).
        weighting_scheme, logit_mean, logit_std, mode_scale: what the script hands to
            ``compute_density_for_timestep_sampling``, where schemes but ``logit_normal`` and ``mode`` are uniform.

    Raises:
        ValueError: as in `CurriculumAdapter`; the scheduler has no sigma in one of the clusters, or was prepared for
            sampling; the curriculum's process has a shift, and the scheduler another; its density follows the loss, and
            the scheme is not uniform; or it takes the place of the script's, as one that moves does and any that is
            not the process's ordinary one, and `DiffusersSigmas` is what draws from it.
    """

    process_kinds = ("flow",)

    def __init__(
        self,
        curriculum: CurriculumFile | str | Path,
        scheduler: FlowMatchScheduler,
        *,
        total_images: TotalImages,
        weighting_scheme: str = "none",
        logit_mean: float = 0.0,
        logit_std: float = 1.0,
        mode_scale: float = 1.29,
        bank_losses: Callable[[], Tensor] | None = None,
    ) -> None:
        sigmas = scheduler.sigmas.double().cpu().numpy()
        num_timesteps = len(scheduler.timesteps)
        if len(sigmas) != num_timesteps or np.any(np.diff(sigmas) >= 0):
            raise ValueError(
                "scheduler.sigmas must fall from noise to data, one for each timestep: give the scheduler as it was "
                "made, not after set_timesteps"
            )
        file = self._read(curriculum)
        density = _density(weighting_scheme, logit_mean, logit_std, mode_scale)
        if not _may_stand_for(density, file, sigmas[::-1]):
            raise ValueError(
                "this curriculum's density of noise levels takes the place of the script's: draw with DiffusersSigmas, "
                "and not with DiffusersFlowMatching"
            )
        _check_shift(file.process, sigmas[::-1])
        # From here on q counts the scheduler's timesteps, from data to noise.
        borders = np.searchsorted(sigmas[::-1], file.process.level(np.array(file.edges[1:-1])))
        edges = on_grid(np.array([0, *borders, num_timesteps]), num_timesteps, file)
        if file.density.adaptive:
            if density != Uniform():
                raise ValueError(
                    f"this curriculum's density follows the loss: weighting_scheme must be 'none', not "
                    f"{weighting_scheme!r}"
                )
            density = file.density
        file = replace(file, edges=edges, density=density)
        super().__init__(file, total_images=total_images, bank_losses=bank_losses)
        self._borders = torch.arange(1, num_timesteps, dtype=torch.float64) / num_timesteps
        self._sigmas = torch.from_numpy(sigmas)

    def indices(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """Indices into the scheduler's ``timesteps`` and ``sigmas``, int64 [batch_size], on `device`."""
        return self._indices(self._draw(batch_size, device))

    def _indices(self, q: Tensor) -> Tensor:
        self._borders = self._borders.to(q.device)
        return len(self._borders) - torch.searchsorted(self._borders, q.double(), right=True)

    def _log_snr(self, q: Tensor) -> Tensor:
        self._sigmas = self._sigmas.to(q.device)
        return self.process.log_snr(self.process.quantile(self._sigmas[self._indices(q)])).float()


class DiffusersSigmas(CurriculumAdapter):
    """Draws indices into ``FlowMatchEulerDiscreteScheduler`` where the density of noise levels is the curriculum's.

    A study has the base density in its own file, so that it can replace it, as by an arm's exposure; here nothing of a
    script's weighting scheme is added.  The index is that of the sigma next to the share of noise that was drawn.

    Args:
        curriculum, total_images, bank_losses: as in `CurriculumAdapter`.
        scheduler: the scheduler that the script trains with, as it was made.
    """

    process_kinds = ("flow",)

    def __init__(
        self,
        curriculum: CurriculumFile | str | Path,
        scheduler: FlowMatchScheduler,
        *,
        total_images: TotalImages,
        bank_losses: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(curriculum, total_images=total_images, bank_losses=bank_losses)
        rising = scheduler.sigmas.double().cpu()[: len(scheduler.timesteps)].flip(0)
        self._middles = (rising[1:] + rising[:-1]) / 2

    def indices(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """Indices into the scheduler's ``timesteps`` and ``sigmas``, int64 [batch_size], on `device`."""
        q = self._draw(batch_size, device)
        self._middles = self._middles.to(self._device)
        return len(self._middles) - torch.searchsorted(self._middles, self.process.level(q).double())


def _may_stand_for(density: Density, file: CurriculumFile, sigmas: np.ndarray) -> bool:
    """Whether a script's density of timesteps, `sigmas` [T] from data to noise, leaves nothing of the file's away."""
    if isinstance(file.density, AdaptiveDensity):
        return file.density.unbiased
    if file.density.moves:
        return False
    own, ordinary = file.density.piecewise(file.process), Uniform().piecewise(file.process)
    if same_draws(own, ordinary):
        return True
    # The shares of what is drawn up to each sigma.
    ours = own.cdf_at(file.process.quantile(sigmas))
    theirs = density.piecewise(file.process).cdf_at(np.arange(1, len(sigmas) + 1) / len(sigmas))
    return bool(np.abs(ours - theirs).max() < SAME_SHARE)


def _check_shift(process: Process, sigmas: np.ndarray) -> None:
    """Raise ValueError where the process has a shift and the scheduler's `sigmas`, from data to noise, another."""
    assert isinstance(process, Flow)
    shifted = process.level(np.arange(1, len(sigmas) + 1) / len(sigmas))
    if process.shift != 1.0 and np.abs(sigmas - shifted).max() > _SAME_SIGMA:
        raise ValueError(
            f"this curriculum was made with process.shift={process.shift:g}, and the scheduler's sigmas are shifted "
            f"otherwise: make it with shift={process.shift:g}, or draw with DiffusersSigmas, which has the curriculum's"
        )


def _density(weighting_scheme: str, logit_mean: float, logit_std: float, mode_scale: float) -> Density:
    """What `compute_density_for_timestep_sampling` draws (Esser et al. 2024, arXiv 2403.03206, section 3.1).

    The scripts count u from noise to data, and q is 1 - u.
    """
    if weighting_scheme == "logit_normal":
        return LogitNormal(mean=-logit_mean, std=logit_std)
    if weighting_scheme != "mode" or mode_scale == 0:
        return Uniform()
    x = np.linspace(0.0, 1.0, _MODE_POINTS)
    q = x + mode_scale * (np.cos(0.5 * np.pi * x) ** 2 - 1.0 + x)  # of x uniform
    if np.any(np.diff(q) < 0):
        raise ValueError(f"mode_scale must be in [-1, {2 / (math.pi - 2):.4g}], not {mode_scale}")
    return Histogram.of(PiecewiseDensity.from_cdf(lambda at: np.interp(at, q, x)))
