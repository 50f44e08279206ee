"""Densities over the noise quantile as histograms: exact to restrict, to mix and to draw from.

Everything that a curriculum does to a density (restrict it to the unlocked clusters, give each cluster an equal share,
average it over time) keeps a histogram a histogram, so one class serves base densities, stages and exposures.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

# Knots closer than this say nothing that a float32 draw could show.
_SMALLEST_GAP = 1e-7


@dataclasses.dataclass(frozen=True, eq=False)
class PiecewiseDensity:
    """A density on [0, 1] that is constant between knots, hence a piecewise linear distribution function.

    A stretch may have density zero, and then no draw lands in it; there are no atoms.

    Attributes:
        knots: float64 [K + 1], strictly increasing from 0 to 1.
        cdf: float64 [K + 1], the distribution function at the knots, never decreasing, from 0 to 1.

    Raises:
        ValueError: knots or cdf are not as described.
    """

    knots: np.ndarray
    cdf: np.ndarray

    def __post_init__(self) -> None:
        # Copies, read-only: a density is shared between a sampler, its history and its export.
        for name in ("knots", "cdf"):
            values = np.array(getattr(self, name), dtype=np.float64)
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        knots, cdf = self.knots, self.cdf
        if knots.ndim != 1 or knots.size < 2 or knots.shape != cdf.shape:
            raise ValueError(f"knots and cdf must be 1-d, equally long, 2 or more, not {knots.shape}, {cdf.shape}")
        if knots[0] != 0 or knots[-1] != 1 or not np.all(np.diff(knots) > 0):
            raise ValueError("knots must increase strictly from 0 to 1")
        if cdf[0] != 0 or cdf[-1] != 1 or not np.all(np.diff(cdf) >= 0):
            raise ValueError("cdf must rise from 0 to 1 and never fall")

    @staticmethod
    def from_masses(edges: np.ndarray | Sequence[float], masses: np.ndarray | Sequence[float]) -> "PiecewiseDensity":
        """The density with (unnormalised) ``masses`` [K] in the bins between ``edges`` [K + 1].

        Raises:
            ValueError: a negative or non-finite mass, or no mass at all.
        """
        m = np.asarray(masses, dtype=np.float64)
        if m.ndim != 1 or not np.all(np.isfinite(m)) or np.any(m < 0) or not m.sum() > 0:
            raise ValueError("masses must be finite, not negative, and not all zero")
        cdf = np.concatenate([[0.0], np.cumsum(m)])
        return PiecewiseDensity(np.asarray(edges, dtype=np.float64), cdf / cdf[-1])

    @staticmethod
    def from_cdf(cdf: Callable[[np.ndarray], np.ndarray], resolution: int = 1024) -> "PiecewiseDensity":
        """Tabulate a continuous distribution function on [0, 1].

        Knots lie at ``resolution`` equal widths and at ``resolution`` equal masses, so that neither a narrow peak nor a
        long thin tail is blurred: between two knots there is at most 1/resolution of the mass and of the width.
        """
        grid = np.linspace(0.0, 1.0, resolution + 1)
        low, high = np.zeros(resolution - 1), np.ones(resolution - 1)
        for _ in range(53):  # Bisection, to the last bit of a double.
            middle = 0.5 * (low + high)
            below = cdf(middle) < grid[1:-1]
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        knots = np.union1d(grid, high)
        apart = np.diff(knots, prepend=-1.0) > _SMALLEST_GAP
        knots = knots[apart & (knots < 1.0 - _SMALLEST_GAP)]
        values = np.concatenate([np.clip(cdf(knots), 0.0, 1.0), [1.0]])
        values[0] = 0.0
        return PiecewiseDensity(np.append(knots, 1.0), np.maximum.accumulate(values))

    @staticmethod
    def mix(weights: Sequence[float] | np.ndarray, densities: Sequence["PiecewiseDensity"]) -> "PiecewiseDensity":
        """The mixture of ``densities`` with (unnormalised) ``weights``: the time-average of a sampler's draws, say.

        Raises:
            ValueError: negative weights, or as many weights as there are not densities.
        """
        w = np.asarray(weights, dtype=np.float64)
        if w.shape != (len(densities),) or not np.all(np.isfinite(w)) or np.any(w < 0) or not w.sum() > 0:
            raise ValueError(f"weights must be {len(densities)} numbers >= 0 and not all zero, not {w.tolist()}")
        knots = np.unique(np.concatenate([d.knots for d in densities]))
        cdf = np.sum([wi * d.cdf_at(knots) for wi, d in zip(w, densities, strict=True) if wi > 0], axis=0)
        # Interpolation may exceed the next knot's value in the last bit.
        cdf = np.maximum.accumulate(cdf)
        return PiecewiseDensity(knots, np.minimum(cdf / cdf[-1], 1.0))

    def cdf_at(self, q: np.ndarray | float) -> np.ndarray:
        """Distribution function at ``q`` (any shape), float64."""
        return np.asarray(np.interp(q, self.knots, self.cdf))

    def pdf_at(self, q: np.ndarray | float) -> np.ndarray:
        """Density at ``q`` (any shape), float64; at a knot that of the bin to its right, outside [0, 1] zero."""
        q = np.asarray(q, dtype=np.float64)
        bins = np.clip(np.searchsorted(self.knots, q, side="right") - 1, 0, len(self.knots) - 2)
        density = np.diff(self.cdf) / np.diff(self.knots)
        return np.where((q >= 0) & (q <= 1), density[bins], 0.0)

    def icdf(self, u: np.ndarray | float) -> np.ndarray:
        """Quantile function at ``u`` in [0, 1] (any shape), float64; never inside a stretch of density zero."""
        u = np.asarray(u, dtype=np.float64)
        full = np.flatnonzero(np.diff(self.cdf) > 0)
        bins = full[np.clip(np.searchsorted(self.cdf[full], u, side="right") - 1, 0, None)]
        share = (u - self.cdf[bins]) / (self.cdf[bins + 1] - self.cdf[bins])
        q = self.knots[bins] + share * (self.knots[bins + 1] - self.knots[bins])
        return np.asarray(np.clip(q, self.knots[bins], self.knots[bins + 1]))

    def restrict(
        self, intervals: Sequence[tuple[float, float]] | np.ndarray, shares: Sequence[float] | np.ndarray | None = None
    ) -> "PiecewiseDensity":
        """This density inside a union of disjoint intervals of q, zero outside.

        Args:
            intervals: (low, high) pairs inside [0, 1], disjoint (they may touch), in any order.
            shares: the (unnormalised) mass of each interval; inside it the shape stays.  None: the density as it is,
                renormalised.

        Raises:
            ValueError: intervals that overlap or leave [0, 1]; an interval that is to have mass and has none here.
        """
        pairs = np.asarray(intervals, dtype=np.float64).reshape(-1, 2)
        ordered = pairs[np.argsort(pairs[:, 0])]
        inside = len(pairs) > 0 and ordered[0, 0] >= 0 and ordered[-1, 1] <= 1
        if not inside or np.any(pairs[:, 0] >= pairs[:, 1]) or np.any(ordered[1:, 0] < ordered[:-1, 1]):
            raise ValueError(f"intervals must be disjoint pairs low < high in [0, 1], not {pairs.tolist()}")
        own = self.cdf_at(pairs[:, 1]) - self.cdf_at(pairs[:, 0])
        wanted = own if shares is None else np.asarray(shares, dtype=np.float64)
        if wanted.shape != own.shape or np.any(wanted < 0) or not wanted.sum() > 0:
            raise ValueError(
                f"the density has no mass in {pairs.tolist()}"
                if shares is None
                else f"shares must be {len(pairs)} numbers >= 0 and not all zero, not {wanted.tolist()}"
            )
        if np.any((wanted > 0) & (own <= 0)):
            raise ValueError(f"the density has no mass in {pairs[(wanted > 0) & (own <= 0)].tolist()}")

        knots = np.unique(np.concatenate([self.knots, pairs.ravel()]))
        masses = np.diff(self.cdf_at(knots))
        scale = np.zeros_like(masses)
        for (low, high), mass, want in zip(pairs, own, wanted, strict=True):
            if want > 0:
                scale[np.searchsorted(knots, low) : np.searchsorted(knots, high)] = want / mass
        return PiecewiseDensity.from_masses(knots, np.maximum(masses, 0.0) * scale)

    def table(self, device: torch.device | str) -> "DeviceTable":
        """The quantile function as tensors on ``device``; make it once per stage, draw from it every step."""
        masses, low, high = np.diff(self.cdf), self.knots[:-1], self.knots[1:]
        # Bounds that a float32 keeps: the first one not below `low` and the last one below `high`.
        first = low.astype(np.float32)
        first = np.where(first < low, np.nextafter(first, np.float32(2)), first)
        last = high.astype(np.float32)
        last = np.where(last >= high, np.nextafter(last, np.float32(-1)), last)
        keep = (masses > 0) & (first <= last)
        start = self.cdf[:-1][keep]
        with np.errstate(over="ignore"):  # A slope stays finite, so that at a bin's very left nothing is added to q.
            slope = np.minimum((high - low)[keep] / masses[keep], np.finfo(np.float32).max)
        rows = np.stack([start, low[keep], slope, first[keep], last[keep]], axis=1).astype(np.float32)
        tensor = torch.from_numpy(rows)
        return DeviceTable(borders=tensor[1:, 0].contiguous().to(device), rows=tensor.to(device))


@dataclasses.dataclass(frozen=True, eq=False)
class DeviceTable:
    """The quantile function of a `PiecewiseDensity` on a device, without its stretches of density zero.

    Attributes:
        borders: float32 [K - 1], distribution function between the K bins.
        rows: float32 [K, 5], for each bin: distribution function and q at its left, dq/du, smallest and largest draw.
    """

    borders: Tensor
    rows: Tensor

    def draw(self, u: Tensor) -> Tensor:
        """Noise quantiles, float32 [B], for uniform numbers ``u`` [B] in [0, 1) on the same device.

        A draw lies in the half-open bin [low, high) of the density's float64 knots, so that it is never outside the
        density's support, whatever the rounding.  Nothing here waits for the device.
        """
        u = u.float()
        bins = torch.searchsorted(self.borders, u, right=True)
        start, low, slope, first, last = self.rows.index_select(0, bins).unbind(1)
        return torch.addcmul(low, u - start, slope).clamp_(min=first, max=last)
