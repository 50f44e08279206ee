"""Curricula over timesteps in a training that counts them otherwise."""

import operator
import warnings
from dataclasses import replace

import numpy as np
import torch

from curriculum_search.curriculum import CurriculumFile
from curriculum_search.diffusion import DDPM

# What float32 schedules differ by from float64 ones, in log-SNR, with a wide margin.
_LOG_SNR_TOLERANCE = 0.05


def fitted(curriculum: CurriculumFile, training: object, attribute: str) -> CurriculumFile:
    """The same curriculum over the timesteps of a training, t = floor(q T).

    At one q the noise is the same whatever T is, where schedules scale with it, as the linear and the cosine schedule
    of improved-diffusion do.  Clusters end between timesteps, at the border next to where they ended.

    Args:
        curriculum: of a DDPM process.
        training: the training's diffusion or scheduler, or T.  Where it has ``alphas_cumprod``, a schedule that is not
            the curriculum's is warned of.
        attribute: where it has T.

    Raises:
        ValueError: there is no T, or a cluster is left without a timestep.
    """
    try:
        num_timesteps = training if isinstance(training, int) else operator.attrgetter(attribute)(training)
    except AttributeError as error:
        name = type(training).__name__
        raise ValueError(
            f"the number of timesteps, or what has it as {attribute}, is needed; {name} has none"
        ) from error
    process = curriculum.process
    assert isinstance(process, DDPM)
    if num_timesteps != process.num_timesteps:
        process = replace(process, num_timesteps=num_timesteps)
        edges = on_grid(np.array(curriculum.edges) * num_timesteps, num_timesteps, curriculum)
        curriculum = replace(curriculum, process=process, edges=edges)
    alphas_cumprod = getattr(training, "alphas_cumprod", None)
    if alphas_cumprod is not None:
        _compare_schedules(process, torch.as_tensor(alphas_cumprod).double().cpu().numpy())
    return curriculum


def on_grid(borders: np.ndarray, num_levels: int, curriculum: CurriculumFile) -> tuple[float, ...]:
    """Edges in q that lie between two of the training's levels.

    Args:
        borders: [N + 1], how many of the levels lie below each edge; rounded here.
        num_levels: how many levels there are.
        curriculum: whose edges they are, for the message.

    Raises:
        ValueError: a cluster is left without a level.
    """
    whole = np.rint(borders).astype(np.int64)
    empty = np.flatnonzero(np.diff(whole) <= 0)
    if len(empty):
        low, high = curriculum.edges[empty[0]], curriculum.edges[empty[0] + 1]
        raise ValueError(
            f"this training has {num_levels:,} timesteps, and none of them in the curriculum's cluster of q from "
            f"{low:.6g} to {high:.6g} ({len(empty)} of its {len(whole) - 1} clusters have none): make one for "
            f"them, with fewer clusters or, for DDPM, process.num_timesteps={num_levels}"
        )
    return tuple((whole / num_levels).tolist())


def _compare_schedules(process: DDPM, alphas_cumprod: np.ndarray) -> None:
    middles = (np.arange(process.num_timesteps) + 0.5) / process.num_timesteps
    with np.errstate(divide="ignore"):
        log_snr = np.log(alphas_cumprod) - np.log1p(-alphas_cumprod)
    apart = np.abs(log_snr - process.log_snr(middles))
    if apart.max() > _LOG_SNR_TOLERANCE:
        t = int(apart.argmax())
        warnings.warn(
            f"this training's noise schedule is not the one that the curriculum was made for ({process.schedule}): at "
            f"timestep {t} the log-SNR is {log_snr[t]:.3g} and was {process.log_snr(middles)[t]:.3g}; clusters hold "
            "the same shares of the timesteps, and so other noise",
            stacklevel=4,
        )
