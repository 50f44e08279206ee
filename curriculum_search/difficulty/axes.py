"""Images in the coordinates of their principal axes, and what a linear denoiser makes of them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curriculum_search.data import ImageSet
from curriculum_search.diffusion import Process
from curriculum_search.models.encoders import PIXELS, Encoder

Array = NDArray[np.float64]

MIN_IMAGES = 10
_HELD_OUT_SHARE = 0.2
_PIXELS_AT_ONCE = 4096
_SMALLEST_RELATIVE_VARIANCE = 1e-10  # what is less is rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class PrincipalAxes:
    """Some images, and others that were held out, along the axes in which the first vary.

    A rotation changes neither distances nor isotropic noise, so nothing of the fitted images is lost; and there are no
    more axes than images, however many pixels they have.  Where the fitted images leave directions without variance,
    their mean has an axis of its own, with variance 0; along all further directions every fitted image is 0.

    Attributes:
        num_pixels: dimensions d of the images, channels included.
        mean: [r], of the fitted images.
        variances: [r], of the fitted images (divided by their number).
        fitted: [N, r].
        held_out: [M, r].
        held_out_rest: [M], squared length of what of each held-out image lies in none of the axes.
    """

    num_pixels: int
    mean: Array
    variances: Array
    fitted: Array
    held_out: Array
    held_out_rest: Array

    @classmethod
    def of(cls, images: ImageSet, num_images: int, seed: int, encoder: Encoder = PIXELS) -> "PrincipalAxes":
        """Fit at most `num_images` images, chosen at random, and hold out a quarter as many others.

        They are what the network sees of them.  Of a set that is too small for that, a fifth is held out.

        Raises:
            ValueError: the set has fewer than 10 images.
        """
        if len(images) < MIN_IMAGES:
            raise ValueError(
                f"measuring difficulty needs at least {MIN_IMAGES} images; {images.name} has {len(images)}"
            )
        num_fitted = min(num_images, round((1 - _HELD_OUT_SHARE) * len(images)))
        num_held_out = min(max(num_fitted // 4, 1), len(images) - num_fitted)
        chosen = np.random.default_rng(seed).choice(len(images), num_fitted + num_held_out, replace=False)
        pixels = _encoded(images, chosen, encoder, seed).flatten(1)
        products = torch.zeros(len(chosen), len(chosen), dtype=torch.float64)
        for start in range(0, pixels.shape[1], _PIXELS_AT_ONCE):
            values = pixels[:, start : start + _PIXELS_AT_ONCE].double()
            products += values @ values.T
        return cls.from_products(products, num_fitted, pixels.shape[1])

    @classmethod
    def from_products(cls, products: Tensor, num_fitted: int, num_pixels: int) -> "PrincipalAxes":
        """The axes from inner products float64 [N + M, N + M] between images, of which the first N are fitted."""
        gram = products.numpy()
        fitted, cross = gram[:num_fitted, :num_fitted], gram[num_fitted:, :num_fitted]
        on_mean, on_mean_held_out = fitted.mean(1), cross.mean(1)
        mean_square = on_mean.mean()
        squares, vectors = np.linalg.eigh(fitted - on_mean[:, None] - on_mean[None] + mean_square)
        keep = squares > _SMALLEST_RELATIVE_VARIANCE * max(squares[-1], mean_square, 1e-300)
        squares, vectors = squares[keep][::-1], vectors[:, keep][:, ::-1]
        lengths = np.sqrt(squares)

        # Coordinates of what an image differs from the mean by, and of the mean itself.
        away = vectors * lengths
        away_held_out = (cross - on_mean_held_out[:, None] - on_mean[None] + mean_square) @ (vectors / lengths)
        rest = np.diag(gram)[num_fitted:] - 2 * on_mean_held_out + mean_square - np.square(away_held_out).sum(1)
        mean = (on_mean - mean_square) @ (vectors / lengths)
        variances = squares / num_fitted

        beside = mean_square - mean @ mean
        if beside > _SMALLEST_RELATIVE_VARIANCE * mean_square and len(mean) < num_pixels:
            along = (on_mean_held_out - mean_square - away_held_out @ mean) / np.sqrt(beside)
            mean, variances = np.append(mean, np.sqrt(beside)), np.append(variances, 0.0)
            away = np.column_stack([away, np.zeros(num_fitted)])
            away_held_out = np.column_stack([away_held_out, along])
            rest = rest - along**2
        return cls(
            num_pixels=num_pixels,
            mean=mean,
            variances=variances,
            fitted=mean + away,
            held_out=mean + away_held_out,
            held_out_rest=np.maximum(rest, 0.0),
        )

    def linear_denoiser_error(self, alpha: float, sigma: float) -> float:
        """Mean squared error per pixel with which the best linear denoiser restores held-out images.

        It is fitted to the mean and covariance of the fitted images (the Wiener filter): exact where these are enough,
        and then no linear map of the noisy image alpha * image + sigma * noise does better.
        """
        gain = alpha * self.variances / (alpha**2 * self.variances + sigma**2)
        lost = np.square((1 - alpha * gain) * (self.held_out - self.mean)).sum(1).mean() + self.held_out_rest.mean()
        return float(lost + sigma**2 * np.square(gain).sum()) / self.num_pixels


def _encoded(images: ImageSet, chosen: NDArray[np.int64], encoder: Encoder, seed: int) -> Tensor:
    """What the network sees of the images at `chosen`, float32 [B, C, H, W]."""
    codec = encoder.load(torch.device("cpu"))
    noise = None
    if codec.draws:
        noise = torch.randn(len(chosen), *encoder.shape_of(images), generator=torch.Generator().manual_seed(seed))
    return codec.encode(images.stored(chosen), noise)


def coefficients(process: Process, q: Array) -> tuple[Array, Array]:
    """alpha and sigma of noisy images alpha * image + sigma * noise at `q` [K], float64 [K] of float32's precision."""
    levels = torch.from_numpy(np.asarray(q, dtype=np.float64))
    one, zero = torch.ones(len(levels), 1, 1, 1), torch.zeros(len(levels), 1, 1, 1)
    alpha, sigma = process.add_noise(one, levels, zero), process.add_noise(zero, levels, one)
    return alpha.flatten().double().numpy(), sigma.flatten().double().numpy()
