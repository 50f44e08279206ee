"""The relative entropy between neighbouring marginals, D_KL(p_{t-1} || p_t), of a user's images under a noise process.

p_t is the distribution of noisy images at level t, over images and noise; the entropy study of Kim et al. (2025) takes
the relative entropy between neighbours for a measure of how hard a level is.  Images are known by samples only, and no
estimate of p_t is good at every level:

- *The samples themselves* make p_t a mixture of Gaussians around them.  Its relative entropy is on average too large
  (it is jointly convex), and less so with every further image.  But as soon as the noise is smaller than the distance
  between images, which with many pixels is most levels, every noisy image belongs to one image, and the value is that
  of a single point under noise (`upper_bound`), whatever the images.  Measured on a 64-dimensional Gaussian of
  power-law spectrum, 1,000 samples, at t = 1: 7.8 nats instead of 0.0002.
- *Their mean and covariance* make p_t a Gaussian, in closed form (`gaussian`): exact for Gaussian data and where the
  noise has blurred the rest, and near the truth for smooth densities; but blind to clusters and to images that fill
  only a thin set, whose relative entropy at low noise is far larger.

So p_t is a kernel estimate that has both as its ends: every image is drawn towards the mean by sqrt(1 - w^2) and
widened by w^2 times the covariance, which keeps mean and covariance as they are (Silverman & Young 1987's shrunk
smoothing).  w = 0 are the samples, w = 1 the Gaussian.  At each level that w is taken under which held-out noisy images
are likeliest.  Where several are about equally likely, the values still differ by up to a quarter.  Measured in 64
dimensions with 1,000 samples, on a Gaussian, on 20 clusters and on 20 thin sets of 6 dimensions (DDPM, linear): at most
a third off between t = 17 and 800.  It breaks down where the noise is finer than anything that so many images show, as
at t = 4 on the thin sets, four times too small; there `upper_bound`, which is far above it, says so.  And where next to
nothing of the images is left, at t > 800, the error of their mean and covariance can double a value that is a
millionth of the largest.

Given w, what is left is an integral, which is estimated without bias from the same draws at every level (see
`_relative_entropy`); its standard error is reported.

The relative entropy depends on how a process scales its images (DDPM shrinks them, EDM does not): levels of one process
can be compared, processes cannot.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from curriculum_search.config import Config
from curriculum_search.curriculum import DifficultyCurve
from curriculum_search.data import ImageSet
from curriculum_search.difficulty.axes import Array, PrincipalAxes, coefficients
from curriculum_search.diffusion import Process
from curriculum_search.models.encoders import PIXELS, Encoder

#: Levels that stand for a continuous process; DDPM's usual number, so that values can be set side by side.
_CONTINUOUS_LEVELS = 1000
_WIDTHS = tuple(i / 10 for i in range(11))


class Level(NamedTuple):
    """Noisy images are alpha * image + sigma * noise."""

    alpha: float
    sigma: float


@dataclass(frozen=True, kw_only=True, eq=False)
class EntropyCurve:
    """Relative entropies between neighbouring levels.  Arrays are float64 [K], in nats where nothing else is said.

    Attributes:
        edges: [K + 1], of the intervals of q for which the pairs of levels stand.
        q: where the pairs of levels meet.
        relative_entropy: the estimate.
        standard_error: of its Monte-Carlo integral, for the densities as estimated.
        gaussian: of Gaussians with the images' mean and covariance.
        upper_bound: of one image under noise, averaged over images; no distribution of these images has more.
        kernel_width: w of the density estimate, from 0 (the samples) to 1 (the Gaussian).
        effective_images: from how many kernels a noisy image might come (the perplexity of the posterior); at w = 0
            and 1, the estimate sees single points and is the upper bound.
    """

    edges: Array
    q: Array
    relative_entropy: Array
    standard_error: Array
    gaussian: Array
    upper_bound: Array
    kernel_width: Array
    effective_images: Array

    def difficulty(self) -> DifficultyCurve:
        """The curve for difficulty.json: the square root of the relative entropy, scaled to mean 1.

        Between neighbours D_KL = (step length)^2 / 2 in Fisher and Rao's metric on distributions.  The length, not its
        square, can be cumulated over levels: the length of a stretch does not depend on the number of steps that it is
        cut into.  Equal shares of it are, for a single point under little noise, equal steps of log-SNR, and fewer
        where the images have structure at that scale.  The order of levels is the same by either.
        """
        return DifficultyCurve.normalised(self.edges, np.sqrt(np.maximum(self.relative_entropy, 0.0)))

    def to_dict(self) -> Mapping[str, Any]:
        """Plain numbers, for the details of difficulty.json."""
        return {name: values.tolist() for name, values in vars(self).items()}


@dataclass(frozen=True, kw_only=True)
class EntropyStudy(Config):
    """How the relative entropy is estimated.  Time and memory do not grow with the data set.

    Attributes:
        num_images: images that the density estimate is made of; a quarter as many others choose its width.
        num_draws: noisy images per level in the Monte-Carlo integral.
        num_levels: pairs of neighbouring levels, spread evenly over q and log-SNR.
        seed: of the choice of images and of the draws.
    """

    num_images: int = 1_024
    num_draws: int = 512
    num_levels: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("num_images", 8), ("num_draws", 2), ("num_levels", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")

    def measure(self, images: ImageSet, process: Process, encoder: Encoder = PIXELS) -> EntropyCurve:
        """Estimate the relative entropy of `images`, as the network sees them, under `process`.

        Raises:
            ValueError: there are fewer than 10 images.
        """
        return self.measure_axes(PrincipalAxes.of(images, self.num_images, self.seed, encoder), process)

    def measure_axes(self, axes: PrincipalAxes, process: Process) -> EntropyCurve:
        """As `measure`, for images that have been brought to their principal axes."""
        random = np.random.default_rng(self.seed)
        draws = _Draws(
            images=np.resize(random.permutation(len(axes.fitted)), self.num_draws),
            kernel=random.standard_normal((self.num_draws, len(axes.mean))),
            noise=random.standard_normal((self.num_draws, len(axes.mean))),
            held_out_noise=random.standard_normal(axes.held_out.shape),
        )
        num_levels = process.num_levels or _CONTINUOUS_LEVELS
        edges, pairs = level_pairs(process.log_snr((np.arange(num_levels) + 0.5) / num_levels), self.num_levels)
        rows = []
        for t in pairs:
            alpha, sigma = coefficients(process, (np.array([t - 1, t]) + 0.5) / num_levels)
            near, far = (Level(float(a), float(s)) for a, s in zip(alpha, sigma, strict=True))
            width = _best_width(axes, near, draws)
            value, error, effective = _relative_entropy(axes, near, far, width, draws)
            bound = upper_bound(axes, near, far)
            rows.append((value, error, gaussian_relative_entropy(axes, near, far), bound, width, effective))
        value, error, gaussian, bound, width, effective = np.array(rows, dtype=np.float64).T
        return EntropyCurve(
            edges=edges,
            q=pairs / num_levels,
            relative_entropy=value,
            standard_error=error,
            gaussian=gaussian,
            upper_bound=bound,
            kernel_width=width,
            effective_images=effective,
        )


def level_pairs(log_snr: Array, num_pairs: int) -> tuple[Array, np.ndarray]:
    """Pairs (t - 1, t) of neighbouring levels that stand for all, and the edges of the intervals of q they stand for.

    Neighbours are in the same interval as long as it is small both in q and in log-SNR: equal widths of q would see
    the whole clean end, where log-SNR falls fastest, as one.

    Args:
        log_snr: [T], of the levels, decreasing.
        num_pairs: at most so many.

    Returns:
        edges float64 [K + 1] from 0 to 1, and t int64 [K] between 1 and T - 1, with K <= num_pairs.
    """
    t = np.arange(1, len(log_snr))
    if len(t) == 0:
        raise ValueError("a process of one level has no neighbouring levels")
    middle = 0.5 * (log_snr[1:] + log_snr[:-1])
    clock = t / len(log_snr) + (log_snr[0] - middle) / (log_snr[0] - log_snr[-1])
    place = (clock - clock[0]) / max(clock[-1] - clock[0], 1e-12)
    group = np.minimum((place * num_pairs).astype(np.int64), num_pairs - 1)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    last = np.append(first[1:], len(t)) - 1
    edges = np.concatenate([[0.0], (t[last[:-1]] + 0.5) / len(log_snr), [1.0]])
    return edges, t[(first + last) // 2]


def gaussian_relative_entropy(axes: PrincipalAxes, near: Level, far: Level) -> float:
    """D_KL(p_near || p_far) of Gaussian data with the mean and covariance of `axes`, in nats, in closed form."""
    variances = near.alpha**2 * axes.variances + near.sigma**2, far.alpha**2 * axes.variances + far.sigma**2
    shift = np.square((near.alpha - far.alpha) * axes.mean)
    return _between_gaussians(*variances, shift) + _rest(axes, near, far)


def upper_bound(axes: PrincipalAxes, near: Level, far: Level) -> float:
    """The mean over images of D_KL between their own noisy versions: at least that of the marginals (convexity)."""
    spread = np.ones_like(axes.mean)
    shift = (near.alpha - far.alpha) ** 2 * np.square(axes.fitted).mean(0)
    return _between_gaussians(near.sigma**2 * spread, far.sigma**2 * spread, shift) + _rest(axes, near, far)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Draws:
    """The random numbers of a study, the same at every level, so that neighbouring estimates err alike."""

    images: np.ndarray
    kernel: Array
    noise: Array
    held_out_noise: Array


def _best_width(axes: PrincipalAxes, level: Level, draws: _Draws) -> float:
    """The kernel width under which held-out noisy images are likeliest."""
    noisy = level.alpha * axes.held_out + level.sigma * draws.held_out_noise
    likelihood = [_log_sum_exp(_log_kernels(axes, noisy, level, width)).mean() for width in _WIDTHS]
    return _WIDTHS[int(np.argmax(likelihood))]


def _relative_entropy(
    axes: PrincipalAxes, near: Level, far: Level, width: float, draws: _Draws
) -> tuple[float, float, float]:
    """D_KL(p_near || p_far) of the kernel estimates, its standard error, and the effective number of kernels.

    Two unbiased estimates, of which the one with the smaller standard error is given.  With x drawn from p_near and n
    the kernel that it came from:

    - D_KL(p || p') = D_KL(p(x|n) || p'(x|n)) - E D_KL(p(n|x) || p'(n|x)), the chain rule.  The first term is in closed
      form, the second a sum over kernels.  Best at low noise, where n can be told from x and the second term vanishes.
    - E [r - 1 - ln r] with r = p'(x) / p(x), of which no term is negative.  Best at high noise, where r is near 1.
    """
    shrink = math.sqrt(1 - width**2)
    centres = axes.mean + shrink * (axes.fitted - axes.mean)
    spread = width**2 * axes.variances
    x = near.alpha * (centres[draws.images] + np.sqrt(spread) * draws.kernel) + near.sigma * draws.noise

    joint_near, joint_far = _log_kernels(axes, x, near, width), _log_kernels(axes, x, far, width)
    log_near, log_far = _log_sum_exp(joint_near), _log_sum_exp(joint_far)
    which_near, which_far = joint_near - log_near[:, None], joint_far - log_far[:, None]
    posterior = np.exp(which_near)

    variances = near.alpha**2 * spread + near.sigma**2, far.alpha**2 * spread + far.sigma**2
    shift = (near.alpha - far.alpha) ** 2 * np.square(centres).mean(0)
    by_chain_rule = _between_gaussians(*variances, shift) - (posterior * (which_near - which_far)).sum(1)
    log_ratio = log_far - log_near
    by_ratio = np.expm1(log_ratio) - log_ratio

    better = min((by_chain_rule, by_ratio), key=lambda terms: float(terms.std()))
    effective = np.exp(-(posterior * which_near).sum(1)).mean()
    return (
        float(better.mean()) + _rest(axes, near, far),
        float(better.std(ddof=1)) / math.sqrt(len(x)),
        float(effective),
    )


def _log_kernels(axes: PrincipalAxes, x: Array, level: Level, width: float) -> Array:
    """ln of the density of every kernel at every point `x` [B, r], divided by their number: [B, N]."""
    centres = level.alpha * (axes.mean + math.sqrt(1 - width**2) * (axes.fitted - axes.mean))
    variances = level.alpha**2 * width**2 * axes.variances + level.sigma**2
    square = (x**2 @ (1 / variances))[:, None] + (centres**2 @ (1 / variances))[None] - 2 * (x / variances) @ centres.T
    constant = np.log(2 * np.pi * variances).sum() + 2 * math.log(len(centres))
    return np.asarray(-0.5 * (square + constant))


def _log_sum_exp(values: Array) -> Array:
    """ln of the sum over the last axis of the exponentials."""
    largest = values.max(1)
    return np.asarray(largest + np.log(np.exp(values - largest[:, None]).sum(1)))


def _between_gaussians(variances: Array, variances_far: Array, squared_shift: Array) -> float:
    """D_KL between Gaussians with independent coordinates, with squared distances of their means: [r] each."""
    excess = variances / variances_far - 1
    return float(0.5 * (excess - np.log1p(excess) + squared_shift / variances_far).sum())


def _rest(axes: PrincipalAxes, near: Level, far: Level) -> float:
    """The relative entropy along the directions in which there is noise and nothing else."""
    excess = (near.sigma / far.sigma) ** 2 - 1
    return 0.5 * (axes.num_pixels - len(axes.mean)) * (excess - math.log1p(excess))
