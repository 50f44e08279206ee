"""The state of a run: everything that its future depends on, saved and restored as a whole.

After EDM2's checkpoints: one object knows what belongs to the state, so that nothing is forgotten and the loop does not
care.  Random numbers are no part of it, for they are a function of the images seen (`randomness`).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from curriculum_search import distributed
from curriculum_search.curriculum import CurriculumSampler
from curriculum_search.training import checkpoint
from curriculum_search.training.ema import Ema
from curriculum_search.training.learned import Learned
from curriculum_search.training.pieces import whole
from curriculum_search.training.session import Report, StatusReport

if TYPE_CHECKING:
    from curriculum_search.training.sharding import Sharding

#: What the running sums of the losses are of: the steps since the last evaluation, and since the last status.
_EVALUATION, _STATUS = 0, 1


@dataclass(frozen=True)
class Agreed:
    """What the workers of a run have agreed on where they met.

    Attributes:
        stop: one of them is to stop.
        late: the last checkpoint is too old by the first worker's clock.
        written: all that any of them had to write is on the disk.
        step_seconds: that a step takes in the slowest of them.
    """

    stop: bool
    late: bool
    written: bool
    step_seconds: float


class TrainingState:
    """What a run has learned, how far it is, and what it has said.

    All workers hold the same, but for their own part of the running sums, which `gather` brings together, and for what
    is shared out.

    Args:
        identity: of the experiment; a checkpoint of another one is refused.
        network: what is trained.
        ema: the average of its weights.
        optimizer: of its parameters.
        sampler: the curriculum at work.
        device: where they are.
        sharding: how the weights are shared out; None: every worker has all of them.
        learned: what of the loss weighting is trained too; None: nothing is.

    Attributes:
        images_seen: images trained on, over all workers.
        seconds: spent in training steps, over all the processes that the run was resumed in.
        reports: of the evaluations so far.
        saves: checkpoints so far.
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
        sharding: "Sharding | None" = None,
        learned: Learned | None = None,
    ) -> None:
        self.identity = identity
        self.network = network
        self.ema = ema
        self.optimizer = optimizer
        self.sampler = sampler
        self.device = device
        self.sharding = sharding
        self.learned = learned
        self.images_seen = 0
        self.seconds = 0.0
        self.reports: list[Report] = []
        self.saves = 0
        self._own_sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._sums: list[list[float]] = [[0.0, 0.0]]  # of each worker, as last gathered
        self._status_images, self._status_seconds = 0, 0.0  # where the last status was

    def add_losses(self, losses: Tensor) -> None:
        """Count a step's unweighted losses [local batch]; nothing waits for the device."""
        self._own_sums += losses.sum()

    def gather(
        self, *, stop: bool = False, late: bool = False, written: bool = True, step_seconds: float = 0.0
    ) -> Agreed:
        """Let every worker know the sums of all, and what follows from what each of them alone knows.

        The one place that waits for the device.  Every worker must call it, after the same step, before anything below
        is read and before the state is saved.

        Args:
            stop: whether this worker is to stop.
            late: whether the last checkpoint is too old by its clock.
            written: whether all that it had to write is on the disk.
            step_seconds: that a step takes in it, as far as it knows.
        """
        flags = torch.tensor([stop, late, written, step_seconds], dtype=torch.float64, device=self.device)
        rows = distributed.all_gather_cat(torch.cat([self._own_sums, flags])[None]).tolist()
        self._sums = [row[:2] for row in rows]
        return Agreed(
            stop=any(row[2] for row in rows),
            late=bool(rows[0][3]),
            written=all(row[4] for row in rows),
            step_seconds=max(row[5] for row in rows),
        )

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
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state_dict(),
            "loss_sums": [list(row) for row in self._sums],
            "status": {"images": self._status_images, "seconds": self._status_seconds},
            "saves": self.saves,
            **({} if self.learned is None else {"weighting": self.learned.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken: to the bit with as many workers, to rounding with another number.

        A state without running sums and status is from a version that saved at evaluations alone, where both begin.

        Args:
            state: of whole tensors or, of a sharded run, of `Pieces`, however this one is shared out.
        """
        state = whole(state, self.device) if self.sharding is None else self.sharding.fitted(state)
        self.images_seen, self.seconds = state["images"], state["seconds"]
        self.reports = [Report(**report) for report in state["reports"]]
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.load_state_dict(state["sampler"])
        if self.learned is not None:
            self.learned.load_state_dict(state["weighting"])
        self._sums = [list(row) for row in state.get("loss_sums", [[0.0, 0.0]])]
        self.saves = state.get("saves", 0)
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
        worker = (distributed.rank(), distributed.world_size())
        for candidate in (path, checkpoint.before(path)):
            state, damage = None, ""
            if candidate.exists():
                try:
                    state = checkpoint.head(candidate, self.device, mapped=self.sharding is not None, worker=worker)
                except checkpoint.DamagedError as error:
                    damage = str(error)
            damaged = distributed.all_gather_cat(torch.tensor([bool(damage)], dtype=torch.float64, device=self.device))
            if damaged.any():
                if distributed.rank() == 0:
                    damage = damage or checkpoint.describe_damage(candidate)  # which another worker has found
                    damages.append(f"{damage}; it is now {checkpoint.put_aside(candidate).name}")
                distributed.barrier()
            elif state is not None:
                self._take(checkpoint.with_parts(candidate, state), candidate)
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
