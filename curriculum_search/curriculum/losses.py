"""Losses on their way from the device to a decision, read once per window of steps.

Adding a loss starts device work and returns.  Only the end of a window waits for the device.  Every worker keeps the
losses of all workers (one small collective a step, which the host does not wait for on a GPU), so that all of them
decide alike, and the state of one is the state of all.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from curriculum_search import distributed


class LossTrace:
    """The mean loss of every step, for a gate."""

    def __init__(self, window_steps: int) -> None:
        self._window_steps = window_steps
        self._sums: Tensor | None = None  # float32 [window_steps, 2]: sum and number of the losses of each step
        self._images: list[int] = []
        self._added = False  # in the step under way
        self._silent_steps = 0  # since the last loss, whatever stages and windows have ended since
        self._heard = False  # any loss at all

    def add(self, losses: Tensor, *, shared: bool) -> None:
        """Count per-sample losses [B] to the step under way; several calls a step add up."""
        pair = torch.stack([losses.float().sum(), torch.ones_like(losses, dtype=torch.float32).sum()])
        if not shared:
            pair = distributed.all_gather_cat(pair[None]).sum(0)
        if self._sums is None:
            self._sums = torch.zeros(self._window_steps, 2, device=losses.device)
        self._sums = self._sums.to(losses.device)
        self._sums[len(self._images)] += pair
        self._added = self._heard = True

    def end_step(self, images_seen: int) -> tuple[tuple[int, float], ...]:
        """(images seen, mean loss) of the steps of the window that this step ends; empty if it ends none.

        Raises:
            ValueError: no loss was added in as many steps as a window has, in however many stages they were.
        """
        self._images.append(images_seen)
        self._silent_steps = 0 if self._added else self._silent_steps + 1
        self._added = False
        if self._silent_steps >= self._window_steps:
            raise _silence("gate watches", self._silent_steps)
        if len(self._images) < self._window_steps:
            return ()
        assert self._sums is not None  # else the whole window was silent
        sums = self._sums.tolist()
        readings = tuple((n, total / count) for n, (total, count) in zip(self._images, sums, strict=True) if count)
        self.clear()
        return readings

    def clear(self) -> None:
        """Begin another window: what this one holds belongs to a stage that has ended."""
        self._sums, self._images = None, []

    def end(self) -> None:
        """The last gated stage has ended.

        Raises:
            ValueError: there never was a loss: the stages were over before a window was full.
        """
        if not self._heard:
            raise _silence("gate watches", self._silent_steps)

    def state_dict(self) -> dict[str, Any]:
        """The steps of the unfinished window."""
        return {
            "sums": None if self._sums is None else self._sums.tolist(),
            "images": list(self._images),
            "silent_steps": self._silent_steps,
            "heard": self._heard,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self._sums = None if state["sums"] is None else torch.tensor(state["sums"])
        self._images = list(state["images"])
        # A state of an earlier version does not say: what is behind it counts as heard.
        self._silent_steps, self._heard = state.get("silent_steps", 0), state.get("heard", True)
        self._added = self._sums is not None and bool(self._sums[len(self._images), 1] > 0)


class LossHistory:
    """The last losses of each bin of q, for an adaptive density."""

    def __init__(self, num_bins: int, length: int, window_steps: int) -> None:
        self.losses = np.full((num_bins, length), np.nan)
        self._window_steps = window_steps
        self._counts = np.zeros(num_bins, dtype=np.int64)
        self._steps = 0
        self._pending: list[Tensor] = []  # float32 [workers, 2, B]: q and losses of one call

    def add(self, q: Tensor, losses: Tensor, *, shared: bool) -> None:
        """Remember per-sample losses [B] at noise quantiles q [B]; B is the same on all workers."""
        pairs = torch.stack([q.to(losses.device, torch.float32), losses.float()])[None]
        self._pending.append(pairs if shared else distributed.all_gather_cat(pairs))

    def end_step(self) -> bool:
        """Whether this step ended a window, and `losses` [num_bins, length] (NaN: not yet seen) has changed.

        Raises:
            ValueError: no loss was added in the whole window.
        """
        self._steps += 1
        if self._steps < self._window_steps:
            return False
        if not self._pending:
            raise _silence("density follows", self._steps)
        device = self._pending[-1].device
        in_order = [pairs.to(device).transpose(0, 1).reshape(2, -1) for pairs in self._pending]
        self._append(*torch.cat(in_order, dim=1).cpu().double().numpy())
        self._steps, self._pending = 0, []
        return True

    def _append(self, q: np.ndarray, losses: np.ndarray) -> None:
        num_bins, length = self.losses.shape
        bins = np.clip((q * num_bins).astype(np.int64), 0, num_bins - 1)
        by_bin = np.argsort(bins, kind="stable")
        bins, losses = bins[by_bin], losses[by_bin]
        added = np.bincount(bins, minlength=num_bins)
        nth = np.arange(len(bins)) - (np.cumsum(added) - added)[bins]  # of those that its bin is given
        # Each bin is a ring; of more losses than it holds, only the last go in.
        last = nth >= added[bins] - length
        self.losses[bins[last], (self._counts[bins] + nth)[last] % length] = losses[last]
        self._counts += added

    def state_dict(self) -> dict[str, Any]:
        """The remembered losses, and the steps of the unfinished window."""
        return {
            "losses": self.losses.tolist(),
            "counts": self._counts.tolist(),
            "steps": self._steps,
            "pending": [pairs.tolist() for pairs in self._pending],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.losses = np.array(state["losses"], dtype=np.float64)
        self._counts = np.array(state["counts"], dtype=np.int64)
        self._steps = state["steps"]
        self._pending = [torch.tensor(pairs) for pairs in state["pending"]]


def _silence(what: str, steps: int) -> ValueError:
    return ValueError(
        f"this curriculum's {what} the loss, but none of the last {steps} steps had one: "
        "pass every step's losses to observe()"
    )
