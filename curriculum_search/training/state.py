"""The state of a run: everything that its future depends on, saved and restored as a whole.

After EDM2's checkpoints: one object knows what belongs to the state, so that nothing is forgotten and the loop does not
care.  Random numbers are no part of it, for they are a function of the images seen (`randomness`).
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from curriculum_search import distributed
from curriculum_search.atomic import set_aside
from curriculum_search.curriculum import CurriculumSampler
from curriculum_search.training import checkpoint
from curriculum_search.training.ema import Ema
from curriculum_search.training.session import Report, StatusReport

#: What the running sums of the losses are of: the steps since the last evaluation, and since the last status.
_EVALUATION, _STATUS = 0, 1


class TrainingState:
    """What a run has learned, how far it is, and what it has said.

    All workers hold the same, but for their own part of the running sums, which `gather` brings together.

    Args:
        identity: of the experiment; a checkpoint of another one is refused.
        network: what is trained.
        ema: the average of its weights.
        optimizer: of its parameters.
        sampler: the curriculum at work.
        device: where they are.

    Attributes:
        images_seen: images trained on, over all workers.
        seconds: spent in training steps, over all the processes that the run was resumed in.
        reports: of the evaluations so far.
    """

    def __init__(
        self,
        *,
        identity: str,
        network: nn.Module,
        ema: Ema,
        optimizer: torch.optim.Optimizer,
        sampler: CurriculumSampler,
        device: torch.device,
    ) -> None:
        self.identity = identity
        self.network = network
        self.ema = ema
        self.optimizer = optimizer
        self.sampler = sampler
        self.device = device
        self.images_seen = 0
        self.seconds = 0.0
        self.reports: list[Report] = []
        self._own_sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._sums: list[list[float]] = [[0.0, 0.0]]  # of each worker, as last gathered
        self._status_images, self._status_seconds = 0, 0.0  # where the last status was

    def add_losses(self, losses: Tensor) -> None:
        """Count a step's unweighted losses [local batch]; nothing waits for the device."""
        self._own_sums += losses.sum()

    def gather(self, *, stop: bool = False) -> bool:
        """Let every worker know the sums of all, and whether any of them is to stop.

        The one place that waits for the device.  Every worker must call it, after the same step, before anything below
        is read and before the state is saved.

        Args:
            stop: whether this worker is to stop.
        """
        flag = torch.full((1,), float(stop), dtype=torch.float64, device=self.device)
        rows = distributed.all_gather_cat(torch.cat([self._own_sums, flag])[None]).tolist()
        self._sums = [row[:2] for row in rows]
        return any(row[2] for row in rows)

    @property
    def train_loss(self) -> float:
        """Mean unweighted loss since the last evaluation, over all workers, as gathered."""
        return self._total(_EVALUATION) / (self.images_seen - self._evaluated_images)

    @property
    def images_per_second(self) -> float:
        """Throughput since the last evaluation."""
        before = self.reports[-1].metrics["train_seconds"] if self.reports else 0.0
        return (self.images_seen - self._evaluated_images) / (self.seconds - before)

    @property
    def is_reported(self) -> bool:
        """Whether there has been an evaluation at the present images seen."""
        return self._evaluated_images == self.images_seen

    def end_evaluation(self, report: Report) -> None:
        """Add a report, and begin the sums of the next."""
        self.reports.append(report)
        self._clear(_EVALUATION)

    def end_status(self) -> StatusReport:
        """How the run has been doing since the status before, as gathered; begins the sums of the next."""
        images = self.images_seen - self._status_images
        status = StatusReport(
            images=self.images_seen,
            train_loss=self._total(_STATUS) / images,
            images_per_second=images / (self.seconds - self._status_seconds),
            stage=self.sampler.stage,
            unlocked_share=self.sampler.unlocked_share,
        )
        self._clear(_STATUS)
        self._status_images, self._status_seconds = self.images_seen, self.seconds
        return status

    def state_dict(self) -> dict[str, Any]:
        """All of it, as gathered: tensors, numbers, strings, and lists and dictionaries of them."""
        return {
            "identity": self.identity,
            "images": self.images_seen,
            "seconds": self.seconds,
            "reports": [asdict(report) for report in self.reports],
            "network": self.network.state_dict(),
            "ema": self.ema.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state_dict(),
            "loss_sums": [list(row) for row in self._sums],
            "status": {"images": self._status_images, "seconds": self._status_seconds},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken: to the bit with as many workers, to rounding with another number.

        A state without running sums and status is from a version that saved at evaluations alone, where both begin.
        """
        self.images_seen, self.seconds = state["images"], state["seconds"]
        self.reports = [Report(**report) for report in state["reports"]]
        self.network.load_state_dict(state["network"])
        self.ema.network.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.load_state_dict(state["sampler"])
        self._sums = [list(row) for row in state.get("loss_sums", [[0.0, 0.0]])]
        status = state.get("status", {"images": self.images_seen, "seconds": self.seconds})
        self._status_images, self._status_seconds = status["images"], status["seconds"]
        rank, own = distributed.rank(), [0.0, 0.0]
        if len(self._sums) == distributed.world_size():
            own = self._sums[rank]
        elif rank == 0:
            own = [self._total(_EVALUATION), self._total(_STATUS)]
        self._own_sums = torch.tensor(own, dtype=torch.float64, device=self.device)

    def restore(self, path: Path) -> str:
        """Go on where `path` was saved, or the one before it, or stay at the beginning if neither was.

        Every worker must call it.  A checkpoint that one of them finds damaged is set aside, and all go on from the one
        before, or from the beginning: from there the run comes to the same end.

        Returns:
            What there is to say of a damaged checkpoint; nothing if there was none.

        Raises:
            ValueError: a checkpoint is another experiment's, or of no version that is known.
        """
        damages = []
        for candidate in (path, checkpoint.before(path)):
            state, damage = None, ""
            if candidate.exists():
                try:
                    state = checkpoint.load(candidate, self.device)
                except checkpoint.DamagedError as error:
                    damage = str(error)
            damaged = distributed.all_gather_cat(torch.tensor([bool(damage)], dtype=torch.float64, device=self.device))
            if damaged.any():
                aside = set_aside(candidate) if distributed.rank() == 0 else None
                damages.append(f"{damage or f'{candidate} is damaged'}; it is now {aside and aside.name}")
                distributed.barrier()
            elif state is not None:
                self._take(state, candidate)
                break
        return checkpoint.fallback(damages, self.images_seen)

    def _take(self, state: dict[str, Any], path: Path) -> None:
        if state["identity"] != self.identity:
            raise ValueError(f"{path} belongs to another experiment ({state['identity']}, not {self.identity})")
        self.load_state_dict(state)

    @property
    def _evaluated_images(self) -> int:
        return self.reports[-1].images if self.reports else 0

    def _total(self, which: int) -> float:
        return sum(row[which] for row in self._sums)

    def _clear(self, which: int) -> None:
        self._own_sums[which] = 0.0
        for row in self._sums:
            row[which] = 0.0
